"""How levels enter a network: values, layout of the maps, precision."""

import pytest
import torch
from pydantic import ValidationError

from pixkit.backbones.encodings import InputConfig
from pixkit.image import ImageSpec

SPEC = ImageSpec(3, 2, 2, 4)


def images(seed=0):
    return torch.randint(4, (5, *SPEC.shape), generator=torch.Generator().manual_seed(seed))


def encoding(kind, **options):
    torch.manual_seed(0)
    return InputConfig(type=kind, **options).build(SPEC)


def test_scaled_levels_run_from_minus_one_to_one():
    x = torch.arange(4).repeat(3).view(1, 3, 2, 2)
    assert encoding("scaled")(x)[0, 0].flatten().tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    binary = InputConfig().build(ImageSpec(1, 1, 2, 2))
    assert binary(torch.tensor([[[[0, 1]]]])).flatten().tolist() == [-1, 1]


def test_one_hot_has_levels_outermost():
    x = images()
    encoded = encoding("one_hot")(x)
    for level in range(4):
        for colour in range(3):
            assert torch.equal(encoded[:, level * 3 + colour], (x[:, colour] == level).float())


def test_embedded_levels_have_a_vector_each_and_for_each_colour():
    module = encoding("embedded", size=5)
    x = images()
    encoded, table = module(x), module.table.weight.view(3, 4, 5)
    for colour in range(3):
        for entry in range(5):
            assert torch.equal(encoded[:, entry * 3 + colour], table[colour, x[:, colour], entry])
    assert len(table.flatten(0, 1).unique(dim=0)) == 12


@pytest.mark.parametrize("kind", ["scaled", "one_hot", "embedded"])
def test_maps_take_turns_among_colours(kind):
    """Changing green changes the maps m with m % 3 = 1 alone, at its site alone."""
    module, x = encoding(kind), images()
    moved = x.clone()
    moved[:, 1, 0, 1] = (moved[:, 1, 0, 1] + 1) % 4
    changed = (module(moved) != module(x)).any(0)
    assert module.maps == len(changed)
    assert {int(m) % 3 for m in changed.flatten(1).any(1).nonzero()} == {1}
    assert changed.any(0).nonzero().tolist() == [[0, 1]]


@pytest.mark.parametrize("kind", ["scaled", "one_hot", "embedded"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_module_has_the_precision(kind, dtype):
    assert encoding(kind).to(dtype)(images()).dtype == dtype


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_sizes_are_bounded(size):
    with pytest.raises(ValidationError):
        InputConfig(type="embedded", size=size)


def test_only_embeddings_are_learned():
    assert [len(list(encoding(kind).parameters())) for kind in ("scaled", "one_hot", "embedded")] == [0, 0, 1]
