"""`pixkit upscale`: the given pixels stay, the others are drawn given them, and nothing is clamped."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.cli.main import main
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.layers import Lattice
from pixkit.runs.load import load
from pixkit.tasks.complete import conditional_nats
from pixkit.tasks.upscale import coarse_lattice, enlarged, known_sites, small_spec
from pixkit.testing import named

RECIPE = """\
pixkit: 1
name: coarse
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  ordering: {type: multiscale, base: 2, flip_horizontal: true}
  context: {type: label, size: 4}
  backbone:
    type: multiscale
    base: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
    width: 6
    layers: 1
train: {steps: 2, batch_size: 8, eval_every: 2, checkpoint_every: 2, eval_images: 16, optimizer: {type: adam, lr: 0.03}}
sample: {count: 2}
"""


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coarse")
    (folder / "coarse.yaml").write_text(RECIPE, encoding="utf-8")
    assert main(["build", "-q", str(folder / "coarse.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def drawn_in(ordering):
    """What `coarse_lattice` asks of a model of one network."""
    return SimpleNamespace(spec=ordering.spec, completing=lambda known: SimpleNamespace(ordering=ordering))


def upscale(pixkit, run, image, *options):
    outcome = pixkit("upscale", run, image, "-o", "x.npz", *options)
    assert outcome.code == 0, outcome.err
    assert "clamped" not in outcome.err
    doublings = 2 if 4 in options else 1
    assert f"in {3 * doublings} steps" in outcome.err
    return np.load("x.npz")["samples"]


def test_the_given_pixels_stay_and_the_others_are_drawn(pixkit, coarse, workplace):
    for factor in (2, 4):
        drawn = upscale(pixkit, coarse, "test:5", "--factor", factor, "--label", 3, "-n", 5)
        kept = drawn[:, :, ::factor, factor - 1 :: factor]
        assert drawn.shape == (5, 1, 8, 8)
        assert (kept == kept[:1]).all()
        assert len({image.tobytes() for image in drawn}) == 5
    assert pixkit("sample", coarse, "--given", "test:5", "--rows", 8, "-n", 1, "-o", "whole.npz").code == 0
    assert np.array_equal(kept[0], np.load("whole.npz")["samples"][0, :, ::4, 3::4])


def test_a_file_of_the_small_size_says_the_same(pixkit, coarse, workplace):
    drawn = upscale(pixkit, coarse, "test:5", "--label", 3)
    picture = np.rint(drawn[0, 0, ::2, 1::2] * (255 / 16)).astype(np.uint8)
    Image.fromarray(picture).save("small.png")
    assert np.array_equal(upscale(pixkit, coarse, "small.png", "--label", 3), drawn)
    assert not np.array_equal(upscale(pixkit, coarse, "small.png", "--label", 3, "--seed", 1), drawn)


def test_the_picture_shows_input_drawings_and_the_image(pixkit, coarse, workplace):
    for image, extra in (("test:5", 1), ("small.png", 0)):
        Image.new("L", (4, 4)).save("small.png")
        assert pixkit("upscale", coarse, image, "--label", 3, "-n", 3, "-o", "x.png").code == 0
        width, height = Image.open("x.png").size
        panels = 1 + 3 + extra
        assert (width - 2) / (height - 2) == panels


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_alone_shows_the_images(pixkit, coarse, workplace, monkeypatch, terminal):
    monkeypatch.setattr("pixkit.cli.commands.upscale.is_terminal", lambda stream: terminal)
    outcome = pixkit("upscale", coarse, "test:5", "--label", 3, "-q", "-o", "x.npz")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("ordering"))
    assert start == (4 if terminal else 0), "8 rows of pixels, two a line"


@pytest.mark.parametrize(("image", "options", "code", "text"), [
    ("test:99999", ("--label", 3), 2, "IMAGE"), ("absent.png", ("--label", 3), 3, "absent.png"),
    ("large.png", ("--label", 3), 3, "4 x 4"), ("test:0", ("--label", 10), 2, "0..9"),
    ("test:0", ("--factor", 3, "--label", 3), 2, "2 or 4"), ("test:0", (), 2, "the image's class: 0..9"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused(pixkit, coarse, workplace, image, options, code, text):
    Image.new("L", (8, 8)).save("large.png")
    outcome = pixkit("upscale", coarse, image, *options, "-o", "x.png")
    assert outcome.code == code
    assert text in outcome.err
    assert not Path("x.png").exists()


def test_a_sampler_and_a_batch_size_may_be_named(pixkit, coarse, workplace):
    drawn = upscale(pixkit, coarse, "test:5", "--label", 3, "--batch-size", 3)
    outcome = pixkit("upscale", coarse, "test:5", "--label", 3, "--sampler", "ancestral", "-o", "y.npz")
    assert outcome.code == 0, outcome.err
    assert np.array_equal(np.load("y.npz")["samples"], drawn)


def test_a_raster_is_refused(pixkit, built, workplace):
    outcome = pixkit("upscale", built, "test:0", "-o", "x.png")
    assert outcome.code == 2
    assert "Raster" in outcome.err
    assert "type: multiscale" in outcome.err


@pytest.mark.parametrize("flips", [{}, {"flip_vertical": True}, {"transpose": True, "flip_horizontal": True}], ids=str)
@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 6)], ids=str)
def test_the_sites_that_are_given_come_first_and_the_enlarged_image_has_them(size, flips):
    spec = ImageSpec(3, *size, 256)
    for colours in ("joint", "sequential"):
        ordering = named("ordering", "multiscale", base=2, **flips).build(spec, colours)
        lattice = coarse_lattice(drawn_in(ordering), 2)
        small = small_spec(spec, lattice)
        assert (small.height, small.width) == (-(-size[0] // 2), -(-size[1] // 2))
        given = torch.randint(256, (1, *small.shape))
        known = known_sites(given, lattice, spec)
        assert known.check(spec, 1).precede(ordering)
        assert int(known.mask.sum()) == small.dims
        assert torch.equal(enlarged(given, lattice, spec)[:, known.mask], known.values[:, known.mask])


def test_an_enlarged_image_is_blocks_of_its_pixels():
    """Those before the first of them have the nearest one's value."""
    spec, lattice = ImageSpec(1, 5, 4, 9), Lattice(1, 0, 2)
    found = enlarged(torch.tensor([[[[1, 2], [3, 4]]]]), lattice, spec)
    assert found[0, 0].tolist() == [[1, 1, 2, 2]] * 3 + [[3, 3, 4, 4]] * 2


@pytest.mark.parametrize(("name", "size", "factors"), [
    ("checkerboard", (6, 6), "an ordering from coarse to fine"), ("raster", (1, 6), "an ordering from coarse to fine"),
    ("raster", (6, 1), "an ordering from coarse to fine"), ("multiscale", (3, 8), "2 or 4"),
    ("multiscale", (9, 2), "2 or 4 or 8"),
])  # fmt: skip
def test_the_factors_that_there_are_are_named(name, size, factors):
    options = {"base": 1} if name == "multiscale" else {}
    with pytest.raises(UsageError, match="one pixel of every 3 x 3") as caught:
        coarse_lattice(drawn_in(named("ordering", name, **options).build(ImageSpec(1, *size, 2), "joint")), 3)
    assert caught.value.expected == factors
    assert (caught.value.hint is None) == (factors[0] == "2")


def test_of_several_orderings_one_that_draws_the_small_image_first_is_taken():
    parts = {"type": "multiscale", "width": 4, "layers": 1, "base": {"type": "pixelcnn", "width": 4, "layers": 1}}
    orderings = [{"type": "multiscale", "base": 2, "flip_horizontal": flip} for flip in (True, False)]
    spec = ImageSpec(1, 5, 6, 2)
    model = named("model", "order_agnostic", orderings=orderings, backbone=parts).build(spec, None)
    lattice = coarse_lattice(model, 2)
    known = known_sites(torch.zeros(1, *small_spec(spec, lattice).shape, dtype=torch.int64), lattice, spec)
    assert known.precede(model.completing(known.mask).ordering)


def test_the_true_image_is_scored_given_the_small_one(pixkit, coarse, workplace):
    found = json.loads(pixkit("upscale", coarse, "test:5", "--label", 3, "-o", "x.npz", "--json").out)
    assert (found["kind"], found["missing"], found["n"]) == ("exact", 48, 4)
    model = load(coarse)
    assert pixkit("sample", coarse, "--given", "test:5", "--rows", 8, "-n", 1, "-o", "whole.npz").code == 0
    whole = torch.from_numpy(np.load("whole.npz")["samples"]).long()
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, ::2, 1::2] = True
    assert math.isclose(found["nats"], conditional_nats(model.network, whole, known, torch.tensor([3])), rel_tol=1e-6)
    words = pixkit("upscale", coarse, "test:5", "--label", 3, "-o", "x.npz").out
    assert f"{found['nats']:.3f} nats" in words


def test_of_a_small_file_nothing_is_scored(pixkit, coarse, workplace):
    Image.new("L", (4, 4)).save("small.png")
    options = ("upscale", coarse, "small.png", "--label", 3, "-o", "x.npz")
    assert json.loads(pixkit(*options, "--json").out)["nats"] is None
    assert "true content" not in pixkit(*options).out


def test_several_images_are_enlarged_each_as_alone(pixkit, coarse, workplace):
    alone = upscale(pixkit, coarse, "test:5", "--label", 3)
    Path("small").mkdir()
    Image.fromarray(np.rint(alone[0, 0, ::2, 1::2] * (255 / 16)).astype(np.uint8)).save("small/a.png")
    outcome = pixkit("upscale", coarse, "test:4", "small", "--label", 3, "-o", "y.npz", "--json")
    assert outcome.code == 0, outcome.err
    rows = json.loads(outcome.out)["upscalings"]
    assert [(row["image"], row["out"]) for row in rows] == [("test:4", "y-0.npz"), ("small/a.png", "y-1.npz")]
    assert rows[0]["nats"] is not None and rows[1]["nats"] is None
    assert np.array_equal(np.load("y-1.npz")["samples"], alone)
    assert pixkit("upscale", coarse, "test:4", "test:5", "--label", 3, "-n", 2, "-o", "folder").code == 0
    assert sorted(map(str, Path("folder").rglob("*.png"))) == [
        f"folder/0000{image}/0000{number}.png" for image in (0, 1) for number in (0, 1)
    ]
