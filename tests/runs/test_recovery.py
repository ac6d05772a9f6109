"""From which checkpoint a run is resumed."""

import hashlib
import shutil

import pytest
import torch

from pixkit.errors import CheckpointError
from pixkit.runs import checkpoint
from pixkit.runs.recovery import lost_best, naming_another, newest_sound, resume_point
from pixkit.runs.run import Run


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of steps 1, 2 and 3; `last` names the last one."""
    run = Run(tmp_path)
    for step in (1, 2, 3):
        tensors = {name: {"weight": torch.ones(2)} for name in ("model", "ema", "optimizer")}
        checkpoint.save(run.checkpoint_folder(step), tensors, step=step, model="toy", state={}, metrics={})
    run.point("last", 3)
    return run


def damage(run, step, name="optimizer"):
    path = run.checkpoint_folder(step) / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def begin(run):
    """Where it goes on, and what is said."""
    said = []
    folder = resume_point(run, said.append)
    return folder and folder.name, said


def test_a_run_goes_on_where_last_says(run):
    run.point("last", 2)
    assert begin(run) == ("step-2", [])


def test_without_last_it_goes_on_from_the_newest_checkpoint_and_says_so(run):
    run.point("last", None)
    found, [said] = begin(run)
    assert found == "step-3"
    assert said == "the file `last` is missing: continuing from step-3, the newest sound checkpoint"


def test_damaged_checkpoints_are_passed_over_by_name(run):
    run.point("last", None)
    damage(run, 3)
    (run.checkpoint_folder(2) / "manifest.json").unlink()
    with pytest.warns(RuntimeWarning, match="continuing from step-1") as warned:
        assert begin(run) == ("step-1", [])
    [said] = [str(warning.message) for warning in warned]
    assert "step-3 (optimizer.safetensors: damaged" in said
    assert "step-2 (manifest.json: cannot be read" in said


def test_a_run_without_a_sound_checkpoint_is_not_resumed(run):
    run.point("last", None)
    for step in (1, 2, 3):
        damage(run, step)
    with pytest.raises(CheckpointError, match="no sound checkpoint") as caught:
        begin(run)
    assert all(f"step-{step} (" in caught.value.found for step in (1, 2, 3))
    assert "--overwrite" in caught.value.hint


def test_a_run_without_checkpoints_starts_from_the_beginning_and_says_so(run):
    run.point("last", None)
    shutil.rmtree(run.checkpoints)
    assert begin(run) == (None, ["there is no checkpoint to continue from yet: training starts from step 0"])


@pytest.mark.parametrize("text", ["step-7\n", "elsewhere\n", ""])
def test_where_last_names_nothing_the_way_on_is_named(run, text):
    damage(run, 3)
    (run.path / "last").write_text(text)
    with pytest.raises(CheckpointError) as caught:
        begin(run)
    assert caught.value.hint == f"to continue from step-2, the newest sound checkpoint, remove {run.path / 'last'}"
    (run.path / "last").unlink()
    with pytest.warns(RuntimeWarning, match="continuing from step-2"):
        assert begin(run)[0] == "step-2"


def test_where_the_last_checkpoint_is_damaged_the_way_on_is_named(run):
    damage(run, 3)
    folder = resume_point(run, pytest.fail)
    with pytest.raises(CheckpointError, match="damaged") as caught, naming_another(run, folder):
        checkpoint.verify(folder)
    assert "to continue from step-2" in caught.value.hint


def test_where_nothing_is_sound_no_way_on_is_named(run):
    for step in (1, 2, 3):
        damage(run, step)
    with pytest.raises(CheckpointError) as caught, naming_another(run, run.checkpoint_folder(3)):
        checkpoint.verify(run.checkpoint_folder(3))
    assert "--overwrite" in caught.value.hint


def test_another_fault_of_a_sound_checkpoint_gets_no_such_hint(run):
    with pytest.raises(CheckpointError) as caught, naming_another(run, run.checkpoint_folder(3)):
        raise CheckpointError("another model's weights")
    assert caught.value.hint is None


def test_the_newest_sound_checkpoint(run):
    damage(run, 3, "ema")
    found, [damaged] = newest_sound(run)
    assert found == run.checkpoint_folder(2)
    assert damaged.startswith("step-3 (ema.safetensors: ")


def test_the_weights_of_the_best_checkpoint_are_lost_or_not(run):
    assert lost_best(run, 2) is None
    damage(run, 2, "optimizer")
    assert lost_best(run, 2) is None
    damage(run, 2, "ema")
    path = run.checkpoint_folder(2) / "ema.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    reason = f"damaged: its bytes are not those that were saved, SHA-256 {digest}"
    assert lost_best(run, 2) == f"step-2 (ema.safetensors: {reason})"
    assert lost_best(run, 9) == "step-9 (step-9: there is no checkpoint)"
