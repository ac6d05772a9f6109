"""What the system cannot read is not taken for what is not there: a run on a failing disk is no folder without one."""

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixkit.errors import RunError
from pixkit.runs.run import Run

BUILDS = ["build tiny.yaml -o run", "build tiny.yaml -o run --resume", "build tiny.yaml -o run --overwrite"]
READERS = ["show run run", "sample run -n 1 -o a.png", "eval run", "verify run", "bench sample run"]
CAUSES = [errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE]


@pytest.fixture
def run(workplace, built):
    return Run(shutil.copytree(built, workplace / "run"))


@pytest.fixture
def fail(monkeypatch):
    """`with fail(path, number, names)`: calls of the system that name the path give this error, or the n'th alone."""

    @contextmanager
    def failing(path, number, names=("open", "stat", "lstat", "scandir"), nth=None):
        count = []

        def replaced(real):
            def call(asked, *arguments, **options):
                if isinstance(asked, str | os.PathLike) and Path(asked).absolute() == Path(path).absolute():
                    count.append(1)
                    if nth in (None, len(count)):
                        raise OSError(number, os.strerror(number), os.fspath(asked))
                return real(asked, *arguments, **options)

            return call

        with monkeypatch.context() as patched:
            for name in names:
                patched.setattr(os, name, replaced(getattr(os, name)))
            yield count

    return failing


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("number", CAUSES, ids=errno.errorcode.get)
@pytest.mark.parametrize("command", [*BUILDS, *READERS])
def test_a_run_whose_lock_cannot_be_read_is_an_error_with_the_cause(pixkit, run, fail, command, number):
    before = contents(run.path)
    with fail(run.path / "recipe.lock.yaml", number, names=["open"]):
        outcome = pixkit(*command.split())
    assert outcome.code == 2
    assert "recipe.lock.yaml: cannot be read" in outcome.err and os.strerror(number) in outcome.err
    assert contents(run.path) == before


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_one_look_that_fails_before_a_run_is_replaced(pixkit, run, fail, nth):
    before = contents(run.path)
    with fail(run.path / "recipe.lock.yaml", errno.EIO, names=["open", "stat"], nth=nth) as looks:
        outcome = pixkit("build", "tiny.yaml", "-o", "run", "--overwrite")
    assert len(looks) >= nth
    assert outcome.code == 2 and "Input/output error" in outcome.err
    assert contents(run.path) == before


@pytest.mark.parametrize("place", ["checkpoints", "last", "manifest.json"])
@pytest.mark.parametrize("names", [["stat"], ["open", "scandir"]], ids=["looked at", "opened"])
@pytest.mark.parametrize("command", ["show run run", "sample run -n 1 -o a.png --checkpoint last", BUILDS[1]])
def test_other_places_that_cannot_be_read(pixkit, run, fail, command, place, names):
    """Never "there is no checkpoint": what is there is not known."""
    before = contents(run.path)
    path = run.checkpoint("last") / place if place == "manifest.json" else run.path / place
    with fail(path, errno.EIO, names=names) as looks:
        outcome = pixkit(*command.split())
    if not looks:  # a command that has no need of it
        assert outcome.code == 0
        return
    assert outcome.code in (2, 3)
    assert "Input/output error" in outcome.err and "run" in outcome.err.split("found:")[0]
    assert contents(run.path) == before


@pytest.mark.parametrize("number", CAUSES, ids=errno.errorcode.get)
def test_a_run_that_cannot_be_read_is_listed_as_such_beside_the_others(pixkit, run, fail, number):
    Path("runs").mkdir()
    for name in ("good", "bad"):
        shutil.copytree(run.path, f"runs/{name}")
    with fail("runs/bad/recipe.lock.yaml", number, names=["open"]):
        outcome = pixkit("ls", "runs", "--json")
    assert outcome.code == 0
    bad, good = json.loads(outcome.out)
    assert (bad["name"], good["name"]) == ("bad", "tiny")
    assert os.strerror(number) in bad["error"] and "error" not in good


def test_a_folder_that_nobody_else_may_look_into_is_not_listed(pixkit, run, fail):
    """On a machine of several people there are many of them, and no reason to take them for runs."""
    Path("runs/private").mkdir(parents=True)
    with fail("runs/private/recipe.lock.yaml", errno.EACCES):
        outcome = pixkit("ls", "runs", "--json")
    assert (outcome.code, json.loads(outcome.out)) == (0, [])


def test_a_folder_that_cannot_be_listed(pixkit, run, fail):
    with fail("runs", errno.EIO, names=["stat"]):
        outcome = pixkit("ls", "runs")
    assert outcome.code == 2 and "Input/output error" in outcome.err


@pytest.mark.parametrize("name", ["nothing", "tiny.yaml", "x" * 5000, "a\0b", "loop"])
def test_where_nothing_can_be_is_no_run(workplace, name):
    (workplace / "loop").symlink_to("loop")
    assert not Run(Path(name)).started
    with pytest.raises(RunError) as caught:
        Run.open(name)
    assert caught.value.message == "not a pixkit run"


def test_a_recipe_that_cannot_be_read_is_not_taken_for_a_packaged_one_of_its_name(pixkit, workplace, fail):
    (workplace / "digits-pixelcnn.yaml").write_text("pixkit: 1\n")
    with fail("digits-pixelcnn.yaml", errno.EIO):
        outcome = pixkit("build", "digits-pixelcnn.yaml", "--dry-run")
    assert outcome.code == 2 and "Input/output error" in outcome.err
