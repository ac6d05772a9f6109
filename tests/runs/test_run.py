"""The run directory."""

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from pixkit.context import ContextSpec
from pixkit.errors import PluginError, RunError
from pixkit.image import ImageSpec
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.lock import LockLost, locked
from pixkit.runs.run import BUILD_LOCK, Run

BESIDE = ContextSpec("small", (3, 4, 2), 17, 2, "every"), ContextSpec("vector", (2,))
SPEC = ImageSpec(3, 8, 5, 17, context=BESIDE)
LOCK = {
    "image": SPEC.dump(),
    "classes": 10,
    "data": {"description": "digits, 17 levels", "hashes": {}},
    "parameters": 1,
    "changes": [],
}


@pytest.fixture(scope="module")
def plain():
    return load_recipe("digits-pixelcnn").lock()


@pytest.fixture
def run(tmp_path, plain):
    with Run.claim(tmp_path / "run") as (run, stale):
        assert stale is None
        run.start("# as given\n", {**plain, "lock": LOCK}, {"python": "3"})
    return run


def claim(path, **options):
    with Run.claim(path, **options) as (run, _):
        return run


def test_settings_that_a_caller_changes_are_read_again_as_they_are(run, plain):
    found = run.settings()
    found["train"]["steps"] = 0
    found["train"]["optimizer"]["betas"].append(1)
    found["lock"]["changes"].append("x")
    assert run.settings() == {**plain, "lock": LOCK}


def test_folders_around_a_run_are_made(tmp_path):
    with Run.claim(tmp_path / "deep" / "deeper" / "run") as (run, _):
        assert run.path.is_dir()


def test_a_new_run(run, plain):
    assert sorted(entry.name for entry in run.path.iterdir()) == ["env.json", "recipe.lock.yaml", "recipe.yaml"]
    assert run.started
    assert (run.path / "recipe.yaml").read_text() == "# as given\n"
    assert run.environment() == {"python": "3"}
    assert run.settings() == {**plain, "lock": LOCK}
    assert run.spec == SPEC
    assert run.classes == 10
    assert run.steps() == []
    assert list(run.rows()) == []
    assert run.final_scores() == {}
    assert Run.open(str(run.path)).recipe() == load_recipe("digits-pixelcnn").recipe


def test_reading_a_run_imports_no_torch(run):
    code = (
        f"import sys; from pixkit.runs.run import Run; run = Run.open({str(run.path)!r}); run.steps();"
        "list(run.rows()); run.environment(); from pixkit.cli.main import main;"
        f"main(['ls', 'runs', {str(run.path)!r}]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "stopped" in done.stdout and done.stdout.endswith("\nFalse\n")


def test_an_existing_run_is_refused_unless_told(run):
    with pytest.raises(RunError, match="a run already") as caught:
        claim(run.path)
    assert caught.value.exit_code == 2
    assert "--resume" in caught.value.hint
    assert claim(run.path, resume=True).path == run.path
    assert claim(run.path, overwrite=True).path == run.path


def test_a_run_that_another_build_has_made_before_this_one_held_the_folder_is_refused(tmp_path, run, monkeypatch):
    folder, hold = tmp_path / "new", locked

    @contextmanager
    def late(path, **options):
        with hold(path, **options) as held:
            shutil.copytree(run.path, folder, dirs_exist_ok=True)
            yield held

    monkeypatch.setattr("pixkit.runs.run.locked", late)
    with pytest.raises(RunError, match="a run already"):
        claim(folder)
    assert Run(folder).started


def test_claiming_alone_touches_nothing(run):
    before = {entry.name: entry.read_bytes() for entry in run.path.iterdir()}
    claim(run.path, overwrite=True)
    assert {entry.name: entry.read_bytes() for entry in run.path.iterdir()} == before


def test_a_folder_that_is_a_link_is_the_run_that_it_leads_to(run, tmp_path):
    (tmp_path / "link").symlink_to(run.path.name)
    assert claim(tmp_path / "link", resume=True).path == run.path


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(RunError, match="no run to resume"):
        claim(tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
def test_what_is_no_run_is_never_touched(tmp_path, options):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("mine")
    with pytest.raises(RunError, match="something other than a run") as caught:
        claim(folder, **options)
    assert caught.value.found == "recipe.yaml"
    assert os.listdir(folder) == ["recipe.yaml"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="not a folder"):
        claim(tmp_path / "file", **options)


@pytest.mark.parametrize("text", ["", "pixkit: 1\n", "\xff\xfe", "# Written by somebody else\n"])
def test_a_lock_that_pixkit_did_not_write_makes_no_run(tmp_path, text):
    (tmp_path / "recipe.lock.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match="something other than a run"):
        claim(tmp_path, overwrite=True)
    with pytest.raises(RunError, match="not a pixkit run"):
        Run.open(tmp_path)


def test_an_empty_folder_may_be_used_and_stays(tmp_path):
    (tmp_path / "empty").mkdir()
    claim(tmp_path / "empty")
    assert (tmp_path / "empty").is_dir()


def test_a_claim_that_came_to_nothing_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), Run.claim(tmp_path / "run"):
        assert (tmp_path / "run" / BUILD_LOCK).exists()
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_errors_of_the_block_are_not_taken_for_the_locks(tmp_path):
    with pytest.raises(FileNotFoundError), Run.claim(tmp_path / "run"):
        raise FileNotFoundError("a data set")


def test_one_build_a_folder(run):
    code = (
        f"from pathlib import Path; from pixkit.runs.run import Run; folder = Path({str(run.path)!r})\n"
        "with Run.claim(folder, resume=True): pass"
    )
    with Run.claim(run.path, resume=True):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "another build is writing this run" in done.stderr
    assert f"process {os.getpid()}" in done.stderr


def test_the_lock_of_a_dead_build_is_reported(run):
    code = (
        "import os; from pathlib import Path; from pixkit.runs.run import Run\n"
        f"with Run.claim(Path({str(run.path)!r}), resume=True): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert (run.path / BUILD_LOCK).exists()
    half, said = run.checkpoints / ".step-9.tmp", []
    half.mkdir(parents=True)
    (half / "notes.txt").write_text("mine")
    with Run.claim(run.path, resume=True, say=said.append) as (_, stale):
        assert "did not end properly" in stale
    assert said == ["kept, as it is not known to be pixkit's: checkpoints/step-9/notes.txt"] and not half.exists()


def test_reopening_removes_the_end_and_what_was_half_written(run, plain):
    run.write_json(run.scores, {})
    run.write_json(run.nonfinite, {})
    (run.checkpoints / ".step-9.tmp").mkdir(parents=True)
    (run.checkpoints / "step-8").mkdir()
    run.reopen("# again\n", {**plain, "lock": LOCK}, {"threads": 3})
    assert not run.scores.exists()
    assert not run.nonfinite.exists()
    assert os.listdir(run.checkpoints) == ["step-8"]
    assert run.environment() == {"threads": 3}


def test_a_damaged_lock_is_an_error(run):
    path = run.path / "recipe.lock.yaml"
    header = path.read_text().split("\n")[0]
    for text, message in (
        ("a: [1", "cannot be read"),
        ("a: 1", "is missing"),
        ("[]", "contents are wrong"),
        ("lock: {}", "is missing"),
    ):
        path.write_text(f"{header}\n{text}\n")
        with pytest.raises(RunError, match=message):
            run.settings()


def test_a_missing_plugin_is_named(run, plain):
    model = {**plain["model"], "backbone": {"type": "other-dist:wavelets", "width": 3}}
    run.write_settings({**plain, "model": model, "lock": LOCK})
    for changes in ({}, {"name": "-x"}, {"sample": {"cuont": 3}}):  # what else is wrong may follow from it
        run.write_settings({**plain, **changes, "model": model, "lock": LOCK})
        with pytest.raises(PluginError, match=r"(?s)other-dist:wavelets.*install other-dist"):
            run.recipe()


def test_a_recipe_that_no_longer_validates_is_an_error(run, plain):
    run.write_settings({**plain, "train": {**plain["train"], "stepps": 3}, "lock": LOCK})
    with pytest.raises(RunError, match=r"train\.stepps"):
        run.recipe()


def test_damaged_json_is_an_error(run):
    (run.path / "env.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        run.environment()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        claim(tmp_path / "file" / "run")


def test_json_is_written_whole(run):
    run.write_json(run.scores, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        run.write_json(run.scores, {"a": float("nan")})
    assert json.loads(run.scores.read_text()) == {"a": 1}


def another_build(run):
    """Another build that took the run over: what stands in its lock now."""
    lock = run.path / BUILD_LOCK
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "pid": 7, "host": "elsewhere", "token": "other"}))


WRITES = {
    "point": lambda run: run.point("last", 2),
    "forget": lambda run: run.forget([1]),
    "start": lambda run: run.start("# anew\n", {"lock": LOCK}, {}),
    "reopen": lambda run: run.reopen("# anew\n", {"lock": LOCK}, {}),
    "scores": lambda run: run.write_json(run.scores, {}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_run_that_was_taken_over_is_not_written(run, write):
    for name in ("step-1", "step-2", ".step-3.tmp"):
        (run.checkpoints / name).mkdir(parents=True)
    (run.path / "last").write_text("step-1\n")
    run.scores.write_text("{}\n")
    with Run.claim(run.path, overwrite=True) as (claimed, _):
        another_build(run)
        before = snapshot(run)
        with pytest.raises(LockLost, match="no longer holds the run") as caught:
            write(claimed)
        assert "process 7 on elsewhere" in caught.value.found
        assert caught.value.exit_code == 2
    assert snapshot(run) == before


def snapshot(run):
    return {path: path.is_file() and path.read_bytes() for path in run.path.rglob("*")}


def test_a_build_that_is_taken_over_while_it_writes_does_not_rename(run, monkeypatch):
    """It was stopped after it had written a temporary file, and before it looked whether the run is still its own."""
    fsync = os.fsync
    with Run.claim(run.path, overwrite=True) as (claimed, _):

        def stopped(descriptor):
            fsync(descriptor)
            monkeypatch.setattr(os, "fsync", fsync)
            another_build(run)

        monkeypatch.setattr(os, "fsync", stopped)
        with pytest.raises(LockLost):
            claimed.point("last", 2)
    assert not (run.path / "last").exists()


def test_a_build_that_takes_over_removes_what_the_other_was_about_to_rename(run, monkeypatch):
    """It was stopped after it had looked: its file is gone, and the error says why."""
    check = Run.check
    with Run.claim(run.path, overwrite=True) as (claimed, _):
        taken = []

        def stopped(self, every=0.0):
            check(self, every)
            if not taken and list(run.path.glob(".last.*")):
                taken.append(Run.claim(run.path, overwrite=True, break_lock=True))
                monkeypatch.setattr(Run, "check", check)
                assert "taken over from" in taken[0].__enter__()[1]

        monkeypatch.setattr(Run, "check", stopped)
        with pytest.raises(LockLost):
            claimed.point("last", 2)
        assert not (run.path / "last").exists()
        taken[0].__exit__(None, None, None)


def test_a_checkpoint_is_not_put_into_a_run_that_was_taken_over(run):
    def save(**changes):
        checkpoint.save(
            run.checkpoint_folder(3),
            {"model": {"w": torch.zeros(2)}},
            step=3,
            model="m",
            state={},
            metrics=changes,
            before=claimed.check,
        )

    with Run.claim(run.path, overwrite=True) as (claimed, _):
        save()
        another_build(run)
        before = snapshot(run)
        with pytest.raises(LockLost):
            save(other=1)
        with pytest.raises(LockLost):
            checkpoint.amend(run.checkpoint_folder(3), state={}, metrics={"other": 1}, before=claimed.check)
    assert snapshot(run) == before


@pytest.mark.parametrize("moment", ["before it is held", "while it is"])
def test_a_folder_that_cannot_be_looked_at(run, monkeypatch, moment):
    def failing(path, *arguments, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path))

    def claiming():
        with Run.claim(run.path, overwrite=True) as (claimed, _):
            assert moment == "while it is"
            claimed.checkpoints.mkdir(exist_ok=True)
            monkeypatch.setattr(os, "scandir", failing)
            claimed.steps()

    if moment == "before it is held":
        monkeypatch.setattr("pixkit.runs.places.kind_at", failing)
    with pytest.raises(RunError, match=r"(?s)cannot be read.*Input/output error"):
        claiming()
    monkeypatch.undo()
    assert not (run.path / "build.lock").exists()


def test_what_else_cannot_be_read_is_not_laid_to_the_run(run, tmp_path):
    with pytest.raises(FileNotFoundError), Run.claim(run.path, overwrite=True):
        (tmp_path / "elsewhere").read_text()
