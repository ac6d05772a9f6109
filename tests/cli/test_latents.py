"""What the command line does with latent models: scores, --vary, --interpolate, --code, reconstruct."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixkit.cli.main import main

LATENT = """\
pixkit: 1
name: latent
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 16}
model:
  type: pixelvae
  backbone: {type: pixelcnn, width: 6, layers: 0, first_kernel: 3, output_layers: 1}
  latent: 3
  spatial: {maps: 2, halvings: 1, width: 4, ordering: {type: raster}}
  features: 6
  encoder: {width: 4, hidden: 8}
train: {steps: 12, batch_size: 16, eval_every: 6, checkpoint_every: 6, optimizer: {type: adam, lr: 0.03}}
sample: {count: 6}
"""


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    """A run of a model with two latent levels, built once; look at it only."""
    folder = tmp_path_factory.mktemp("latent")
    (folder / "latent.yaml").write_text(LATENT, encoding="utf-8")
    assert main(["build", "-q", str(folder / "latent.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def draw(pixkit, run, *options):
    outcome = pixkit("sample", run, "-o", "x.npz", *options)
    assert outcome.code == 0, outcome.err
    return np.load("x.npz")["samples"]


def test_the_table_marks_bounds_and_names_their_parts(pixkit, latent):
    found = json.loads((latent / "scores.json").read_text(encoding="utf-8"))
    for row in found["scores"]:
        assert row["kind"] == "bound"
        assert set(row["parts"]) == {"reconstruction", "kl_1", "kl_2"}
        assert sum(row["parts"].values()) == pytest.approx(row["nats"], rel=1e-5)
    shown = pixkit("show", "run", latent).out
    assert "<= " in shown and "KL_2" in shown and "RECONSTRUCTION" in shown
    metrics = [json.loads(line) for line in (latent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in metrics:
        assert row["reconstruction"] + row["kl_1"] + row["kl_2"] == pytest.approx(row["nats"], rel=1e-4)


def test_eval_estimates_from_importance_samples(pixkit, latent):
    outcome = pixkit("eval", latent, "--importance", 7, "--limit", 5)
    assert outcome.code == 0, outcome.err
    assert "<= " in outcome.out and "~ " in outcome.out and "7 importance samples" in outcome.out
    assert "z_1: " in outcome.out and "of 32 units active" in outcome.out and "of 3 units active" in outcome.out
    found = json.loads(pixkit("eval", latent, "--importance", 7, "--limit", 5, "--json").out)
    assert (found["kind"], found["estimate"]["kind"]) == ("bound", "estimate")
    assert (found["samples"], found["estimate"]["samples"]) == (None, 7)
    assert found["images"] == found["estimate"]["images"] == 5
    assert [total for _, total in found["active_units"]] == [32, 3]
    assert json.loads(pixkit("eval", latent, "--json").out)["images"] == 16


def test_exact_models_have_nothing_to_estimate(pixkit, built):
    outcome = pixkit("eval", built, "--importance", 7)
    assert (outcome.code, "exact already" in outcome.err) == (2, True)
    assert "active" not in pixkit("eval", built).out


def test_vary_fixes_one_of_code_and_pixels(pixkit, latent, workplace):
    plain = draw(pixkit, latent)
    for what in ("pixels", "latent", "latent1", "latent2"):
        varied = draw(pixkit, latent, "--vary", what)
        assert varied.shape == (6, 1, 8, 8)
        assert np.array_equal(varied[0], plain[0]), "the first image is the seed's first"
        assert len({image.tobytes() for image in varied}) > 1
    assert not np.array_equal(draw(pixkit, latent, "--vary", "latent1"), draw(pixkit, latent, "--vary", "latent2"))


def test_interpolation_runs_from_code_to_code(pixkit, latent, workplace):
    there = draw(pixkit, latent, "--interpolate", "test:3", "test:5", "-n", 4)
    back = draw(pixkit, latent, "--interpolate", "test:5", "test:3", "-n", 4)
    assert there.shape == (4, 1, 8, 8)
    assert np.array_equal(there[[0, -1]], back[[-1, 0]]), "the ends belong to the images"
    assert len(draw(pixkit, latent, "--interpolate", "test:3", "test:5")) == 8
    assert pixkit("sample", latent, "--interpolate", "test:3", "test:5", "-o", "row.png").code == 0
    width, height = Image.open("row.png").size
    assert width > 7 * height, "one row"


def test_reconstruct_puts_what_is_drawn_below_the_originals(pixkit, latent, workplace):
    outcome = pixkit("reconstruct", latent, "test:0", "test:1", "test:0", "-o", "r.png")
    assert outcome.code == 0, outcome.err
    assert outcome.err.startswith("cached sampling by the executor ") and outcome.err.count("\n") == 1
    assert outcome.out.count("<= ") == 3 and outcome.out.splitlines()[-1] == "r.png"
    picture = np.asarray(Image.open("r.png"))
    cell = (picture.shape[1] - 2) // 3
    first, third = picture[:, 2:cell], picture[:, 2 + 2 * cell : 3 * cell]
    half = len(picture) // 2
    assert np.array_equal(first[:half], third[:half]), "the same image twice"
    assert not np.array_equal(first[:half], first[half : 2 * half])
    found = json.loads(pixkit("reconstruct", latent, "test:0", "test:1", "-o", "r.png", "--json").out)
    again = json.loads(pixkit("reconstruct", latent, "test:0", "test:1", "-o", "r.png", "--json").out)
    assert found == again
    assert found["kind"] == "bound" and [row["image"] for row in found["images"]] == ["test:0", "test:1"]
    assert all(50 < row["nats"] < 500 for row in found["images"])


@pytest.mark.parametrize("arguments", [
    ("sample", "--vary", "latent"), ("sample", "--interpolate", "test:0", "test:1"), ("reconstruct", "test:0"),
], ids=" ".join)  # fmt: skip
def test_models_without_a_code_are_refused(pixkit, built, workplace, arguments):
    outcome = pixkit(arguments[0], built, *arguments[1:], "-o", "x.png")
    assert (outcome.code, "no latent code" in outcome.err) == (2, True)
    assert not Path("x.png").exists()


@pytest.mark.parametrize(("options", "code", "text"), [
    (("--vary", "latent3"), 2, "latent2"), (("--vary", "colour"), 2, "no such latent level"),
    (("--interpolate", "test:0", "test:999999"), 2, "no image with that number"),
    (("--interpolate", "test:0", "absent.png"), 3, "absent.png"),
    (("--code", "3"), 2, "no categorical code"), (("--label", "3"), 2, "no labels"),
    (("--vary", "latent", "--label", "3"), 2, "cannot be combined"),
    (("--vary", "latent", "--interpolate", "test:0", "test:1"), 2, "cannot be combined"),
    (("--given", "test:0", "--rows", 3), 2, "cannot continue"), (("--guidance", 2), 2, "without a label"),
])  # fmt: skip
def test_what_a_latent_model_cannot_do_is_refused(pixkit, latent, workplace, options, code, text):
    outcome = pixkit("sample", latent, "-n", 2, "-o", "x.png", *options)
    assert (outcome.code, text in outcome.err) == (code, True), outcome.err
    assert not Path("x.png").exists()


def test_reconstruct_refuses_what_is_no_picture(pixkit, latent, workplace):
    assert pixkit("reconstruct", latent, "test:0", "-o", "x.npz").code == 2
    assert pixkit("reconstruct", latent, "-o", "x.png").code == 2
    assert pixkit("reconstruct", latent, "absent.png", "-o", "x.png").code == 3


@pytest.mark.parametrize("option", [
    *(("--temperature", value) for value in ("nan", "inf", "-inf", "0", "-1", "1e-39", "1e39")),
    *(("--guidance", value) for value in ("nan", "inf", "1e308")), ("--batch-size", 0),
])  # fmt: skip
def test_numbers_that_would_draw_black_images(pixkit, latent, workplace, option):
    commands = [("sample", "-n", 2), ("sample", "--vary", "latent"), ("sample", "--interpolate", "test:0", "test:1")]
    for name, *more in commands if option[0] == "--guidance" else [*commands, ("reconstruct", "test:0")]:
        outcome = pixkit(name, latent, *more, *option, "-o", "x.png")
        assert outcome.code == 2 and option[0] in outcome.err, outcome.err
        assert not Path("x.png").exists()
