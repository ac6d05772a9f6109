"""In which way steps are made."""

import pytest
import torch
from toys import CPU

from pixkit.errors import RunError
from pixkit.recipe.schema import TrainConfig
from pixkit.training.way import Way, locked_way

CUDA = torch.device("cuda", 0)


def test_steps_are_launched_ahead_on_a_gpu_and_on_no_cpu():
    kinds = {"auto": "replayed", "on": "replayed", "off": "ahead"}
    for capture, kind in kinds.items():
        config = TrainConfig(capture=capture)
        assert Way.on(CUDA, config).kind == kind
        assert Way.on(CPU, config).kind == "plain" and Way.on(CPU, config).dump() is None


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
