"""Which class checks which section, whatever stands in the recipe."""

import pytest

from pixkit.components.plugins import registry
from pixkit.optimisers import AdamW
from pixkit.optimisers.own import Decay
from pixkit.recipe.sections import config_at, slot_at

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
