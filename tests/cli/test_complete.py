"""`pixkit complete`: what is missing, what is told, what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.components.describe import describe
from pixkit.image import ImageSpec
from pixkit.runs.load import load
from pixkit.tasks.complete import conditional_nats
from pixkit.testing import named


def told(pixkit, *arguments):
    outcome = pixkit("complete", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out), outcome


def test_an_exact_completion_is_told_with_its_nats(pixkit, built, workplace):
    found, outcome = told(pixkit, built, "test:5", "--keep-top", 3, "-n", 4, "-o", "x.npz")
    assert "clamped" not in outcome.err
    saved = np.load("x.npz")
    assert saved["samples"].shape == (4, 1, 8, 8)
    assert (saved["samples"] == saved["original"])[:, saved["known"]].all()
    assert saved["known"][0].any(1).tolist() == [True] * 3 + [False] * 5
    assert (saved["uncertainty"][3:] > 0).all()
    assert not saved["uncertainty"][:3].any()
    network = load(built).network
    nats = conditional_nats(network, torch.from_numpy(saved["original"])[None].long(), torch.tensor(saved["known"]))
    assert found["nats"] == pytest.approx(nats, rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(nats / (40 * np.log(2)), rel=1e-5)
    fields = {"kind": "exact", "missing": 40, "ordering": "raster", "n": 4, "image": "test:5", "out": "x.npz"}
    assert fields.items() <= found.items()


def test_it_draws_what_sample_draws(pixkit, built, workplace):
    assert pixkit("complete", built, "test:5", "--keep-top", 3, "-n", 4, "-o", "x.npz", "-q").code == 0
    assert pixkit("sample", built, "--given", "test:5", "--rows", 3, "-n", 4, "-o", "y.npz", "-q").code == 0
    assert np.array_equal(np.load("x.npz")["samples"], np.load("y.npz")["samples"])


def test_clamping_is_told_and_no_nats(pixkit, built, workplace):
    found, outcome = told(pixkit, built, "test:5", "--box", "2,2,4,4", "-n", 2)
    assert (found["kind"], found["nats"], found["bits_per_dim"], found["entropy"]) == ("clamped", None, None, None)
    assert (found["missing"], found["out"]) == (16, None)
    assert "clamped" in outcome.err
    words = pixkit("complete", built, "test:5", "--keep-left", 4, "-n", 2, "-o", "x.png")
    assert words.code == 0
    assert "clamped" in words.out
    assert "nats," not in words.out


def test_the_picture_holds_it_all(pixkit, built, workplace):
    outcome = pixkit("complete", built, "test:5", "--keep-top", 4, "-n", 5, "-o", "x.png")
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == "x.png"
    assert "true content" in outcome.out
    width, height = Image.open("x.png").size
    assert width > 5 * 168
    assert 2 * 168 < height < 3 * 168


def test_a_mask_says_in_white_what_is_missing(pixkit, built, workplace):
    mask = np.zeros((8, 8), np.uint8)
    mask[3:], mask[0, 0] = 255, 127
    Image.fromarray(mask).save("mask.png")
    painted, _ = told(pixkit, built, "test:5", "--mask", "mask.png", "-n", 1)
    kept, _ = told(pixkit, built, "test:5", "--keep-top", 3, "-n", 1)
    assert painted == kept
    see_through = np.zeros((8, 8, 4), np.uint8)
    see_through[:3, :, 3] = 255
    Image.fromarray(see_through).save("mask.png")
    assert told(pixkit, built, "test:5", "--mask", "mask.png", "-n", 1)[0] == kept


def test_random_pixels_belong_to_the_seed(pixkit, built, workplace):
    masks = []
    for seed in (0, 0, 1):
        found, _ = told(pixkit, built, "test:5", "--random", 0.5, "-n", 1, "--seed", seed, "-o", "x.npz")
        assert found["missing"] == 32
        masks.append(np.load("x.npz")["known"])
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize(("image", "options", "code", "text"), [
    ("test:0", (), 2, "--keep-top"), ("test:0", ("--keep-top", 3, "--random", 0.5), 2, "--keep-top and --random"),
    ("test:0", ("--keep-top", 9), 2, "--keep-top: the image does not have that many rows"),
    ("test:0", ("--keep-top", 8), 2, "nothing is missing"),
    ("test:0", ("--box", "1,2,3"), 2, "top, left"),
    ("test:0", ("--box", "5,5,4,4"), 2, "--box: the box is not within the image"),
    ("test:0", ("--mask", "absent.png"), 3, "absent.png"), ("test:0", ("--mask", "small.png"), 3, "8 x 8"),
    ("absent.png", ("--keep-top", 3), 3, "absent.png"), ("test:99999", ("--keep-top", 3), 2, "IMAGE"),
    ("test:0", ("--keep-top", 3, "--label", 1), 2, "model.context"), ("test:0", ("--random", 0), 2, "--random"),
    ("test:0", ("--random", "nan"), 2, "--random"), ("test:0", ("--keep-top", 3, "--temperature", "nan"), 2, "--temp"),
    ("test:0", ("--keep-top", 3, "-o", "x.gif"), 2, ".png or a .npz"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused(pixkit, built, workplace, image, options, code, text):
    Image.new("L", (5, 6)).save("small.png")
    outcome = pixkit("complete", built, image, *(options if "-o" in options else (*options, "-o", "x.png")))
    assert outcome.code == code
    assert text in outcome.err
    assert not Path("x.png").exists()


def test_without_a_terminal_it_wants_a_file(pixkit, built, workplace):
    outcome = pixkit("complete", built, "test:0", "--keep-top", 3)
    assert outcome.code == 2
    assert "-o" in outcome.err


def test_a_terminal_shows_the_images_and_the_words(pixkit, built, workplace, monkeypatch):
    monkeypatch.setattr("pixkit.cli.commands.complete.is_terminal", lambda stream: True)
    outcome = pixkit("complete", built, "test:5", "--keep-top", 6, "-n", 2, "-q")
    assert outcome.code == 0
    *pictures, ordering, missing, kind, truth, drawn = outcome.out.splitlines()
    assert len(pictures) == 4, "8 rows of pixels, two a line"
    assert [line.split()[0] for line in (ordering, missing, kind, truth, drawn)] == [
        *("ordering", "missing", "kind", "true", "completions")
    ]


def test_latent_models_are_refused(pixkit, workplace):
    Path("latent.yaml").write_text("""\
pixkit: 1
name: latent
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: pixelvae
  latent: 2
  encoder: {width: 4, hidden: 8}
  backbone: {type: gated_pixelcnn, width: 6, layers: 1, first_kernel: 3}
train: {steps: 1, batch_size: 8, eval_every: 1, checkpoint_every: 1, eval_images: 16}
sample: {count: 1}
""")
    outcome = pixkit("build", "latent.yaml", "-q")
    assert outcome.code == 0, outcome.err
    outcome = pixkit("complete", "runs/latent", "test:0", "--keep-top", 3, "-o", "x.png")
    assert outcome.code == 2
    assert "cannot continue" in outcome.err


def test_orderings_are_named_with_what_is_unusual_of_them():
    for name, keys, words in (
        ("raster", {}, "raster"), ("row_at_once", {"transpose": True}, "row_at_once, transpose"),
        ("spiral", {"direction": "outward", "flip_vertical": True}, "spiral, flip_vertical, direction outward"),
        ("multiscale", {}, "multiscale"), ("multiscale", {"base": 2}, "multiscale, base 2"),
    ):  # fmt: skip
        assert describe("ordering", named("ordering", name, **keys).build(ImageSpec(1, 3, 3, 2))) == words
