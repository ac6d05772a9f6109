"""A run touches only its own files."""

import contextlib
import errno
import os
from pathlib import Path

import pytest
import torch

from pixkit.errors import RunError
from pixkit.runs import checkpoint, places
from pixkit.runs.run import Run

SETTINGS = {"name": "x"}


def save(run, *steps):
    for step in steps:
        tensors = {name: {"weight": torch.ones(2)} for name in ("model", "ema", "optimizer")}
        checkpoint.save(run.checkpoint_folder(step), tensors, step=step, model="toy", state={}, metrics={})


def built(path):
    """A run as a build leaves it, in small."""
    with Run.claim(path) as (run, _):
        run.start("# as given\n", SETTINGS, {})
        save(run, 1, 2)
        run.point("last", 2)
        run.point("best", 1)
        run.write_json(run.scores, {})
        run.write_json(run.nonfinite, {})
        run.metrics.write_text("")
        run.samples.mkdir()
        for name in ("step-1.png", "step-1.npz", "best.png", "best.npz"):
            (run.samples / name).write_text("")
        (path / "tensorboard").mkdir()
        (path / "tensorboard" / "events.out.tfevents.1.host.2.0").write_text("")
    return run


@pytest.fixture
def run(tmp_path):
    return built(tmp_path / "run")


def tree(folder):
    """All that there is in a folder."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def overwrite(run):
    with Run.claim(run.path, overwrite=True) as (again, _):
        return again.start("# new\n", SETTINGS, {})


def resume(run):
    with Run.claim(run.path, resume=True) as (again, _):
        return again.reopen("# again\n", SETTINGS, {})


PLACES = [
    "build.lock",
    "recipe.yaml",
    "recipe.lock.yaml",
    "env.json",
    "metrics.jsonl",
    "scores.json",
    "nonfinite.json",
    "last",
    "best",
    ".last.7.tmp",
    "samples",
    "samples/step-1.png",
    "samples/step-99.npz",
    "samples/best.png",
    "samples/.best.7.tmp.npz",
    "tensorboard",
    "tensorboard/events.out.tfevents.1.host.2.0",
    "checkpoints",
    "checkpoints/step-1",
    "checkpoints/step-3",
    "checkpoints/.step-3.tmp",
    "checkpoints/.step-3.old.tmp",
    "checkpoints/step-1/manifest.json",
    "checkpoints/step-1/model.safetensors",
    "checkpoints/step-1/.manifest.7.tmp.json",
]


@pytest.mark.parametrize("write", [resume, overwrite])
@pytest.mark.parametrize("place", PLACES)
def test_a_link_inside_a_run_is_refused_and_nothing_is_touched(run, tmp_path, place, write):
    """As in a run folder that was copied, links and all: they lead into the run that it is a copy of."""
    other = built(tmp_path / "other")
    target = other.path / place
    if not target.exists():
        target.mkdir() if "step-3" in place else target.write_text("precious")
    path = run.path / place
    if path.exists():
        path.rename(tmp_path / "away")
    path.symlink_to(target)
    before = tree(run.path), tree(other.path)
    with pytest.raises(RunError) as caught:
        write(run)
    assert caught.value.where == str(path)
    assert caught.value.found == "a link"
    assert "-o PATH" in caught.value.hint
    assert caught.value.exit_code == 2
    assert (tree(run.path), tree(other.path)) == before


@pytest.mark.parametrize("options", [{"resume": True}, {"overwrite": True}])
def test_a_run_with_a_link_in_it_is_not_even_claimed(run, options):
    (run.path / "last").rename(run.path / "notes")
    (run.path / "last").symlink_to("notes")
    with pytest.raises(RunError, match="do not write through links"), Run.claim(run.path, **options):
        pytest.fail("it is")


@pytest.mark.parametrize("place", ["metrics.jsonl", "samples/best.png", "checkpoints/step-1/manifest.json", "best"])
@pytest.mark.parametrize("kind", ["a folder", "a pipe or a device"])
def test_what_is_no_file_where_a_build_writes_one_is_refused(run, place, kind):
    (run.path / place).unlink()
    (run.path / place).mkdir() if kind == "a folder" else os.mkfifo(run.path / place)
    with pytest.raises(RunError, match="not what a build makes") as caught:
        overwrite(run)
    assert caught.value.found == kind


@pytest.mark.parametrize(
    "place", ["samples", "tensorboard", "checkpoints", "checkpoints/step-4", "checkpoints/.step-4.tmp"]
)
def test_a_file_where_a_build_makes_a_folder_is_refused(run, tmp_path, place):
    path = run.path / place
    if path.exists():
        path.rename(tmp_path / "away")
    path.write_text("mine")
    with pytest.raises(RunError, match="not what a build makes") as caught:
        resume(run)
    assert (caught.value.found, caught.value.expected) == ("a file", "a folder")


def test_the_run_folder_itself_may_be_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run.path)
    linked = Run(tmp_path / "link")
    assert resume(linked) == []
    assert overwrite(linked) == []
    assert (tmp_path / "link").is_symlink()
    assert run.steps() == []


def test_readers_follow_links(run, tmp_path):
    (run.path / "checkpoints").rename(tmp_path / "elsewhere")
    run.checkpoints.symlink_to(tmp_path / "elsewhere")
    assert run.steps() == [1, 2]
    assert checkpoint.verify(run.checkpoint("best")).step == 1


def test_a_folder_that_becomes_a_link_meanwhile_is_not_pruned(run, tmp_path):
    other = built(tmp_path / "other")
    (run.path / "checkpoints").rename(tmp_path / "away")
    run.checkpoints.symlink_to(other.checkpoints)
    with pytest.raises(RunError, match="links"):
        run.forget([1])
    assert other.steps() == [1, 2]


MINE = [
    "notes.txt",
    ".draft.tmp.txt",
    ".samples.tmp",
    ".step-1.tmp",
    "step-1.png",
    "samples/cat.png",
    "samples/step-1.jpg",
    "samples/step-1-annotated.png",
    "samples/.draft.tmp.txt",
    "samples/best.png.txt",
    "tensorboard/notes.txt",
    "checkpoints/notes.txt",
    "checkpoints/step-1.zip",
    "checkpoints/step-01",
    "checkpoints/.draft.tmp",
    "checkpoints/step-1/notes.txt",
    "checkpoints/step-1/model-half.safetensors",
    "checkpoints/step-2/plots/loss.png",
    "checkpoints/step-9/model.safetensors",
]
"""What a user may have put into a run; a checkpoint without a manifest is not one of pixkit's."""


def add(run, *names):
    for name in names:
        path = run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")


def test_overwriting_removes_what_pixkit_wrote_and_nothing_else(run):
    add(run, *MINE)
    add(run, ".last.77.tmp", "samples/.best.7.tmp.png", "checkpoints/.step-5.tmp/manifest.json")
    (run.checkpoints / "step-3").mkdir()
    [remark] = overwrite(run)
    assert sorted(name for name, text in tree(run.path).items() if text is not None) == sorted(
        [*MINE, "recipe.yaml", "recipe.lock.yaml", "env.json"]
    )
    assert (run.path / "recipe.yaml").read_text() == "# new\n"
    assert run.steps() == []
    said = remark.removeprefix("kept, as it is not known to be pixkit's: ").split(", ")
    assert said == sorted(name.removesuffix("/loss.png") for name in MINE if "/" in name)


def test_overwriting_what_nobody_added_to_leaves_no_folders_and_says_nothing(run):
    assert overwrite(run) == []
    assert sorted(os.listdir(run.path)) == ["env.json", "recipe.lock.yaml", "recipe.yaml"]


def test_resuming_removes_what_was_half_written_and_nothing_else(run):
    add(run, *MINE)
    before = tree(run.path)
    add(run, ".last.77.tmp", "samples/.step-5.7.tmp.png", "checkpoints/step-1/.manifest.7.tmp.json")
    for name in ("checkpoints/.step-5.tmp", "checkpoints/.step-4.old.tmp"):
        add(run, f"{name}/manifest.json", f"{name}/ema.safetensors")
    assert resume(run) == []
    after = tree(run.path)
    for name in ("recipe.yaml", "scores.json", "nonfinite.json"):
        before.pop(name), after.pop(name, None)
    assert after == before


def test_a_users_file_in_a_checkpoint_that_was_being_removed_is_kept(run):
    add(run, "checkpoints/.step-7.old.tmp/manifest.json", "checkpoints/.step-7.old.tmp/notes.txt")
    assert resume(run) == ["kept, as it is not known to be pixkit's: checkpoints/step-7/notes.txt"]
    assert tree(run.checkpoints / "step-7") == {"notes.txt": b"mine"}
    assert run.steps() == [1, 2]


def test_a_users_file_in_a_checkpoint_stays_when_that_is_removed_or_written_again(run):
    add(run, "checkpoints/step-1/notes.txt")
    save(run, 1)
    checkpoint.verify(run.checkpoint_folder(1))
    assert (run.checkpoint_folder(1) / "notes.txt").read_text() == "mine"
    assert run.forget([1, 2]) == ["kept, as it is not known to be pixkit's: checkpoints/step-1/notes.txt"]
    assert tree(run.checkpoints) == {"step-1": None, "step-1/notes.txt": b"mine"}
    assert run.steps() == []
    save(run, 1)
    assert run.steps() == [1]
    assert (run.checkpoint_folder(1) / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("act", [lambda run: run.forget([1]), lambda run: save(run, 1), overwrite])
def test_a_users_file_survives_a_failure_at_any_change_of_the_file_system(tmp_path, monkeypatch, act):
    failures = 0
    for number in range(100):
        run = built(tmp_path / str(number))
        add(run, "checkpoints/step-1/notes.txt")
        calls = 0

        def failing(real, number=number):
            def call(*given, **options):
                nonlocal calls
                calls += 1
                if calls == number + 1:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return real(*given, **options)

            return call

        with monkeypatch.context() as patch:
            for name in ("rename", "unlink", "mkdir", "rmdir"):
                patch.setattr(Path, name, failing(getattr(Path, name)))
            with contextlib.suppress(RunError, OSError):
                act(run)
        failures += calls > number
        resume(run)
        assert [path.read_text() for path in run.checkpoints.rglob("notes.txt")] == ["mine"], number
        assert not [path for path in run.path.rglob("*") if ".tmp" in path.name], number
        if calls <= number:
            break
    assert 5 < failures < 100


@pytest.mark.parametrize("name", [".draft.tmp.txt", ".notes.7.tmp", ".step-1.tmp", "samples"])
def test_a_folder_with_a_users_file_is_no_place_for_a_new_run(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match="something other than a run"), Run.claim(tmp_path):
        pass
    assert tree(tmp_path) == {name: b"mine"}


def test_a_folder_with_what_a_killed_build_began_to_write_is_a_place_for_one(tmp_path):
    (tmp_path / ".recipe.lock.77.tmp.yaml").write_text("half")
    (tmp_path / "build.lock").write_text("")
    with Run.claim(tmp_path) as (run, _):
        run.start("", SETTINGS, {})
    assert sorted(os.listdir(tmp_path)) == ["env.json", "recipe.lock.yaml", "recipe.yaml"]


def test_somebodys_own_among_the_checkpoints_is_not_tidied(run):
    """Only in folders that are called as checkpoints are, half-written files are pixkit's."""
    for folder in ("mine", "step-1x", "step-2"):
        (run.checkpoints / folder).mkdir(exist_ok=True)
        (run.checkpoints / folder / ".manifest.5.tmp.json").write_text("")
    (run.checkpoints / "notes").write_text("")
    assert places.tidy(run.path) == []
    left = sorted(str(path.relative_to(run.checkpoints)) for path in run.checkpoints.rglob(".*"))
    assert left == ["mine/.manifest.5.tmp.json", "step-1x/.manifest.5.tmp.json"]
