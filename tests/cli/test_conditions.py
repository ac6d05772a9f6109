"""`pixkit sample` with labels, guidance, and the first rows of an image."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LABELLED = """\
pixkit: 1
name: labelled
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  context: {type: label, size: 4, dropout: 0.2}
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 3, batch_size: 8, eval_every: 3, checkpoint_every: 3, eval_images: 16, optimizer: {type: adam, lr: 0.03}}
sample: {count: 10}
"""


@pytest.fixture
def labelled(pixkit, workplace):
    Path("labelled.yaml").write_text(LABELLED)
    assert pixkit("build", "labelled.yaml", "-q").code == 0
    return Path("runs/labelled")


def draw(pixkit, run, *options):
    outcome = pixkit("sample", run, "-o", "x.npz", *options)
    assert outcome.code == 0, outcome.err
    return np.load("x.npz")["samples"]


def test_labels_guidance_and_rows(pixkit, labelled):
    """One build serves all: it takes longer than what follows."""
    three = draw(pixkit, labelled, "--label", "3", "-n", 2)
    assert three.shape == (2, 1, 8, 8)
    several = draw(pixkit, labelled, "--label", "3", "--label", "5", "-n", 2)
    assert len(several) == 4
    assert np.array_equal(several[:2], three)
    assert np.array_equal(draw(pixkit, labelled, "--label", "3,5", "-n", 2), several)
    assert len(draw(pixkit, labelled, "--label", "none", "-n", 3)) == 3
    assert len(draw(pixkit, labelled, "--label", "all")) == 80
    assert not np.array_equal(draw(pixkit, labelled, "--label", "3", "-n", 2, "--guidance", 30), three)
    assert pixkit("sample", labelled, "--label", "all", "-n", 3, "-o", "grid.png").code == 0
    width, height = Image.open("grid.png").size
    assert height > 3 * width, "10 rows of 3"

    found = pixkit("sample", labelled, "--label", "10", "-o", "y.png")
    assert (found.code, "0..9" in found.err) == (2, True)
    assert pixkit("sample", labelled, "--label", "cat", "-o", "y.png").code == 2


def test_the_first_rows_are_kept(pixkit, built, workplace):
    drawn = draw(pixkit, built, "--given", "test:5", "--rows", 3, "-n", 4)
    assert (drawn[:, :, :3] == drawn[:1, :, :3]).all()
    assert len({image.tobytes() for image in drawn}) > 1
    picture = np.rint(drawn[0, 0] * (255 / 16)).astype(np.uint8)
    Image.fromarray(picture).save("given.png")
    again = draw(pixkit, built, "--given", "given.png", "--rows", 8, "-n", 1)
    assert np.array_equal(again[0], drawn[0]), "levels survive a picture"


@pytest.mark.parametrize(("options", "code", "text"), [
    (("--given", "test:5"), 2, "--rows"), (("--rows", 3), 2, "--given"),
    (("--given", "test:99999", "--rows", 3), 2, "no image with that number"),
    (("--given", "test:0", "--rows", 9), 2, "that many rows"),
    (("--given", "absent.png", "--rows", 3), 3, "absent.png"),
    (("--given", "small.png", "--rows", 3), 3, "8 x 8"),
    (("--label", "3"), 2, "model.context"), (("--guidance", 1), 2, "without a label"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(pixkit, built, workplace, options, code, text):
    Image.new("L", (5, 6)).save("small.png")
    outcome = pixkit("sample", built, "-n", 2, "-o", "x.png", *options)
    assert outcome.code == code
    assert text in outcome.err
    assert not Path("x.png").exists()


def test_scores_say_that_they_are_given_the_label(pixkit, labelled):
    notes = json.loads(Path("runs/labelled/scores.json").read_text())["notes"]
    assert "scores are of images given the labels" in notes
    assert "given the labels" in pixkit("eval", labelled).out


def test_grids_of_training_have_a_column_for_each_class(labelled):
    width, height = Image.open("runs/labelled/samples/best.png").size
    assert width > 9 * height, "10 images, one of each class, in a row"
