"""How measured turns become the rows of `pixkit bench train`: with turns that take what is said here."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from toys import CPU, Toy, toy_dataset, toy_recipe

from pixkit.errors import UsageError
from pixkit.ranks import ALONE, Ranks
from pixkit.training import throughput
from pixkit.training.precision import Arithmetic
from pixkit.training.throughput import plain, time_training

CUDA = torch.device("cuda")
RATES = {"fp32": [100.0, 400.0, 200.0], "tf32": [600.0] * 3, "bf16": [800.0, 200.0, 1000.0]}


class Made(SimpleNamespace):
    """To which references can be weak."""


class Turns:
    """Stands for `Timed` and `Products`: seconds of the turns of each setting, in the order of the settings."""

    def __init__(self, *seconds):
        self.seconds, self.settings, self.asked, self.alive = [iter(each) for each in seconds], [], [], []

    def timed(self, model, classes, setting, device, *, ranks):
        self.settings.append((setting, classes, device, ranks))
        images, own = setting.config.batch_size * setting.config.accumulate, self.seconds[len(self.settings) - 1]

        def turn():
            found = next(own)
            if isinstance(found, Exception):
                raise found
            return found() if callable(found) else found

        made = Made(images=images, memory=1000 * len(self.settings), turn=turn, stepper=self)
        self.alive.append(weakref.ref(made))
        return made

    def products(self, arithmetic, device):
        rates = iter(RATES[arithmetic.precision])
        return SimpleNamespace(rate=lambda: next(rates))


@pytest.fixture
def turns(monkeypatch):
    def begin(*seconds):
        found = Turns(*seconds)
        monkeypatch.setattr(throughput, "Timed", found.timed)
        monkeypatch.setattr(throughput, "Products", found.products)
        monkeypatch.setattr(throughput, "operations", lambda stepper: found.asked.append(stepper) or 50)
        return found

    return begin


def timing(options, device=CPU, ranks=ALONE, heard=None, rounds=3, **train):
    dataset = toy_dataset()
    said = None if heard is None else lambda *told: heard.append(told)
    return time_training(
        toy_recipe(Toy, **train), dataset.spec, 3, device, options=options, rounds=rounds, ranks=ranks, progress=said
    )


def test_medians_over_turns_are_compared_turn_by_turn(turns):
    found, heard = turns([1.0, 2.0, 8.0], [0.5, 4.0, 2.0]), []
    times = timing(["precision"], heard=heard)
    base, other = times.rows
    assert (base.option, base.seconds, base.images_per_second, base.ratio, base.memory) == (
        "as the recipe says", 2, 4, 1, 1000,
    )  # fmt: skip
    assert (other.option, other.seconds, other.images_per_second) == ("precision=bf16", 2, 4)
    assert other.ratio == 2  # of 2, 1/2 and 4
    assert base.product_share == 0.5  # 50 operations times 8, 4, 1 images a second, of 100, 400, 200
    assert other.product_share == 0.5 and other.memory == 2000  # 16, 2, 4 of 800, 200, 1000: 1, 1/2, 1/5
    assert (times.images, times.operations, times.rounds, times.ranks) == (8, 50, 3, 1)
    assert times.products == {"fp32": 200, "bf16": 800} and times.parameters == 6 * 4 + 4
    assert times.machine["device"] == "cpu" and len(found.asked) == 1
    assert heard == [
        (f"timing {name}", 2 * turn + number, 6)
        for turn in range(3) for number, name in enumerate(("as the recipe says", "precision=bf16"))
    ]  # fmt: skip
    assert times.dump()["rows"][1]["option"] == "precision=bf16" and times.dump()["images"] == 8


def test_every_option_is_the_recipes_with_one_thing_changed(turns):
    found = turns(*[[1.0]] * 4)
    rows = timing(throughput.OPTIONS, rounds=1, accumulate=2, batch_size=9).rows
    notes = {row.option: row.note for row in rows if row.note}
    assert notes == {"fuse=on": "no layer of the model supports it", "recompute=true": "there are no blocks"}
    recipe = toy_recipe(Toy, accumulate=2, batch_size=9).train
    base = plain(recipe)
    assert [row.option for row in rows if not row.note] == [
        "as the recipe says", "precision=bf16", "memory_format=channels_last", "batch_size=2 accumulate=8",
    ]  # fmt: skip
    parts = base.config.model_copy(update={"batch_size": 2, "accumulate": 8})
    assert [each[0] for each in found.settings] == [
        base,
        replace(base, arithmetic=replace(base.arithmetic, precision="bf16")),
        replace(base, arithmetic=replace(base.arithmetic, memory_format="channels_last")),
        replace(base, config=parts),
    ]
    assert {each[1:] for each in found.settings} == {(3, CPU, ALONE)}
    assert rows[-1].images_per_second == 16 and rows[0].images_per_second == 18


@pytest.mark.parametrize(("batch", "divided"), [(3, []), (4, ["batch_size=1 accumulate=4"])])
def test_a_step_is_divided_into_four_parts_if_it_has_as_many_images(turns, batch, divided):
    turns([1.0], [1.0])
    assert [row.option for row in timing(["accumulate"], rounds=1, batch_size=batch).rows[1:]] == divided


def test_options_are_turned_the_other_way_from_what_a_recipe_says(turns, monkeypatch):
    """On a GPU that has TF32, and with a model that can do everything."""
    given = {"precision": "bf16", "memory_format": "channels_last", "fuse": "on", "recompute": True, "capture": "on"}
    config = toy_recipe(Toy, **given).train
    base = plain(config)
    monkeypatch.setattr(throughput, "has_tf32", lambda device: True)
    monkeypatch.setattr(throughput, "blocks", lambda model: ["a block"])
    monkeypatch.setattr(throughput, "obstacle", lambda model, device: pytest.fail("asked, though it is fused"))
    found = dict(throughput._others(base, None, CUDA, throughput.OPTIONS, SimpleNamespace(alone=False)))
    assert found == {
        "precision=fp32": replace(base, arithmetic=replace(base.arithmetic, precision="fp32")),
        "precision=tf32": replace(base, arithmetic=replace(base.arithmetic, precision="tf32")),
        "memory_format=contiguous": replace(base, arithmetic=replace(base.arithmetic, memory_format="contiguous")),
        "fuse=off": replace(base, arithmetic=replace(base.arithmetic, fused=False)),
        "recompute=false": replace(base, config=base.config.model_copy(update={"recompute": False})),
        "capture=off": replace(base, config=base.config.model_copy(update={"capture": "off"})),
    }
    monkeypatch.setattr(throughput, "has_tf32", lambda device: False)
    assert list(dict(throughput._others(base, None, CUDA, ["precision"], ALONE))) == ["precision=fp32"]
    monkeypatch.setattr(throughput, "obstacle", lambda model, device: None)
    unfused = plain(config.model_copy(update={"fuse": "auto", "capture": "auto", "recompute": False}))
    found = dict(throughput._others(unfused, None, CUDA, ["fuse", "recompute", "capture"], ALONE))
    assert found["fuse=on"].arithmetic.fused and found["recompute=true"].config.recompute
    assert found["capture=on"].config.capture == "on"


def test_what_a_recipe_leaves_to_measurement_is_plain():
    config = toy_recipe(Toy).train
    assert plain(config).arithmetic == Arithmetic() and plain(config).config.capture == "off"
    said = config.model_copy(update={"fuse": "on", "capture": "on", "precision": "tf32"})
    assert plain(said).arithmetic == Arithmetic("tf32", fused=True) and plain(said).config == said


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError, UsageError])
def test_a_setting_that_fails_is_noted_and_takes_no_more_turns(turns, error):
    kept, last_turn = [], lambda: kept.extend(one() is not None for one in found.alive) or 2.0
    found = turns([1.0] * 3, [1.0, error("too wide")], [2.0, 2.0, last_turn])
    _, failed, last = timing(["precision", "memory_format"]).rows
    assert failed.note.endswith("too wide") and failed.seconds is None and failed.ratio is None
    assert last.ratio == 0.5 and last.note == "" and kept == [True, False, True]  # its memory is free again
    turns([error("too wide")])
    with pytest.raises(error, match="too wide"):
        timing([])


def test_ranks_share_a_step_and_do_not_go_on_without_one_another(turns, monkeypatch):
    """Where one fails, others would wait for it."""
    two = Ranks(0, 1)
    two.size = 2
    turns([1.0], [1.0])
    times = timing(["precision", "accumulate"], ranks=two, rounds=1, accumulate=2)
    assert times.ranks == 2 and [row.option for row in times.rows] == ["as the recipe says", "precision=bf16"]
    assert times.rows[0].product_share == 50 * 16 / (2 * 100)
    turns([1.0], [RuntimeError("lost")])
    with pytest.raises(RuntimeError, match="lost"):
        timing(["precision"], ranks=two, rounds=1, accumulate=2)
    with pytest.raises(UsageError, match="only one"):
        timing([], ranks=two, rounds=1)


def test_unknown_options_are_named():
    with pytest.raises(UsageError, match="no such option") as caught:
        timing(["fuse", "colour", "shape"])
    assert (caught.value.where, caught.value.found) == ("options", "colour, shape")
    assert caught.value.expected == f"some of {', '.join(throughput.OPTIONS)}"
