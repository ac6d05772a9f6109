"""From what models are drawn from: a recipe's section or what is asked for, and images by name or as they are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import Ancestral
from pixkit.samplers.auto import Auto
from pixkit.tasks import drawer as drawing
from pixkit.tasks import inputs
from pixkit.tasks.drawer import open_drawer
from pixkit.testing import named, plain_backbone

SPEC = ImageSpec(1, 2, 2, 4)


@pytest.fixture(scope="module")
def model():
    return named("model", "autoregressive", backbone=plain_backbone()).build(SPEC, None).eval()


def test_what_is_not_said_is_as_a_recipe_has_it_that_says_nothing(model):
    found = open_drawer(model)
    assert (found.model, found.run, found.seed, found.temperature) == (model, None, 0, 1.0)
    assert (type(found.sampler), found.batch_size, found.count) == (Auto, 64, 64)
    assert (found.progress, found.loading) == (None, None)


def test_what_is_said_is_taken(model):
    tell, load = print, repr
    found = open_drawer(model, seed=5, temperature=0.5, sampler="ancestral", batch_size=3, progress=tell, loading=load)
    assert (found.seed, found.temperature, found.batch_size) == (5, 0.5, 3)
    assert type(found.sampler) is Ancestral and (found.progress, found.loading) == (tell, load)


def test_a_run_is_loaded_as_is_asked_and_drawn_as_its_recipe_says(model, monkeypatch):
    section = SimpleNamespace(temperature=0.25, type="ancestral", batch_size=7, count=9, guidance={"label": 2.0})
    run = SimpleNamespace(recipe=lambda: SimpleNamespace(sample=section))
    asked = []
    monkeypatch.setattr(drawing.Run, "open", lambda path: asked.append(path) or run)
    monkeypatch.setattr(drawing, "load", lambda run, **options: asked.append((run, options)) or model)
    found = open_drawer("somewhere", device="cpu", checkpoint="last", weights="raw")
    assert asked == ["somewhere", (run, {"device": "cpu", "checkpoint": "last", "weights": "raw"})]
    assert (found.model, found.run, found.temperature, found.batch_size, found.count) == (model, run, 0.25, 7, 9)
    assert type(found.sampler) is Ancestral and found.guidance == {"label": 2.0}
    monkeypatch.setattr(drawing, "pick_device", lambda name, ranks: f"{name}, of {ranks.size}")
    open_drawer("somewhere")
    assert asked[3][1] == {"device": "auto, of 1", "checkpoint": "best", "weights": "ema"}


def test_images_and_codes_are_drawn_so(model):
    told = []
    drawer = open_drawer(model, seed=5, temperature=0.5, batch_size=2, progress=lambda *now: told.append(now))
    expected = model.sample(3, seed=5, temperature=0.5, sampler="ancestral")
    assert torch.equal(drawer.draw(3).images, expected) and told[-1][0] == told[-1][1]
    with pytest.raises(UsageError, match="decode: the model has no latent code"):
        drawer.decode(torch.zeros(1, 1), Noise(0, [0]))


def test_codes_are_drawn_so(model, monkeypatch):
    given = []
    latent = SimpleNamespace(
        require=lambda capability, where: given.append((capability, where)),
        draw_from=lambda z, noise, **options: given.append((z, noise, options)) or "drawn",
    )
    drawer = open_drawer(model, temperature=0.5, batch_size=2, sampler="ancestral", progress=print)
    object.__setattr__(drawer, "model", latent)
    assert drawer.decode("z", "noise") == "drawn"
    options = {"temperature": 0.5, "sampler": drawer.sampler, "batch_size": 2, "progress": print}
    assert given == [("has_latent", "decode"), ("z", "noise", options)]


def test_tensors_are_images_as_they_are_and_are_numbered(model):
    drawer, images = open_drawer(model), torch.zeros(2, *SPEC.shape, dtype=torch.int64)
    assert torch.equal(drawer.images(images), images)
    names, found = drawer.named_images(images)
    assert names == ["0", "1"] and torch.equal(found, images)


@pytest.mark.parametrize("given", ["one.npy", ["one.npy"]])
def test_files_are_read_by_their_names(model, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("one.npy", np.array([[0, 1], [2, 3]]))
    names, found = open_drawer(model).named_images(given)
    assert names == ["one.npy"] and found.tolist() == [[[[0, 1], [2, 3]]]]
    with pytest.raises(DataError):
        open_drawer(model).images(given, spec=ImageSpec(1, 3, 2, 4))


class Whole:
    """A data set that counts how often it was read."""

    def __init__(self, sizes):
        self.sizes = sizes

    def size(self, split):
        return self.sizes[split]

    def part(self, split):
        return SimpleNamespace(moved=None)

    def batch(self, split, numbers):
        assert len(numbers) == 1
        return SimpleNamespace(x=torch.full((1, *SPEC.shape), int(numbers) + 10 * (split == "test")))


@pytest.fixture
def run(monkeypatch):
    """A run whose data cannot be read one by one, and how often they were read."""
    reads = []
    data = SimpleNamespace(build=lambda base: None)
    run = SimpleNamespace(recipe=lambda: SimpleNamespace(data=data), spec=SPEC, classes=None, reads=reads)
    run.source_levels = None
    monkeypatch.setattr(inputs.Outlined, "of", lambda *given: None)
    monkeypatch.setattr(
        inputs, "load_data", lambda run, progress: reads.append(progress) or Whole({"train": 5, "test": 3})
    )
    return run


def test_images_of_a_runs_data_are_read_by_number_and_all_of_them_once(run):
    names, found = inputs.named_images(["test:2", "train:0", "train:4"], SPEC, run, loading=print)
    assert names == ["test:2", "train:0", "train:4"] and run.reads == [print]
    assert found[:, 0, 0, 0].tolist() == [12, 0, 4]


@pytest.mark.parametrize(("name", "expected"), [("test:3", "0..2"), ("train:5", "0..4")])
def test_a_number_that_there_is_not_is_refused_with_those_that_there_are(run, name, expected):
    with pytest.raises(UsageError, match="there: there is no image with that number") as caught:
        inputs.named_images([name], SPEC, run, where="there")
    assert (caught.value.found, caught.value.expected) == (name, expected)


def test_an_image_that_can_be_read_alone_is(run, monkeypatch):
    asked, images = [], {"train": 7}

    class Alone(SimpleNamespace):
        files = "its files"

        def size(self, split):
            return images[split]

        def image(self, split, number):
            return torch.full(SPEC.shape, number), 0.5

    told = []
    monkeypatch.setattr(inputs, "warn_of_other_data", lambda run, *known: told.append(known))
    monkeypatch.setattr(inputs.Outlined, "of", lambda *given: asked.append(given) or Alone())
    _, found = inputs.named_images(["train:6", "train:2"], SPEC, run)
    assert found[:, 0, 0, 0].tolist() == [6, 2] and [spec for _, _, spec, _ in asked] == [SPEC]
    with pytest.raises(UsageError, match="no image with that number") as caught:
        inputs.read_images(["train:7"], SPEC, run)
    assert caught.value.expected == "0..6" and not run.reads
    assert told == 2 * [({}, "its files")]


@pytest.mark.parametrize("names", [["test:1"], ["absent.png", "test:1", "train:2"]])
def test_a_model_alone_has_no_data(names):
    with pytest.raises(UsageError, match="there: the model was opened without its run") as caught:
        inputs.named_images(names, SPEC, where="there")
    assert caught.value.found == "test:1"
