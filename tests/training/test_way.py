"""In which way steps are made."""

import pytest
import torch
from toys import CPU

from pixkit.errors import RunError
from pixkit.training.way import Way, locked_way

CUDA = torch.device("cuda", 0)


def test_steps_are_launched_ahead_on_a_gpu_and_on_no_cpu():
    assert Way.on(CUDA).kind == "ahead"
    assert Way.on(CPU).kind == "plain" and Way.on(CPU).dump() is None


def test_a_run_keeps_to_the_way_that_it_was_begun_with():
    begun = Way.on(CUDA)
    assert locked_way({"steps": begun.dump()}, CUDA, "run") == begun
    assert locked_way({}, CUDA, "run").kind == "plain"
    assert locked_way({"steps": begun.dump()}, CPU, "run").kind == "plain"


@pytest.mark.parametrize(
    "found", [[], {"way": "ahead"}, {"way": "sideways", "reason": ""}, {"way": [], "reason": ""}, 1]
)
def test_a_way_that_is_none_is_refused(found):
    with pytest.raises(RunError, match=r"lock\.steps"):
        locked_way({"steps": found}, CUDA, "run")
