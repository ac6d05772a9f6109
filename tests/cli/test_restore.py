"""`pixkit restore`, which the plugin row_rnn brings."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.cli.main import main
from pixkit.image import ImageSpec, Palette
from pixkit_plugins.row_rnn.restore import Restored

RECIPE = """\
pixkit: 1
name: one
data: {source: one_image, path: my.png, binarise: threshold}
model:
  type: autoregressive
  ordering: {type: row_at_once}
  backbone: {type: row_rnn, hidden_size: 24, width: 6, init: he_normal}
  head: {type: bernoulli, independent: true}
train: {steps: 60, batch_size: 1, ema: 0, optimizer: {type: adam, lr: 3e-2}}
sample: {count: 1}
"""


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder with a picture, runs that learnt it by heart, and runs that did not."""
    folder = tmp_path_factory.mktemp("learnt")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "my.png")
    (folder / "one.yaml").write_text(RECIPE, encoding="utf-8")
    for name, *overrides in (
        ("run",),
        ("young", "train.steps=1"),
        ("dynamic", "train.steps=1", "data.binarise=dynamic"),
    ):
        assert main(["build", "-q", str(folder / "one.yaml"), *overrides, "-o", str(folder / name)]) == 0
    return folder


def panels(path):
    """Original, generated and difference as one sub-pixel each, cut out of the picture."""
    picture = np.asarray(Image.open(path))
    scale = 64 // 6
    first, step = 2 + scale // 2, 5 * scale + 2
    rows = picture[first::scale][:6]
    return [rows[:, first + panel * step :: scale][:, :5] for panel in range(3)]


def test_what_was_learnt_by_heart_comes_back(pixkit, learnt, workplace):
    outcome = pixkit("restore", learnt / "run", "--json", "-o", "x.png")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (found["restored"], found["wrong"], found["sub_pixels"]) == (1.0, 0, 90)
    scored = json.loads(pixkit("eval", learnt / "run", "--split", "train", "--json").out)
    assert found["nats"] == pytest.approx(scored["nats"], rel=1e-5)
    assert found["nats"] < 90 * math.log(2) / 10
    original, generated, difference = panels("x.png")
    truth = np.asarray(Image.open(learnt / "my.png")) >= 127.5
    assert np.array_equal(original, 255 * truth)
    assert np.array_equal(generated, original)
    assert not difference.any()
    plain = pixkit("restore", learnt / "run").out
    assert "90 of 90 sub-pixels (100.00%)" in plain
    assert f"{found['nats']:.4g} nats" in plain
    assert (learnt / "run" / "restored.png").exists()


def test_what_was_not_learnt_is_exit_code_1_and_drawn(pixkit, learnt, workplace):
    outcome = pixkit("restore", learnt / "young", "--json", "-o", "x.png")
    assert outcome.code == 1
    found = json.loads(outcome.out)
    assert found["restored"] == pytest.approx(1 - found["wrong"] / 90)
    original, generated, difference = panels("x.png")
    assert np.array_equal(difference, abs(original.astype(int) - generated))
    assert int((difference > 0).sum()) == found["wrong"] > 0


def test_temperature_and_seed_are_those_of_sampling(pixkit, learnt, workplace):
    def generated(*options):
        pixkit("restore", learnt / "young", "-o", "x.png", *options)
        return panels("x.png")[1]

    pixkit("sample", learnt / "young", "-n", 1, "--seed", 3, "-o", "x.npz")
    drawn = 255 * np.load("x.npz")["samples"][0].transpose(1, 2, 0)
    assert np.array_equal(generated("--temperature", 1, "--seed", 3), drawn)
    assert not np.array_equal(generated("--temperature", 1, "--seed", 4), drawn)


def test_other_runs_are_refused(pixkit, learnt, built, workplace):
    for run, text in ((built, "64 training images"), (learnt / "dynamic", "dynamic binarisation")):
        outcome = pixkit("restore", run)
        assert (outcome.code, outcome.out) == (2, "")
        assert text in outcome.err
    assert pixkit("restore", "absent").code == 2
    refused = pixkit("restore", learnt / "run", "-o", "x.jpeg")
    assert refused.code == 2
    assert ".png" in refused.err


def test_another_picture_is_noticed(pixkit, learnt):
    path = learnt / "my.png"
    before = path.read_bytes()
    try:
        Image.new("RGB", (5, 6)).save(path)
        outcome = pixkit("restore", learnt / "run")
    finally:
        path.write_bytes(before)
    assert outcome.code == 3
    assert "not the one" in outcome.err
    assert Path(path).stat().st_size == len(before)


@pytest.mark.parametrize(("kind", "lines"), [
    ("exact", ["score     12.35 nats for the image"]),
    ("bound", ["score     <= 12.35 nats for the image"]),
    ("none", []),
])  # fmt: skip
def test_a_score_is_called_what_it_is(pixkit, workplace, monkeypatch, kind, lines):
    image, asked = torch.zeros(1, 2, 3, dtype=torch.int64), []
    found = Restored(image, image, ImageSpec(1, 2, 3, 2), kind, 12.3456 if lines else None)
    monkeypatch.setattr("pixkit_plugins.row_rnn.restore.restore", lambda run, **options: asked.append(run) or found)
    Path("taken").touch()
    assert pixkit("restore", "run", "-o", "taken/x.png").code == 2 and not asked, "nothing is drawn for no place"
    said = pixkit("restore", "run", "-o", "x.png").out.splitlines()
    assert [line for line in said if line.startswith("score")] == lines


def test_of_numbers_of_colours_the_colours_are_shown_and_their_difference(tmp_path):
    colours = np.array([[255, 0, 10], [0, 40, 20], [7, 7, 7]])
    original, drawn = (torch.tensor([[tokens]]) for tokens in ([0, 1, 2], [0, 2, 1]))
    spec = ImageSpec(1, 1, 3, 3, Palette.of(colours))
    picture = np.asarray(Image.open(Restored(original, drawn, spec, "exact", 1.0).save(tmp_path / "x.png")))
    shown = [picture[12, 12 + 65 * panel :: 21][:3] for panel in range(3)]
    assert np.array_equal(shown, [colours, colours[[0, 2, 1]], abs(colours - colours[[0, 2, 1]])])
