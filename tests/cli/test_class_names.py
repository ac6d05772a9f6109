"""Classes are known by their names: what a run scores, draws and shows of folders ant, bee and cat."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pixkit as kit
from pixkit.errors import DataError, UsageError
from pixkit.runs.load import load_data, locked_recipe
from pixkit.tasks.labels import check_classes, repeat_labels

RECIPE = """\
pixkit: 1
name: insects
data: {source: images, path: all, labels: true, channels: 1, levels: 4, test_fraction: 0.25}
model:
  type: autoregressive
  context: {type: label, size: 4}
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 30, batch_size: 8, eval_every: 30, checkpoint_every: 30, optimizer: {type: adam, lr: 0.05}}
sample: {count: 6}
"""
GREY = {"ant": 10, "bee": 120, "cat": 250, "dog": 60}


def paint(folder, *names, count=12):
    for name in names:
        for number in range(count):
            path = Path(folder, name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), GREY[name]).save(path)


@pytest.fixture(scope="module")
def insects(tmp_path_factory):
    """One build serves all; tests only read it."""
    home = tmp_path_factory.mktemp("insects")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        paint("all", "ant", "bee", "cat")
        paint("two", "bee", "cat")
        paint("four", "ant", "bee", "cat", "dog")
        Path("insects.yaml").write_text(RECIPE)
        kit.build("insects.yaml")
    return home


@pytest.fixture
def there(insects, monkeypatch):
    monkeypatch.chdir(insects)
    return Path("runs/insects")


def score(pixkit, run, *overrides):
    outcome = pixkit("eval", run, "--json", *overrides)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)["bits_per_dim"]


def test_a_run_keeps_the_names_and_shows_them(pixkit, there):
    assert kit.Run.open(there).class_names == ("ant", "bee", "cat") == kit.load(there).class_names
    assert json.loads(pixkit("show", "run", there, "--json").out)["classes"] == ["ant", "bee", "cat"]
    assert "ant, bee, cat" in pixkit("show", "run", there).out
    assert "classes: ant, bee, cat" in pixkit("build", "insects.yaml", "--dry-run").err


def test_other_data_are_scored_by_their_classes_names(pixkit, there):
    """Only bees and cats: as bees and cats, and not as ants and bees."""
    right = score(pixkit, there)
    model, data = kit.load(there), load_data(there, ["data.path=two"])
    batch = data.batch("test", torch.arange(data.size("test")))
    assert {kit.load(there).class_names[label] for label in batch.labels.tolist()} <= {"bee", "cat"}
    grey = batch.x[:, 0, 0, 0]
    assert torch.equal(batch.labels, torch.where(grey == 1, 1, 2))
    found = score(pixkit, there, "data.path=two")
    assert found == pytest.approx(float(-model.log_prob(batch.x, batch.labels).mean()) / 16 / np.log(2), rel=1e-5)
    assert found < 2 * right
    wrong = float(-model.log_prob(batch.x, batch.labels - 1).mean()) / 16 / np.log(2)
    assert wrong > 1.5 * found, "else this test could not tell"


def test_what_there_is_to_say_of_the_images_is_said_when_they_are_scored(pixkit, there, tmp_path):
    shutil.copytree("all", tmp_path / "all")
    (tmp_path / "all" / "ant" / "x.png").write_bytes(b"nothing")
    found = pixkit("eval", there, f"data.path={tmp_path / 'all'}", "data.on_bad=skip")
    assert found.code == 0 and "left out 1 of 37 images" in found.err and "not a readable image: text" in found.err
    assert not pixkit("eval", there, f"data.path={tmp_path / 'all'}", "data.on_bad=skip", "-q").err


def test_data_that_somebody_prepared_are_matched_too(there):
    """As `evaluate` and `score` get them, with numbers of their own."""
    recipe = kit.recipe.load_recipe("insects.yaml", ["data.path=two"])
    data = kit.data.prepare(recipe.recipe.data, recipe.base)
    assert data.class_names == ("bee", "cat")
    by_hand = kit.evaluate(there, data)
    assert by_hand.nats == kit.evaluate(there, load_data(there, ["data.path=two"])).nats
    assert kit.evaluate(kit.load(there), data).nats == by_hand.nats


def test_an_unknown_class_is_refused_before_an_image_is_read(pixkit, insects, there, monkeypatch):
    monkeypatch.setattr("pixkit.data.images.recall_folder", None)
    outcome = pixkit("eval", there, "data.path=four")
    assert outcome.code == 3 and not outcome.out
    assert "not trained on" in outcome.err and "found: dog" in outcome.err and "ant, bee, cat" in outcome.err
    with pytest.raises(DataError, match="not trained on"):
        check_classes(kit.load(there), locked_recipe(kit.Run.open(there), ["data.path=four"]).data, Path.cwd())
    renamed = pixkit("eval", there, "data.path=four", "data.class_names=[ant, bee, cat]")
    assert renamed.code == 2 and "classes that differ from those of the data" in renamed.err
    monkeypatch.undo()
    monkeypatch.chdir(insects)
    numbers = pixkit("eval", there, "data.labels=false")
    assert numbers.code == 3 and "try: data.labels=true" in numbers.err


def test_a_class_is_drawn_by_its_name(pixkit, there, tmp_path):
    def draw(label):
        outcome = pixkit("sample", there, "-n", 2, "--label", label, "-o", tmp_path / "x.npz")
        assert outcome.code == 0, outcome.err
        return np.load(tmp_path / "x.npz")["samples"]

    bees = draw("bee")
    assert np.array_equal(bees, draw("1")) and not np.array_equal(bees, draw("cat"))
    assert np.array_equal(draw("cat,bee")[2:], kit.sample(there, 2, labels=["cat", 1]).images[2:].numpy())
    for label in ("dog", "3", "bee,dog", "", "Bee"):
        outcome = pixkit("sample", there, "--label", label, "-o", tmp_path / "y.png")
        assert outcome.code == 2 and "ant, bee, cat, several of these, or all" in outcome.err, label
    Image.new("L", (4, 4), 120).save(tmp_path / "bee.png")
    nats = {
        name: json.loads(
            pixkit("complete", there, tmp_path / "bee.png", "--keep-top", 2, "-n", 1, "--label", name, "--json").out
        )["nats"]
        for name in ("ant", "bee", "cat", "1")
    }
    assert min(nats, key=nats.get) == "bee" and nats["bee"] == nats["1"]
    unlabelled = pixkit("complete", there, tmp_path / "bee.png", "--keep-top", 2, "-o", tmp_path / "z.png")
    assert unlabelled.code == 2 and "--label: the model knows no images without a label" in unlabelled.err
    assert "expected: the image's class: ant, bee, cat\n" in unlabelled.err and "dropout" not in unlabelled.err
    refused = pixkit(
        "complete", there, tmp_path / "bee.png", "--keep-top", 2, "--label", "dog", "-o", tmp_path / "z.png"
    )
    assert refused.code == 2 and "--label: no such class" in refused.err


def test_several_images_are_continued_under_each_label(pixkit, there, tmp_path):
    for name in ("bee", "cat"):
        Image.new("L", (4, 4), GREY[name]).save(tmp_path / f"{name}.png")
    given = [part for name in ("bee", "cat") for part in ("--given", tmp_path / f"{name}.png")]
    out = ["--rows", 2, "-n", 2, "--label", "ant,cat", "-o", tmp_path / "x.npz"]
    assert pixkit("sample", there, *given, *out).code == 0
    found = np.load(tmp_path / "x.npz")["samples"]
    assert found.shape == (8, 1, 4, 4)
    assert (found[:4, :, :2] == 1).all() and (found[4:, :, :2] == 3).all()
    names = [str(tmp_path / "bee.png"), str(tmp_path / "cat.png")]
    drawn = kit.sample(there, 2, given=names, rows=2, labels=["ant", "cat"])
    assert np.array_equal(drawn.images.numpy(), found)
    assert drawn.columns == 2 and list(drawn.titles.names) == ["ant", "cat", "ant", "cat"]
    alone = kit.sample(there, 2, given=names[0], rows=2, labels=["ant", "cat"])
    assert torch.equal(alone.images, drawn.images[:4])


def test_a_class_of_an_ambiguous_name_is_called_by_its_name(pixkit, insects, tmp_path, monkeypatch):
    monkeypatch.chdir(insects)
    model = kit.load("runs/insects")
    model.class_names = ("all", "none", "7")
    for label, number in {"name:all": 0, "name:none": 1, "name:7": 2, "7": 2}.items():
        assert repeat_labels(model, label, 1).tolist() == [number]
    assert repeat_labels(model, "all", 1).tolist() == [0, 1, 2] and repeat_labels(model, ["none"], 1).tolist() == [1]
    assert repeat_labels(model, "name:none,name:all", 1).tolist() == [1, 0]
    with pytest.raises(UsageError, match="no such class"):
        repeat_labels(model, "name:8", 1)


def test_grids_show_the_names(pixkit, there, tmp_path):
    """A margin beside the rows, or above the columns, that a grid of unnamed classes does not have."""

    def size(path):
        return Image.open(path).size

    assert size(there / "samples" / "best.png") == (3 * 66 + 2, 2 * 66 + 2 + 14)
    assert pixkit("sample", there, "--label", "all", "-n", 2, "-o", tmp_path / "x.png").code == 0
    wide, high = size(tmp_path / "x.png")
    assert high == 3 * 66 + 2 and 2 * 66 + 2 + 10 < wide < 2 * 66 + 2 + 40
    assert pixkit("sample", there, "-n", 6, "-o", tmp_path / "y.png").code == 0
    assert size(tmp_path / "y.png") == (3 * 66 + 2, 2 * 66 + 2 + 14)


def without_names(run, target):
    """A copy of a run as 0.1 would have written it."""
    import shutil

    shutil.copytree(run, target)
    lock = target / "recipe.lock.yaml"
    text = lock.read_text()
    assert "class_names" in text
    text = re.sub(r"\n  class_names: \[.*\]", "", text)
    lock.write_text(re.sub(r"\n  class_names: null", "", text))
    return target


def test_a_run_that_keeps_no_names_goes_by_number(pixkit, there, tmp_path):
    old = without_names(there, tmp_path / "old")
    assert kit.Run.open(old).class_names is None
    assert score(pixkit, old) == score(pixkit, there)
    refused = pixkit("eval", old, "data.path=two")
    assert refused.code == 3 and "known only by number" in refused.err and "data.class_names" in refused.err
    assert score(pixkit, old, "data.path=two", "data.class_names=[ant, bee, cat]") == score(
        pixkit, there, "data.path=two"
    )
    outcome = pixkit("build", old, "--resume", "train.steps=31")
    assert outcome.code == 0, outcome.err
    assert kit.Run.open(old).class_names == ("ant", "bee", "cat")
    assert pixkit("build", old, "--resume", "train.steps=32").code == 0


def test_other_classes_to_begin_with_are_remarked_on(pixkit, there):
    text = Path("insects.yaml").read_text().replace("path: all", "path: four").replace("steps: 30", "steps: 1")
    Path("other.yaml").write_text(text.replace("name: insects", "name: other"))
    outcome = pixkit("build", "other.yaml", "--dry-run", "train.init_from=runs/insects")
    assert outcome.code != 0, "another number of classes has weights of another shape"
    same = pixkit(
        "build", "other.yaml", "--dry-run", "data.path=all", "data.class_names=[cat, bee, ant]",
        "train.init_from=runs/insects",
    )  # fmt: skip
    assert same.code == 0 and "its classes are ant, bee, cat" in same.err
