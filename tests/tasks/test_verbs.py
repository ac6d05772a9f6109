"""The verbs from Python: they take a run's folder as str or Path, a run or a model, and images by name."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pixkit
from pixkit.randomness import derive
from pixkit.readiness import Sight
from pixkit.tasks import DrawingOptions, complete_each, keep_edge, read_images, read_mask, upscale_each
from pixkit.testing import random_images

PLAIN = """\
pixkit: 1
name: plain
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  context: {type: label, size: 4, dropout: 0.2}
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 2, batch_size: 8, eval_every: 2, checkpoint_every: 2, eval_images: 16}
sample: {count: 3, batch_size: 2, temperature: 0.7}
"""
COARSE = """\
pixkit: 1
name: coarse
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  ordering: {type: multiscale, base: 2}
  backbone:
    type: multiscale
    base: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
    width: 6
    layers: 1
train: {steps: 2, batch_size: 8, eval_every: 2, checkpoint_every: 2, eval_images: 16}
"""
LATENT = """\
pixkit: 1
name: latent
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 16}
model:
  type: pixelvae
  backbone: {type: pixelcnn, width: 6, layers: 0, first_kernel: 3, output_layers: 1}
  latent: 3
  features: 6
  encoder: {width: 4, hidden: 8}
train: {steps: 2, batch_size: 16, eval_every: 2, checkpoint_every: 2}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each recipe, built from a path and into a str."""
    folder = tmp_path_factory.mktemp("verbs")
    for name, text in (("plain", PLAIN), ("coarse", COARSE), ("latent", LATENT)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        result = pixkit.build(folder / f"{name}.yaml", str(folder / name))
        assert result.run.path == folder / name
    return folder


@pytest.fixture(params=[str, Path, pixkit.Run.open], ids=["str", "Path", "Run"])
def as_given(request):
    return request.param


def test_build_takes_a_str_and_overrides(runs, tmp_path):
    result = pixkit.build(str(runs / "plain.yaml"), tmp_path / "again", overrides=["sample.count=1"])
    assert result.run.recipe().sample.count == 1


def test_load_and_evaluate(runs, as_given):
    run = as_given(runs / "plain")
    assert pixkit.load(run).spec == pixkit.ImageSpec(1, 8, 8, 17)
    assert pixkit.evaluate(run).images == 16
    assert pixkit.evaluate(run, limit=5, device="cpu", checkpoint="last").images == 5


@pytest.mark.parametrize("name", ["plain", "latent"])
def test_a_loaded_model_is_frozen_unless_it_is_to_be_trained(runs, name):
    x = pixkit.load(runs / name).sample(2)
    for trainable in (False, True):
        model = pixkit.load(runs / name, trainable=trainable)
        assert not model.training
        assert {parameter.requires_grad for parameter in model.parameters()} == {trainable}
        nats = model.bound(x) if name == "latent" else model.log_prob(x)
        assert nats.requires_grad is trainable
    (-nats.mean()).backward()
    assert {parameter.grad is None for parameter in model.network.parameters()} <= {False}


def test_sample_draws_as_the_recipe_says_what_is_not_said(runs, as_given):
    run = as_given(runs / "plain")
    drawn = pixkit.sample(run)
    model = pixkit.load(run)
    assert torch.equal(drawn.images, model.sample(3, temperature=0.7))
    assert drawn.columns is None and "native" in drawn.summary
    built = np.load(runs / "plain" / "samples" / "best.npz")["samples"]
    assert np.array_equal(model.sample(3, temperature=0.7, seed=derive(0, "sample")), built), "as it was trained"
    assert torch.equal(pixkit.sample(run, 2, temperature=1.0, seed=4).images, model.sample(2, seed=4))
    assert torch.equal(pixkit.sample(model, 2, seed=4).images, model.sample(2, seed=4))


def test_sample_by_label_and_from_rows(runs):
    run = runs / "plain"
    drawn = pixkit.sample(run, 2, labels=[3, 5])
    assert (len(drawn.images), drawn.columns) == (4, 2)
    assert torch.equal(drawn.images[:2], pixkit.sample(run, 2, labels=3).images)
    assert torch.equal(drawn.images, pixkit.sample(run, 2, labels=torch.tensor([3, 5])).images)
    assert len(pixkit.sample(run, labels="all").images) == 80
    assert len(pixkit.sample(run, 2, labels="none").images) == 2
    assert not torch.equal(drawn.images, pixkit.sample(run, 2, labels=[3, 5], guidance=30.0).images)
    given = pixkit.sample(run, 2, given="test:5", rows=3).images
    assert (given[:, :, :3] == given[:1, :, :3]).all()
    assert torch.equal(pixkit.sample(pixkit.load(run), 2, given=given[:1], rows=3, temperature=0.7).images[:, :, :3],
                       given[:, :, :3])  # fmt: skip


@pytest.mark.parametrize(("options", "text"), [
    ({"labels": 10}, "labels: no such class"), ({"labels": "some"}, "labels: no such class"),
    ({"labels": -1}, "0..9"), ({"codes": 1}, "codes: the model has no categorical code"),
    ({"labels": 1, "codes": 1}, "labels and codes cannot be combined"), ({"given": "test:0"}, "given and rows"),
    ({"vary": "latent"}, "vary: the model has no latent code"),
    ({"given": "test:999", "rows": 2}, "given: there is no"),
    ({"interpolate": ["test:0", "test:1"]}, "interpolate: the model has no latent code"),
    ({"vary": "latent", "guidance": 1.0}, "vary and guidance cannot"), ({"temperature": 0.0}, "temperature"),
])  # fmt: skip
def test_what_cannot_be_drawn_names_the_argument(runs, options, text):
    with pytest.raises(pixkit.UsageError, match=text):
        pixkit.sample(runs / "plain", 2, **options)


@pytest.mark.parametrize("options", [
    {"temperature": 0.0}, {"batch_size": 0}, {"n": -1}, {"guidance": 1e9}, {"labels": 1, "codes": 1}, {"rows": 1},
], ids=str)  # fmt: skip
def test_what_cannot_be_is_said_before_a_run_is_loaded(options):
    with pytest.raises(pixkit.UsageError):
        pixkit.sample("absent", **options)
    with pytest.raises(pixkit.RunError):
        pixkit.sample("absent")


def test_an_unknown_option_is_a_type_error(runs):
    with pytest.raises(TypeError, match="temprature"):
        pixkit.sample(runs / "plain", 2, temprature=1.0)


def test_data_by_name_need_a_run(runs):
    with pytest.raises(pixkit.UsageError, match="no data"):
        pixkit.complete(pixkit.load(runs / "plain"), "test:5", keep_edge((1, 8, 8), "top", 4))


def test_complete_takes_masks_and_images_by_name(runs, as_given, tmp_path):
    run = as_given(runs / "plain")
    mask = np.full((8, 8), 255, np.uint8)
    mask[:4] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    known = keep_edge((1, 8, 8), "top", 4)
    assert torch.equal(read_mask(tmp_path / "mask.png", pixkit.ImageSpec(1, 8, 8, 17)), known)
    told = []
    found = pixkit.complete(run, "test:5", known, 2, label=3, progress=lambda done, total: told.append((done, total)))
    assert found.exact and found.samples.shape == (2, 1, 8, 8) and "native" in found.summary
    assert told and told[-1][0] == told[-1][1]
    for other in (tmp_path / "mask.png", str(tmp_path / "mask.png"), lambda spec: keep_edge(spec.shape, "top", 4)):
        again = pixkit.complete(run, found.image, other, 2, label=torch.tensor([3]))
        assert torch.equal(again.samples, found.samples)
    saved = np.load(found.save(str(tmp_path / "found.npz")))
    assert np.array_equal(saved["samples"], found.samples.numpy())
    assert found.save(tmp_path / "found.png").exists()
    with pytest.raises(pixkit.UsageError, match=r"\.png or a \.npz"):
        found.save("found.gif")
    assert pixkit.complete(run, "test:5", known, 1).nats != found.nats, "without a label"


def test_upscale_takes_whole_and_small_images(runs, as_given):
    run = as_given(runs / "coarse")
    found = pixkit.upscale(run, "test:5", 3)
    assert found.samples.shape == (3, 1, 8, 8) and found.completion.nats is not None
    assert (found.samples[:, :, ::2, ::2] == found.small).all()
    small = pixkit.upscale(run, found.small, 3)
    assert torch.equal(small.samples, found.samples) and small.completion.nats is None and small.whole is None
    assert small.completion.image.sum() == small.small.sum(), "black where nothing is given"
    assert torch.equal(found.panels()[1:], torch.cat([found.samples, found.whole])) and len(small.panels()) == 4
    assert torch.equal(found.panels()[:1, :, 1::2, 1::2], found.small)
    for image, error in ((torch.zeros(1, 1, 5, 5).long(), pixkit.DataError), ("absent.png", pixkit.DataError)):
        with pytest.raises(error):
            pixkit.upscale(run, image)
    with pytest.raises(pixkit.UsageError, match="factor: the model does not draw"):
        pixkit.upscale(run, "test:5", factor=3)
    with pytest.raises(pixkit.UsageError, match="factor: the factor does not enlarge the image"):
        pixkit.upscale(run, "test:5", factor=1)


def test_an_image_of_the_runs_data_is_upscaled_given_its_conditions(runs, monkeypatch):
    asked = []
    monkeypatch.setattr(
        sys.modules["pixkit.tasks.upscale"], "context_of", lambda drawer, name, *others: asked.append(name)
    )
    upscale_each(runs / "coarse", ["test:5", "test:6"], 1)
    upscale_each(runs / "coarse", random_images(pixkit.ImageSpec(1, 8, 8, 17), 1), 1)
    assert asked == ["test:5", "test:6", ""]


def test_several_images_are_drawn_each_as_alone_and_refused_where_one_is_asked_for(runs):
    known = keep_edge((1, 8, 8), "top", 4)
    for name, one, each, mask in (
        ("plain", pixkit.complete, complete_each, [known]), ("coarse", pixkit.upscale, upscale_each, [])
    ):  # fmt: skip
        model = pixkit.load(runs / name)
        images = random_images(model.spec, 2)
        alone = [one(model, image[None], *mask, n=2).samples for image in images]
        assert torch.equal(torch.cat([found.samples for found in each(model, images, *mask, n=2)]), torch.cat(alone))
        with pytest.raises(pixkit.UsageError, match="takes one image") as caught:
            one(model, images, *mask, n=1)
        assert caught.value.found == "2 images"


def test_codes_are_varied_interpolated_and_reconstructed(runs, as_given):
    run = as_given(runs / "latent")
    assert pixkit.sample(run, 3, vary="latent").images.shape == (3, 1, 8, 8)
    line = pixkit.sample(run, interpolate=["test:0", "test:1"])
    assert (len(line.images), line.columns) == (8, 8)
    again = pixkit.reconstruct(run, ["test:0", "test:1"], seed=2)
    assert again.kind == "bound" and again.nats.shape == (2,) and again.summary
    assert torch.equal(again.images[0], pixkit.reconstruct(run, "test:0", seed=2).images[0])
    assert torch.equal(line.images[0], pixkit.reconstruct(run, "test:0", seed=0).images[0]), "one pixel noise"
    assert again.in_pairs(2).shape == (4, 1, 8, 8)
    assert again.names == ("test:0", "test:1")
    spec = pixkit.ImageSpec(1, 8, 8, 17)
    assert torch.equal(again.originals, read_images(again.names, spec, pixkit.Run.open(runs / "latent")))
    assert pixkit.reconstruct(run, again.originals, seed=2).names == ("0", "1")
    with pytest.raises(pixkit.UsageError, match="no such latent level") as caught:
        pixkit.sample(run, 1, vary="latent2")
    assert caught.value.expected == "pixels, latent, latent1"
    with pytest.raises(pixkit.UsageError, match="two ends"):
        pixkit.sample(run, interpolate=["test:0"])


def test_verify_takes_recipes_runs_models_and_networks(runs):
    model = pixkit.load(runs / "plain")
    for source in (str(runs / "plain.yaml"), runs / "plain.yaml", str(runs / "plain"), model, model.network):
        (report,) = pixkit.verify(source).values()
        assert report.verdict == "proved"
        assert report.count(Sight.SEEN) > 0
    (wide,) = pixkit.verify(runs / "plain.yaml", shape=(1, 5, 6, 4, 10), overrides=["model.backbone.width=8"]).values()
    assert wide.network.spec == pixkit.ImageSpec(1, 5, 6, 4) and wide.network.backbone.width == 8
    pixkit.figures.save_sight(report.sight, runs / "sight.png")
    assert Image.open(runs / "sight.png").size[0] > 100
    for keywords in ({"shape": (1, 2, 3)}, {"pixel": (0, 8, 0)}):
        with pytest.raises(pixkit.UsageError):
            pixkit.verify(runs / "plain.yaml", **keywords)
    with pytest.raises(pixkit.UsageError, match="cannot be overridden"):
        pixkit.verify(runs / "plain", overrides=["seed=1"])
    with pytest.raises(pixkit.DataError) as caught:
        pixkit.verify(runs / "plain.yaml", overrides=["data={source: arrays, path: absent.npz}"])
    assert caught.value.hint.endswith("only the images' shape is needed here: pass it with shape=(C, H, W, K)")


def test_bench_takes_them_as_well(runs):
    for source in (runs / "plain.yaml", str(runs / "plain")):
        (times,) = pixkit.bench(source, [1], rounds=1, device="cpu").values()
        assert {row.executor for row in times.rows} == {None, "reference", "eager", "native", "bfloat16"}
    with pytest.raises(pixkit.UsageError, match="batch sizes"):
        pixkit.bench(runs / "plain.yaml", [0])


@pytest.mark.parametrize("name", ["load", "build", "evaluate", "verify", "sample", "complete", "upscale",
                                  "reconstruct", "bench", "register"])  # fmt: skip
def test_every_verb_begins_with_an_example_and_says_what_it_raises(name):
    text = inspect.getdoc(getattr(pixkit, name))
    assert "\n    " in text.split("Args:")[0], "an example, indented"
    assert f"pixkit.{name}(" in text.split("Args:")[0]
    assert "Args:" in text and "Raises:" in text


def test_the_options_of_drawing_are_those_that_are_documented():
    from pixkit.tasks.drawer import open_drawer

    taken = [name for name in inspect.signature(open_drawer).parameters if name != "source"]
    assert taken == list(DrawingOptions.__annotations__)
    assert all(f"        {name}: " in DrawingOptions.__doc__ for name in taken)


def test_scores_of_reconstructions_are_those_of_their_seed(runs):
    run = runs / "latent"
    nats = [pixkit.reconstruct(run, "test:0", seed=seed).nats for seed in (0, 0, 2**32, 2**33)]
    assert torch.equal(nats[0], nats[1])
    assert len({float(each) for each in nats}) == 3, "seeds that differ by 2**32 are different seeds"
