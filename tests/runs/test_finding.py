"""Which folder a run's name means, and what one may do where there is none."""

from pathlib import Path

import pytest

from pixkit.errors import RunError
from pixkit.runs import finding
from pixkit.runs.contents import LOCK_HEADER
from pixkit.runs.finding import folder_of_run, how_to_make
from pixkit.runs.holder import this_process


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*paths, lock=LOCK_HEADER):
    for path in map(Path, paths):
        path.mkdir(parents=True)
        (path / "recipe.lock.yaml").write_text(lock)


def test_a_path_that_is_a_run_comes_before_one_of_that_name_among_the_runs(workplace):
    said = []
    assert folder_of_run("mine", said.append) == Path("mine") and said == []
    make("runs/mine")
    assert folder_of_run("mine", said.append) == Path("runs/mine") == folder_of_run("mine")
    assert said == ["mine: the run runs/mine"]
    make("mine")
    assert folder_of_run("mine", said.append) == Path("mine")
    assert said[1:] == ["mine: the run at this path, not runs/mine"]
    for given in (workplace / "mine", workplace / "absent", Path("runs/mine")):
        assert folder_of_run(given, said.append) == given
    Path("runs/other").symlink_to(workplace / "mine")
    Path("other").symlink_to("mine")
    assert folder_of_run("other", said.append) == Path("other") and len(said) == 2  # the same run


def test_a_damaged_run_is_what_its_path_says():
    make("mine", lock="")
    make("runs/mine")
    assert folder_of_run("mine") == Path("runs/mine")
    for name in ("metrics.jsonl", "samples", "checkpoints"):
        Path("mine", name).mkdir()
    assert folder_of_run("mine") == Path("mine")


def test_what_makes_a_run_that_does_not_exist(monkeypatch):
    assert how_to_make(Path("nothing-like-it")) == "pixkit ls runs lists existing runs"
    make("runs/my first", "sweep/seed=0")
    Path("runs/my frist").write_text("")
    Path("sweep/a note").write_text("")
    assert how_to_make(Path("runs/my frst")) == "did you mean runs/my first? pixkit ls runs lists existing runs"
    assert how_to_make(Path("sweep")) == "pixkit ls runs sweep lists the runs in it"
    Path("a b.yaml").write_text("")
    assert how_to_make(Path("a b.yaml")) == "that is a recipe: pixkit build 'a b.yaml' makes a run of it"
    assert how_to_make(Path("absent.yaml")) == "pixkit ls runs lists existing runs"
    assert how_to_make(Path("digits-gated")) == "pixkit build digits-gated makes it"
    assert how_to_make(Path("runs/digits-gated")) == "pixkit build digits-gated makes it"
    assert how_to_make(Path("x/digits-gated")) == "pixkit build digits-gated -o x/digits-gated makes it"
    Path("recipes").mkdir()
    Path("recipes/digits-gated.yaml").write_text("")
    assert how_to_make(Path("digits-gated")) == "pixkit build recipes/digits-gated.yaml makes it"
    Path("digits-gated.yaml").write_text("")
    assert how_to_make(Path("digits-gated")) == "pixkit build digits-gated.yaml makes it"
    for error in (OSError("the disk"), RunError("odd")):
        monkeypatch.setattr(finding, "_inside", lambda path, error=error: (_ for _ in ()).throw(error))
        assert how_to_make(Path("digits-gated")) is None


def test_a_run_whose_build_has_just_begun_is_worth_waiting_for():
    Path("runs/first").mkdir(parents=True)
    holder = this_process(leased=False)
    Path("runs/first/build.lock").write_bytes(holder.encode())
    said = f"a build has just begun there ({holder}): wait until it trains"
    assert how_to_make(Path("runs/first")) == how_to_make(Path("first")) == said
    Path("runs/first/build.lock").write_bytes(holder.model_copy(update={"process": "another"}).encode())
    assert how_to_make(Path("runs/first")) == "pixkit ls runs lists existing runs"
