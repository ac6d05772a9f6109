"""What ranks compare before and during training, and what is said of those that differ."""

from types import SimpleNamespace
from zlib import crc32

import pytest
import torch
from toys import toy_model, toy_recipe

from pixkit.errors import RankError, UsageError
from pixkit.training.together import check_alike, check_environments, check_same, check_shares


class Told:
    """Ranks of which this is rank 0; the others tell what is given, or the same."""

    alone = False

    def __init__(self, *others):
        self.others, self.told = others, []

    def gather(self, plain):
        self.told.append(plain)
        return [plain, *(plain if other is None else other for other in self.others)]


def test_those_that_differ_from_rank_0_are_named_with_what_the_first_of_them_has():
    check_same(Told(None, None), "the images", "x")
    for others, who, found in (
        ((None, "y"), "rank 2 is", "y on rank 2"),
        (("z", "y"), "ranks 1, 2 are", "z on rank 1"),
    ):
        with pytest.raises(RankError, match=f"the images: {who} not the same as on rank 0") as caught:
            check_same(Told(*others), "the images", "x")
        assert (caught.value.found, caught.value.expected) == (found, "x, as on rank 0")


@pytest.mark.parametrize("device", ["cpu", "a card"])
def test_recipe_versions_and_on_a_cpu_instructions_are_the_same_on_all_ranks(device):
    loaded = SimpleNamespace(text="a recipe", overrides=("seed=1",))
    given = {"device": device, "threads": 2, "platform": "here"}
    check_environments(ranks := Told(None, None), given, loaded)
    own = {"recipe": f"{crc32(b'a recipe'):08x}", "overrides": ["seed=1"]}
    if device == "cpu":
        own["instructions"] = torch.backends.cpu.get_cpu_capability()
    assert ranks.told == [given | own | {"platform": None}]
    with pytest.raises(RankError, match="rank 2 differs from rank 0") as caught:
        check_environments(Told(None, {**ranks.told[0], "threads": 4}, {**ranks.told[0], "threads": 5}), given, loaded)
    assert caught.value.found == "threads 2 -> 4"


def test_weights_are_compared_to_the_last_bit_and_buffers_too():
    model, _ = toy_model(toy_recipe())
    check_alike(ranks := Told(None), model, 4)
    for tensor in (model.scale.data, model.logits.data[0, 1], model.initialised):
        tensor[...] += torch.finfo(torch.float32).eps if tensor.is_floating_point() else 1
        check_alike(ranks, model, 4)
    assert len(set(ranks.told)) == 4 and all(text.startswith("CRC-32 ") for text in ranks.told)
    check_alike(SimpleNamespace(alone=True), model, 4)
    with pytest.raises(RankError, match="the weights after step 4: rank 1 is not the same"):
        check_alike(Told("CRC-32 0"), model, 4)


@pytest.mark.parametrize(("batch", "ranks", "hint"), [
    (8, 4, "train.batch_size=2 train.accumulate=4"), (9, 4, "train.batch_size=3 train.accumulate=4"),
    (2, 4, "train.batch_size=1 train.accumulate=2"),
])  # fmt: skip
def test_one_part_is_not_enough_for_several_ranks(batch, ranks, hint):
    several, config = SimpleNamespace(alone=False, size=ranks), SimpleNamespace(accumulate=1, batch_size=batch)
    with pytest.raises(UsageError, match="only one") as caught:
        check_shares(config, several)
    assert caught.value.hint.startswith(f"{hint}, ") and caught.value.found == f"1, for {ranks} ranks"
    check_shares(config, SimpleNamespace(alone=True))
    config.accumulate = 2
    check_shares(config, several)
