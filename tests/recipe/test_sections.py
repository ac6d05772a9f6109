"""Which class checks which section, whatever stands in the recipe."""

from typing import Literal

import pytest
from pydantic import Field

from pixkit.components.config import ComponentConfig
from pixkit.components.plugins import registry
from pixkit.optimisers import AdamW
from pixkit.optimisers.own import Decay
from pixkit.recipe.sections import Slot, config_at, keys_below, owners, slot_at

RECIPE = {
    "data": {"source": "digits"},
    "model": {
        "type": "order_agnostic",
        "orderings": [{"type": "raster"}, "snake", {"type": "hilbert"}],
        "backbone": {"type": "local_pixelcnn", "width": 6},
    },
    "train": {"optimizer": {"type": "adamw", "betas": [0.9, 0.99]}, "optimizers": {"second": {"type": "adamw"}}},
}


@pytest.mark.parametrize(("path", "config"), [
    (("model",), lambda: registry().get("model", "order_agnostic").cls.Config),
    (("model", "backbone"), lambda: registry().get("backbone", "local_pixelcnn").cls.Config),
    (("model", "orderings", 0), lambda: registry().get("ordering", "raster").cls.Config),
    (("model", "orderings", 2), lambda: registry().get("ordering", "hilbert").cls.Config),
    (("train", "optimizers", "second"), lambda: AdamW.Config),
    (("train", "optimizers"), lambda: None),
    (("train", "steps"), lambda: None),
    (("train", "nothing", "here"), lambda: None),
], ids=lambda value: "-" if callable(value) else str(value))  # fmt: skip
def test_the_class_that_checks_a_mapping(path, config):
    assert config_at(path, RECIPE, registry()) is config()


@pytest.mark.parametrize(("path", "annotation"), [
    (("train", "optimizer", "betas", 1), Decay),
    (("train", "optimizer", "betas", 7), Decay),
    (("train", "optimizer", "betas", "1"), None),
    (("train", "optimizers", 1), None),
    (("train", "steps"), int),
    (("train", "steps", 0), None),
], ids=str)  # fmt: skip
def test_what_a_place_of_a_list_or_a_mapping_takes(path, annotation):
    slot = slot_at(path, RECIPE, registry())
    assert (None if slot is None else slot.annotation) is annotation


class Slow(ComponentConfig):
    type: Literal["slow"] = "slow"
    warm: int = 1


class Fast(ComponentConfig):
    type: Literal["fast"]
    rate: float = 0.5


class Section(ComponentConfig):
    pace: Slow | Fast = Field(default_factory=Slow)
    other: Fast | None = None


def test_the_keys_of_a_section_that_is_left_out_are_those_of_its_default():
    ends = [("other",), ("other", "type"), ("other", "rate")]
    for given, own in (({}, "warm"), ({"pace": {"type": "slow"}}, "warm"), ({"pace": {"type": "fast"}}, "rate")):
        found = list(keys_below(Slot(Section), given, registry()))
        assert found == [("pace",), ("pace", "type"), ("pace", own), *ends]


def test_the_members_of_a_union_that_have_a_key_are_named_by_their_types():
    assert owners(slot_at(("train",), RECIPE, registry()), "steps", registry()) == []
    assert owners(Slot(Slow | Fast), "rate", registry()) == ["fast"]
    assert owners(Slot(Slow | Fast), "type", registry()) == ["slow", "fast"]
