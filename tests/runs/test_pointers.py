"""`last` and `best`, and readers beside a build that removes what they named."""

import multiprocessing
import shutil

import pytest
import torch

from pixkit.errors import CheckpointError
from pixkit.runs import checkpoint, pointers
from pixkit.runs.run import Run


def save(run, *steps):
    for step in steps:
        checkpoint.save(
            run.checkpoint_folder(step),
            {"model": {"weight": torch.full((3,), float(step))}},
            step=step,
            model="toy",
            state={},
            metrics={},
        )


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_checkpoints_by_name(run):
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        run.checkpoint()
    save(run, 5, 40, 10)
    for name in (".step-9.tmp", "other", "step-8", "step-007", "step-\u0663", f"step-{'9' * 5000}"[:200]):
        (run.checkpoints / name).mkdir()
    assert run.steps() == [5, 10, 40]
    run.point("last", 40)
    assert run.checkpoint("best").name == "step-40"
    run.point("best", 10)
    assert run.checkpoint("best").name == "step-10"
    assert run.checkpoint("last").name == "step-40"
    assert run.checkpoint("step-5").name == "step-5"
    assert run.forget([5]) == []
    assert run.steps() == [10, 40]
    run.point("best", None)
    run.point("best", None)
    assert run.checkpoint("best").name == "step-40"


@pytest.mark.parametrize("which", ["step-7", "first", "", "../../etc", "step-", "step-5/..", ".step-9.tmp"])
def test_checkpoints_that_are_not_there(run, which):
    save(run, 5)
    run.point("last", 5)
    with pytest.raises(CheckpointError, match="no such checkpoint") as caught:
        run.checkpoint(which)
    assert caught.value.expected == "best, last, step-5"


@pytest.mark.parametrize("text", ["", "step-5\nstep-6\n", "../../elsewhere", " step-5", "\x00", "step-05"])
def test_pointers_that_say_something_else(run, text):
    save(run, 5)
    (run.path / "last").write_text(text)
    with pytest.raises(CheckpointError, match="unreadable") as caught:
        run.checkpoint("last")
    assert caught.value.expected == "a line like step-250"


@pytest.mark.parametrize("text", ["step-5", "step-5\n", "step-5\r\n", "step-5 \t\r\n\r\n"])
def test_blanks_and_other_line_ends_do_not_count(run, text):
    save(run, 5)
    for which in ("last", "best"):
        (run.path / which).write_bytes(text.encode())
        assert run.checkpoint(which).name == "step-5"


def test_a_pointer_to_what_is_gone(run):
    run.point("last", 5)
    with pytest.raises(CheckpointError, match="no such checkpoint") as caught:
        run.checkpoint("best")
    assert caught.value.found == "best, which names step-5"


def test_without_pointers_the_checkpoints_are_named(run):
    save(run, 5, 10)
    with pytest.raises(CheckpointError, match="no file says which") as caught:
        run.checkpoint("best")
    assert "step-5, step-10" in caught.value.hint


def weights(folder):
    return checkpoint.read_tensors(folder, checkpoint.read_manifest(folder), "model")["weight"]


@pytest.mark.parametrize("which", ["best", "last"])
@pytest.mark.parametrize("gone", ["before", "meanwhile"])
def test_a_checkpoint_that_is_removed_before_it_is_read_is_looked_for_again(run, which, gone):
    save(run, 1)
    run.point(which, 1)
    seen = []

    def read(folder):
        seen.append(folder.name)
        if len(seen) == 1:
            save(run, 2)
            run.point(which, 2)
        if len(seen) == 1 and gone == "before":
            run.forget([1])
        manifest = checkpoint.read_manifest(folder)
        if len(seen) == 1:
            run.forget([1])
        return checkpoint.read_tensors(folder, manifest, "model")["weight"]

    assert run.read_checkpoint(which, read).tolist() == [2, 2, 2]
    assert seen == ["step-1", "step-2"]


def test_damage_is_an_error_at_once_and_so_is_a_name(run):
    save(run, 1, 2)
    run.point("last", 1)
    (run.checkpoint_folder(1) / "model.safetensors").write_bytes(b"")
    seen = []

    def read(folder):
        seen.append(folder.name)
        return weights(folder)

    for which in ("last", "step-1"):
        with pytest.raises(CheckpointError, match="cut short"):
            run.read_checkpoint(which, read)
    assert seen == ["step-1", "step-1"]


def test_a_reader_that_is_never_quick_enough_gives_up(run):
    save(run, 0)
    run.point("last", 0)
    seen = []

    def read(folder):
        seen.append(folder.name)
        step = len(seen)
        save(run, step)
        run.point("last", step)
        shutil.rmtree(folder)
        return weights(folder)

    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        run.read_checkpoint("last", read)
    assert len(seen) == pointers.READINGS + 1


def keep_one(path, stop):
    """What a build does at every step: save, point, remove what was there before."""
    run, step = Run(path), 2
    while not stop.is_set():
        save(run, step)
        run.point("last", step)
        run.point("best", step)
        run.forget([step - 1])
        step += 1


def test_beside_a_build_that_removes_checkpoints_every_reading_succeeds(run):
    save(run, 1)
    run.point("last", 1)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    build = context.Process(target=keep_one, args=(run.path, stop))
    build.start()
    try:
        seen = set()
        while len(seen) < 30:
            assert build.is_alive()
            values = run.read_checkpoint("best", weights).tolist()
            assert values == [values[0]] * 3
            seen.add(values[0])
            assert run.checkpoint("last").name.startswith("step-")
    finally:
        stop.set()
        build.join()
