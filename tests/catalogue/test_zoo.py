"""Names of the zoo: where they are taken, those of other distributions, and what is said of a wrong one."""

import shutil

import pytest

from pixkit.catalogue.recipes import recipes_folder
from pixkit.catalogue.zoo import LOCK, in_zoo, is_kept_in_zoo, refuse_zoo, run_folder, zoo_runs
from pixkit.errors import RunError
from pixkit.recipe.load import absolute
from pixkit.runs.finding import folder_of_run
from pixkit.runs.load import recipe_to_build
from pixkit.runs.places import SETTINGS
from pixkit.runs.run import Run
from pixkit.tasks.networks import find_examined
from pixkit.training.start import Start

GATED = recipes_folder() / "zoo" / "digits-gated"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution that brings the runs that it is given, in a package that fails if it is imported."""

    def call(name, *runs, value="{}.runs"):
        info, package = tmp_path / f"{name}-1.2.dist-info", tmp_path / name
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        stated = f"[pixkit.zoo]\nruns = {value.format(name)}\n[pixkit.zoological]\nother = nothing\n"
        (info / "entry_points.txt").write_text(stated, encoding="utf-8")
        for run in runs:
            (package / "runs" / run).mkdir(parents=True)
            shutil.copy(GATED / LOCK, package / "runs" / run)
        (package / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8") if runs else None
        monkeypatch.syspath_prepend(str(tmp_path))
        return package / "runs"

    return call


def test_a_run_is_its_folder_wherever_a_run_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert LOCK == SETTINGS
    assert run_folder("zoo:digits-gated") == run_folder("zoo:pixkit_models:digits-gated") == GATED
    assert folder_of_run("zoo:digits-gated") == Run.open("zoo:digits-gated").path == GATED
    assert find_examined("zoo:digits-gated").path == GATED
    config = Run(GATED).recipe().train
    for said in ("zoo:digits-gated", {"run": "zoo:digits-gated", "strict": False}):
        start = Start.of(type(config).model_validate({**config.model_dump(), "init_from": said}), tmp_path)
        assert start.run.path == GATED
    assert absolute("zoo:digits-gated", tmp_path) == "zoo:digits-gated" and absolute("a", tmp_path) != "a"
    assert not in_zoo("runs/zoo:digits-gated") and is_kept_in_zoo(GATED) and not is_kept_in_zoo(tmp_path)


def test_a_path_that_is_there_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoo:digits-gated").mkdir()
    assert str(run_folder("zoo:digits-gated")) == "zoo:digits-gated"
    refuse_zoo("zoo:digits-gated")


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(RunError, match="no such run in the zoo") as caught:
        Run.open("zoo:digits-gatd")
    assert caught.value.exit_code == 2 and caught.value.where == "zoo:digits-gatd"
    assert caught.value.hint == "did you mean zoo:digits-gated?" and "zoo:digits-pixelvae" in caught.value.expected
    with pytest.raises(RunError) as caught:
        find_examined("zoo:nothing-like-it")
    assert caught.value.hint == "pixkit ls zoo lists them" and caught.value.found is None


def test_runs_of_the_zoo_are_not_written_to():
    """By no build, and by nothing else that writes to runs: all of it goes through `Run.writing`."""
    for name in ("zoo:digits-gated", GATED, str(GATED / ".." / "digits-gated")):
        run = Run.open(name)
        for write in (refuse_zoo, lambda name: recipe_to_build(name, resume=True), lambda _, run=run: run.note(x=1)):
            with pytest.raises(RunError, match="read-only") as caught:
                write(name)
            assert "train.init_from=zoo:NAME" in caught.value.hint
    assert not is_kept_in_zoo("no\0name")


def test_a_distribution_brings_runs_and_is_not_imported(install):
    before, _ = zoo_runs()
    folder = install("door_zoo", "moons", "digits-gated")
    runs, faults = zoo_runs()
    assert faults == [] and len(runs) == len(before) + 2
    assert [run.name for run in runs] == sorted(run.name for run in runs)
    assert run_folder("zoo:moons") == folder / "moons"
    with pytest.raises(RunError, match="several distributions") as caught:
        run_folder("zoo:digits-gated")
    assert caught.value.expected == "one of zoo:door_zoo:digits-gated, zoo:pixkit-models:digits-gated"
    assert run_folder("zoo:door-zoo:digits-gated") == folder / "digits-gated"
    assert run_folder("zoo:pixkit-models:digits-gated") == GATED
    with pytest.raises(RunError, match="no such run"):
        run_folder("zoo:pixkit-models:moons")


@pytest.mark.parametrize("value", ["{}.runs", "no_such_package_for_pixkit"])
def test_one_whose_runs_are_not_there_is_named(install, value):
    install("door_gone", value=value)
    stated = f"door_gone 1.2: there is no folder {value.format('door_gone')} of runs"
    assert zoo_runs()[1] == [stated]
    with pytest.raises(RunError) as caught:
        run_folder("zoo:moons")
    assert caught.value.found == stated
