"""In which way steps are made."""

import pytest
import torch
from toys import CPU, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.errors import RunError
from pixkit.optimisers import SGD
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import TrainConfig
from pixkit.training import way
from pixkit.training.capture.race import Race
from pixkit.training.step import Stepper
from pixkit.training.way import Way, locked_way

CUDA = torch.device("cuda", 0)


def test_steps_are_launched_ahead_on_a_gpu_and_on_no_cpu():
    kinds = {"auto": "replayed", "on": "replayed", "off": "ahead"}
    for capture, kind in kinds.items():
        config = TrainConfig(capture=capture)
        assert Way.on(CUDA, config).kind == kind
        assert Way.on(CPU, config).kind == "plain" and Way.on(CPU, config).dump() is None


def test_steps_that_cannot_be_recorded_are_launched(monkeypatch):
    for config in (TrainConfig(), TrainConfig(capture="on")):
        assert Way.on(CUDA, config).kind == "replayed" and Way.on(torch.device("meta"), config).kind == "ahead"
    assert Way.on(CUDA, TrainConfig(capture="on")).reason == "as the recipe says"
    assert Way.on(CUDA, TrainConfig()).reason == "if measured to be faster"
    assert Way.on(CUDA, TrainConfig(recompute=True, capture="on")).kind == "ahead"
    monkeypatch.setattr(SGD, "capturable", False)
    for given in ({"optimizer": "sgd"}, {"optimizers": {"second": {"type": "sgd"}}}):
        found = Way.on(CUDA, TrainConfig(**given, capture="on"))
        assert found.kind == "ahead" and "optimiser sgd" in found.reason


def test_several_ranks_record_nothing():
    several = Ranks(0, 1)
    several.size = 2
    for kind, then in (("plain", "plain"), ("ahead", "ahead"), ("replayed", "ahead")):
        begun = Way(kind, "why")
        assert begun.of(ALONE) is begun and begun.of(several).kind == then
        assert begun.of(several).reason == ("several ranks make each step" if kind == "replayed" else "why")


@pytest.mark.parametrize(("kind", "capture"), [
    ("plain", "auto"), ("ahead", "auto"), ("replayed", "auto"), ("replayed", "on")
])  # fmt: skip
def test_who_makes_the_steps(monkeypatch, kind, capture):
    monkeypatch.setattr(way, "Ahead", lambda *given: given)
    monkeypatch.setattr(way, "record_cuda", lambda device: f"record on {device}")
    model, dataset = toy_model(recipe := toy_recipe(lag=5, capture=capture))
    stepper = Stepper(model, BatchSequence(dataset, 8, 0), recipe.train, 0, CPU)
    found = Way(kind, "").ahead(stepper, print)
    if kind == "plain":
        assert found is None
    elif kind == "ahead":
        assert found == (stepper, 5)
    else:
        assert found[:3] == (stepper, 5, "record on cpu") and found[4] is print
        assert isinstance(found[3], Race) == (capture == "auto") and (found[3] is None) == (capture == "on")


def test_a_run_keeps_to_the_way_that_it_was_begun_with():
    config, launched = TrainConfig(), TrainConfig(capture="off")
    begun = Way.on(CUDA, config)
    assert locked_way({"steps": begun.dump()}, CUDA, config, "run") == begun
    assert locked_way({"steps": begun.dump()}, CUDA, launched, "run").kind == "ahead"  # with the same digits
    assert locked_way({}, CUDA, config, "run").kind == "plain"
    there = locked_way({"steps": begun.dump()}, CPU, config, "run")
    assert there.kind == "plain" and there.dump() == begun.dump()  # back on a GPU it goes on as it was begun


@pytest.mark.parametrize("found", [[], {}, {"way": "plain"}, {"way": "sideways"}, 1])
def test_a_way_that_is_none_is_refused(found):
    with pytest.raises(RunError, match=r"lock\.steps"):
        locked_way({"steps": found}, CUDA, TrainConfig(), "run")
