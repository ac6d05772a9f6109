"""What may be handed to build, dry_run, load and evaluate: recipes, runs, files and names, as str or Path."""

from pathlib import Path

import pytest

from pixkit.errors import RecipeError, RunError, UsageError
from pixkit.recipe import load_recipe
from pixkit.runs.load import load, load_data
from pixkit.runs.run import Run
from pixkit.tasks.evaluate import evaluate
from pixkit.tasks.networks import find_examined
from pixkit.training.build import build, dry_run

SMALL = """
pixkit: 1
name: small
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 20}
model: {type: autoregressive, backbone: {type: pixelcnn, width: 4, layers: 1}}
train: {steps: 4, batch_size: 8, eval_every: 4, checkpoint_every: 2}
sample: {count: 1}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return build(str(recipe), str(tmp_path_factory.mktemp("runs") / "small")).run


def weights(run):
    return (run.checkpoint("last") / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [str, Path, load_recipe])
@pytest.mark.parametrize("place", [str, Path])
def test_a_recipe_and_a_folder_may_be_given_in_every_form(recipe, run, tmp_path, kind, place):
    result = build(kind(recipe), place(tmp_path / "run"))
    assert result.run.path == (tmp_path / "run").resolve()
    assert weights(result.run) == weights(run)


@pytest.mark.parametrize("kind", [str, Path, load_recipe])
def test_overrides_apply_to_every_form(recipe, tmp_path, kind):
    result = build(kind(recipe), tmp_path / "run", overrides=["train.steps=2", "model.backbone.width=6"])
    locked = result.run.settings()
    assert (locked["train"]["steps"], locked["model"]["backbone"]["width"]) == (2, 6)
    assert locked["lock"]["overrides"] == ["train.steps=2", "model.backbone.width=6"]
    assert dry_run(kind(recipe), "cpu", overrides=["train.steps=2"]).seconds > 0


@pytest.mark.parametrize("kind", [str, Path, load_recipe])
def test_a_single_override_needs_no_list(recipe, tmp_path, kind):
    locked = build(kind(recipe), tmp_path / "run", overrides="train.steps=2").run.settings()
    assert (locked["train"]["steps"], locked["lock"]["overrides"]) == (2, ["train.steps=2"])
    data = load_data(tmp_path / "run", "data.limit_test=5")
    assert data.size("test") == 5
    with pytest.raises(UsageError) as error:
        find_examined(tmp_path / "run", "train.steps=3")
    assert error.value.found == "train.steps=3"


def test_a_wrong_override_is_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match="width"):
        build(load_recipe(recipe), tmp_path / "run", overrides=["model.backbone.width=none"])
    assert not (tmp_path / "run").exists()


def test_a_packaged_recipe_goes_by_its_name(tmp_path):
    small = ["train.steps=1", "model.backbone.width=4", "data.limit_test=5", "data.limit_train=64", "sample.count=1"]
    assert build("digits-pixelcnn", tmp_path / "run", overrides=small).run.recipe().name == "digits-pixelcnn"


def test_a_run_goes_on_by_its_folder_alone(recipe, run, tmp_path):
    folder = tmp_path / "run"
    build(recipe, folder, overrides=["train.steps=2"])
    result = build(str(folder), resume=True, overrides=["train.steps=4"])
    assert result.run.path == folder.resolve()
    assert weights(result.run) == weights(run)
    assert result.run.settings()["lock"]["changes"] == ["step 2, train.steps: 2 -> 4"]


def test_a_folder_without_a_run_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="folder"):
        build(tmp_path, resume=True)


@pytest.mark.parametrize("kind", [str, Path, Run.open])
def test_a_run_may_be_given_in_every_form(run, kind):
    given = kind(run.path)
    assert not load(given).training
    scores = evaluate(given)
    assert scores == evaluate(load(given), load_data(given), weights="ema")
    assert scores.images == 20
    assert evaluate(given, load_data(given, ["data.limit_test=5"])).images == 5


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a pixkit run"):
        load(str(tmp_path))
    with pytest.raises(RunError, match="not a pixkit run"):
        evaluate(str(tmp_path))


def test_a_model_has_no_images_of_its_own(run):
    with pytest.raises(UsageError, match="no images of its own"):
        evaluate(load(run))
