"""From a run back to what it was made of: which weights, which classes, which recipe."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pixkit.data import ImageSet, SourceImages
from pixkit.data.former import numbered_as_before
from pixkit.errors import CheckpointError, DataError, RecipeError, RunError, UsageError
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint, load
from pixkit.runs.load import locked_recipe, numbering_of, opened_run, read_weights, recipe_to_build, revised
from pixkit.runs.run import Run

LOCK = {
    "image": {"channels": 1, "height": 8, "width": 8, "levels": 17},
    "classes": 10,
    "data": {"description": "digits, 17 levels", "hashes": {}},
    "parameters": 1,
    "changes": [],
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two checkpoints: with an average of the weights, and without."""
    folder = tmp_path_factory.mktemp("checkpoints")
    files = {"model": {"weight": torch.zeros(2)}, "ema": {"weight": torch.ones(2)}}
    for name, contents in (("with", files), ("without", {"model": files["model"]})):
        checkpoint.save(folder / name, contents, step=1, model="toy", state={}, metrics={})
    return folder


@pytest.mark.parametrize("averaged", [True, False, None])
@pytest.mark.parametrize(("name", "weights", "found"), [
    ("with", "ema", 1), ("with", "raw", 0), ("without", "raw", 0), ("without", "ema", 0),
])  # fmt: skip
def test_the_average_is_read_where_it_is_asked_for_and_there(checkpoints, name, weights, found, averaged):
    if (name, weights, averaged) == ("without", "ema", True):
        with pytest.raises(CheckpointError, match="averaged weights, and there are none") as caught:
            read_weights(checkpoints / name, weights, averaged)
        assert caught.value.where == str(checkpoints / name) and "raw" in caught.value.hint
        return
    assert read_weights(checkpoints / name, weights, averaged)["weight"].tolist() == [found] * 2
    with pytest.raises(UsageError, match="no such weights") as caught:
        read_weights(checkpoints / name, "model", averaged)
    assert (caught.value.found, caught.value.expected) == ("model", "ema or raw")


def test_weights_were_trained_in_the_type_of_all_of_their_numbers_if_they_have_one():
    half, single, whole = (torch.ones(1, dtype=getattr(torch, name)) for name in ("float16", "float32", "int64"))
    for tensors, found in (([half, whole, half], torch.float16), ([half, single], None), ([whole], None), ([], None)):
        assert load._trained_in(dict(enumerate(tensors))) is found


def test_classes_have_the_runs_numbers_if_it_knows_them_all():
    run = SimpleNamespace(classes=3, class_names=("cat", "ant", "bee"))
    part = ImageSet(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1, 1]))
    numbering = numbering_of(run)
    for names, found in ((("ant", "cat"), [1, 0, 0]), (None, [0, 1, 1]), (("ant", "dog"), [0, 1, 1])):
        assert numbering(None, SourceImages(part, part, 4, 2, class_names=names)).train.labels.tolist() == found
    assert numbering_of(SimpleNamespace(classes=3, class_names=None)) is numbered_as_before
    assert numbering_of(SimpleNamespace(classes=None, class_names=None)) is None


@pytest.fixture
def run(tmp_path):
    with Run.claim(tmp_path / "run") as (run, _):
        run.start("# as given\n", {**load_recipe("digits-pixelcnn").lock(), "lock": LOCK}, {})
    return run


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_a_model_is_made_of_the_locked_recipe_and_gets_the_weights_that_are_asked_for(run, monkeypatch, ema):
    """In evaluation mode, in the type that is asked for; the average has to be there if the recipe has one."""
    settings = run.settings()
    train = {**settings["train"], "ema": ema}
    run.write_settings({**settings, "train": train, "lock": {**LOCK, "class_names": [str(n) for n in range(10)]}})
    run.checkpoint_folder(5).mkdir(parents=True)
    done, model = [], torch.nn.Linear(1, 1)
    monkeypatch.setattr(load, "read_weights", lambda *given: done.append(given) or {})
    monkeypatch.setattr(load, "construct", lambda *given: done.append(given) or model)
    monkeypatch.setattr(load.checkpoints, "load_model", lambda *given: done.append(given))
    found = load.load(str(run.path), device="cpu", dtype=torch.float64, checkpoint="step-5", weights="raw")
    assert found is model and not model.training and model.weight.dtype == torch.float64
    assert model.class_names == tuple("0123456789")
    folder = run.checkpoint_folder(5)
    assert done == [
        (folder, "raw", ema > 0),
        (run.recipe(), run.spec, 10, torch.device("cpu")),
        (model, {}, str(folder)),
    ]
    assert not model.weight.requires_grad
    assert load.load(str(run.path), device="cpu", checkpoint="step-5", trainable=True).weight.requires_grad


def test_the_recipe_of_a_run_to_resume_is_the_locked_one(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded, folder = recipe_to_build(str(run.path), ["train.steps=7"], resume=True)
    assert (loaded.recipe.train.steps, loaded.text, loaded.overrides) == (7, "# as given\n", ("train.steps=7",))
    assert (loaded.path, loaded.base, folder) == (run.given, tmp_path, run.path)
    assert recipe_to_build(run.path, "train.steps=8", resume=True)[0].overrides == ("train.steps=8",)
    run.given.unlink()
    assert recipe_to_build(run.path, resume=True)[0].text == ""
    run.given.mkdir()
    with pytest.raises(RunError) as caught:
        recipe_to_build(run.path, resume=True)
    assert "recipe.lock.yaml" in caught.value.hint
    with pytest.raises(RecipeError, match="this is a run"):
        recipe_to_build(run.path)


def test_any_other_recipe_is_loaded_with_its_overrides(tmp_path):
    for resume in (False, True):
        loaded, folder = recipe_to_build("digits-pixelcnn", ["train.steps=7"], resume=resume)
        assert (loaded.recipe.train.steps, folder) == (7, None)
        again, folder = recipe_to_build(loaded, "seed=3", resume=resume)
        assert (again.recipe.train.steps, again.recipe.seed, folder) == (7, 3, None)
        assert again.overrides == ("train.steps=7", "seed=3") and again.text == loaded.text
    assert revised(loaded, ()) is loaded


def test_a_runs_recipe_is_the_locked_one_with_overrides_laid_over_it(run):
    assert locked_recipe(run) == run.recipe()
    assert locked_recipe(run, ["data.limit_train=5"]).data.config.limit_train == 5
    with pytest.raises(RecipeError, match="no_such_key"):
        locked_recipe(run, ["data.no_such_key=5"])
    assert opened_run(run) is run and opened_run(str(run.path)).path == run.path
    with pytest.raises(RunError, match="not a pixkit run"):
        opened_run(Path("absent"))


@pytest.mark.parametrize(("said", "overrides", "exported", "hint"), [
    ({"message": "there is no such file", "hint": "data.path=FILE names yours"}, [], False,
     "if the data have moved: pixkit build RUN --resume KEY=PLACE (data.path=FILE names yours)"),
    ({"message": "cannot be read", "found": "No such file or directory"}, [], False,
     "if the data have moved: pixkit build RUN --resume KEY=PLACE"),
    ({"message": "there is no such file", "hint": "mine"}, ["data.limit_test=5"], False, "mine"),
    ({"message": "there is no such file", "hint": "mine"}, [], True, "mine"),
    ({"message": "damaged", "hint": "mine"}, [], False, "mine"),
])  # fmt: skip
def test_where_to_say_that_the_data_have_moved(run, monkeypatch, said, overrides, exported, hint):
    """An exported run is not resumed."""

    def gone(*_, **__):
        raise DataError(**said)

    monkeypatch.setattr(load, "prepare", gone)
    if exported:
        (run.path / "README.md").touch()
    with pytest.raises(DataError) as caught:
        load.load_data(run, overrides)
    assert caught.value.hint == hint.replace("RUN", str(run.path))
