"""Each check of the contracts of data, samplers, orderings, layers and latent models fails for one that is so wrong."""

import warnings
from dataclasses import replace

import pytest
import torch

from pixkit.components.config import ComponentConfig
from pixkit.data import prepare
from pixkit.data.base import DataSource, ImageSet, SourceImages
from pixkit.errors import DataError
from pixkit.image import ImageSpec
from pixkit.layers import Shift
from pixkit.orderings.scans import Raster
from pixkit.samplers import Ancestral, Drawn
from pixkit.testing import (
    GREY,
    check_data,
    check_layer,
    check_ordering,
    component,
    named,
    network,
    plain_backbone,
    randomise,
)
from pixkit.testing.data import check_levels, check_split
from pixkit.testing.latents import check_bound, check_codes, check_decoder, check_importance, check_latent_model
from pixkit.testing.models import _batch
from pixkit.testing.samplers import check_agreement, check_manners, check_stateless


def noticed(check, text, *arguments, **options):
    with pytest.raises(AssertionError, match=text):
        check(*arguments, **options)


def derived(base, **attributes):
    return type("Wrong", (base,), {"__doc__": "One fault.", **attributes})


# Data


class Pictures(DataSource):
    """A few images of two classes, all different."""

    def load(self, progress=None):
        pixels = torch.arange(60 * 6, dtype=torch.uint8).view(60, 1, 2, 3) % 251
        return SourceImages(ImageSet(pixels, torch.arange(60) % 2), ImageSet(pixels[:7], torch.arange(7) % 2), 256, 2)

    def known_classes(self):
        return ("0", "1")


class Keyless(Pictures):
    """Lacks the common keys."""

    class Config(ComponentConfig):
        """None."""


def dataset(tmp_path):
    return prepare(component("data", Pictures), tmp_path)


def test_a_source_has_the_common_keys():
    noticed(check_data, "derive from pixkit.data.DataConfig", component("data", Keyless))


def test_data_that_are_right_pass(tmp_path):
    found = check_data(component("data", Pictures), tmp_path)
    assert found.size("train") + found.size("validation") == 60
    check_split(found, found, "train", dynamic=False)


def changed(of, **attributes):
    for name, value in attributes.items():
        setattr(of, name, value)
    return of


def other_batch(change):
    """A data set whose batches are changed."""

    def made(of):
        batch = of.batch
        return changed(of, batch=lambda split, rows, draw=0: change(batch(split, rows, draw=draw), draw))

    return made


@pytest.mark.parametrize(("wrong", "text"), [
    (other_batch(lambda batch, draw: replace(batch, x=batch.x.int())), "images are torch.int32"),
    (other_batch(lambda batch, draw: replace(batch, indices=batch.indices + 1)), "other numbers than requested"),
    (other_batch(lambda batch, draw: replace(batch, labels=None)), "labels and classes go together"),
    (lambda of: changed(of, classes=None), "labels and classes go together"),
    (other_batch(lambda batch, draw: replace(batch, labels=batch.labels.int())), "labels are torch.int32"),
    (other_batch(lambda batch, draw: replace(batch, labels=batch.labels - 1)), "train: labels$"),
    (other_batch(lambda batch, draw: replace(batch, labels=batch.labels + 1)), "train: labels$"),
    (lambda of: changed(of, classes=1), "train: labels$"),
    (other_batch(lambda batch, draw: replace(batch, x=batch.x.sort(0).values)), "depends on the others in"),
    (lambda of: changed(of, batches=lambda split, size, limit: [of.batch(split, torch.arange(48).flip(0))]), "order"),
    (other_batch(lambda batch, draw: replace(batch, x=(batch.x + draw) % 256)), "change between visits"),
])  # fmt: skip
def test_splits(wrong, text, tmp_path):
    found = wrong(dataset(tmp_path))
    noticed(check_split, text, found, found, "train", dynamic=False)


def test_only_training_images_change_from_visit_to_visit_and_only_if_that_is_asked_for(tmp_path):
    made = other_batch(lambda batch, draw: replace(batch, x=(batch.x + draw) % 256))
    check_split(made(dataset(tmp_path)), dataset(tmp_path), "train", dynamic=True)
    noticed(check_split, "test: images change", made(dataset(tmp_path)), dataset(tmp_path), "test", dynamic=True)


def test_the_second_data_set_has_the_same_images(tmp_path):
    again = other_batch(lambda batch, draw: replace(batch, x=batch.x.flip(0)))(dataset(tmp_path))
    noticed(check_split, "loaded twice, the images differ", dataset(tmp_path), again, "train", dynamic=False)


@pytest.mark.parametrize(("attributes", "text"), [
    ({"size": lambda split: 0}, "no training images"), ({"description": ""}, "has no description"),
    ({"name": "another"}, "has no description"), ({"hashes": lambda: {}}, "hashes of"),
    ({"hashes": lambda: {"train": "", "test": "", "split": "", "more": ""}}, "hashes of"),
])  # fmt: skip
def test_data_sets(attributes, text, tmp_path, monkeypatch):
    monkeypatch.setattr("pixkit.testing.data.prepare", lambda *given: changed(prepare(*given), **attributes))
    noticed(check_data, text, component("data", Pictures), tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_split_is_looked_at(split, tmp_path, monkeypatch):
    def made(*given):
        found = prepare(*given)
        batch = found.batch
        cut = {split: torch.int32}
        return changed(found, batch=lambda name, rows, draw=0: replace(
            (part := batch(name, rows, draw=draw)), x=part.x.to(cut.get(name, torch.int64))
        ))  # fmt: skip

    monkeypatch.setattr("pixkit.testing.data.prepare", made)
    noticed(check_data, f"{split}: images are torch.int32", component("data", Pictures), tmp_path)


def test_levels_out_of_range_are_refused(tmp_path):
    found = other_batch(lambda batch, draw: replace(batch, x=batch.x + 6))(dataset(tmp_path))
    with pytest.raises(DataError, match="out of range"):
        check_split(found, found, "train", dynamic=False)


def test_a_split_that_shrinks_is_noticed(tmp_path, monkeypatch):
    sizes = iter([53, 53, 52])
    monkeypatch.setattr(
        "pixkit.testing.data.prepare", lambda *given: changed(prepare(*given), size=lambda split: next(sizes))
    )
    noticed(check_data, "loaded twice, train has another size", component("data", Pictures), tmp_path)


@pytest.mark.parametrize("kind", ["threshold", "static", "dynamic"])
def test_binarised_images_have_two_levels_and_the_hashes_of_the_images_as_loaded(kind, tmp_path, monkeypatch):
    def prepared(change):
        def made(source, base):
            found = prepare(source, base)
            return change(found) if source.config.binarise == kind else found

        monkeypatch.setattr("pixkit.testing.data.prepare", made)

    source, found = component("data", Pictures), dataset(tmp_path)
    check_levels(source, tmp_path, found)
    prepared(lambda of: changed(of, spec=ImageSpec(1, 2, 3, 4)))
    noticed(check_levels, f"binarised by {kind}, there are 4 levels", source, tmp_path, found)
    prepared(lambda of: changed(of, hashes=lambda: {"train": "another"}))
    noticed(check_levels, "differ from those of the images as loaded", source, tmp_path, found)


# Samplers


def sampler(**attributes):
    return component("sampler", derived(Ancestral, **attributes))


def drawn(change):
    """Samplers whose `draw` is changed."""

    def draw(self, net, noise, **options):
        return change(net, Ancestral.draw(self, net, noise, **options), options)

    return {"draw": draw}


def backwards(net, found, options):
    if options.get("progress"):
        options["progress"](1, 2)
    return found


def moves(net, found, options):
    with torch.no_grad():
        net.backbone.body[0].weight[0] += 1
    return found


def trains(net, found, options):
    net.train()
    return found


def grades(net, found, options):
    net.backbone.body[0].bias.grad = torch.zeros_like(net.backbone.body[0].bias)
    return found


def attached(net, found, options):
    return Drawn(found.images * net.backbone.body[0].bias.sum(), found.summary)


def squeezed(net, found, options):
    return found if len(found.images) else Drawn(found.images[:, :, :1], found.summary)


@pytest.mark.parametrize(("change", "text"), [
    (backwards, "progress was"), (moves, "body.0.weight was changed"), (trains, "mode was changed"),
    (grades, "gradients were left"), (attached, "samples carry gradients"), (squeezed, "no images have the shape"),
])  # fmt: skip
def test_manners_of_samplers(change, text):
    noticed(check_manners, text, sampler(**drawn(change)), network(plain_backbone(), GREY))


@pytest.mark.parametrize(("change", "text"), [
    (lambda net, found, options: Drawn(found.images.int()), "samples are torch.int32"),
    (lambda net, found, options: found if options["temperature"] == 1 else Drawn(1 - found.images), "0.6, batch"),
    (lambda net, found, options: found if options["batch_size"] else Drawn(1 - found.images), "1.0, batch size None"),
    (lambda net, found, options: found if options["batch_size"] != 2 else Drawn(1 - found.images), "batch size 2"),
])  # fmt: skip
def test_agreement_of_samplers(change, text):
    noticed(check_agreement, text, sampler(**drawn(change)), network(plain_backbone(), GREY))


def slow(net, found, options):
    warnings.warn("sampling by whole passes", RuntimeWarning, stacklevel=2)
    return found


def test_a_sampler_may_warn_that_it_is_slow():
    net = network(plain_backbone(), GREY)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        check_agreement(sampler(**drawn(slow)), net)
        check_stateless(sampler(**drawn(slow)), [net])


def test_what_a_sampler_says_is_the_same_again():
    said = iter("abcd")
    talks = drawn(lambda net, found, options: Drawn(found.images, next(said)))
    noticed(check_stateless, "drawing again gives the summary", sampler(**talks), [network(plain_backbone(), GREY)])


def test_a_sampler_draws_the_same_again():
    turns = iter(range(9))
    turning = drawn(lambda net, found, options: Drawn((found.images + next(turns)) % 2))
    noticed(check_stateless, "drawing again, after", sampler(**turning), [network(plain_backbone(), GREY)])


# Orderings and layers


class Draws(Raster):
    """Uses torch's generator."""

    def site_steps(self, height, width):
        torch.rand(1)
        return super().site_steps(height, width)


class Hides(Raster):
    """Finds no sites for its last step."""

    def sites_at(self, step):
        rows, columns = super().sites_at(step)
        return (rows[:0], columns[:0]) if step == self.count - 1 else (rows, columns)


@pytest.mark.parametrize(("cls", "text"), [(Draws, "torch's generator was used"), (Hides, "a step without a site")])
def test_orderings(cls, text):
    noticed(check_ordering, text, component("ordering", cls))


@pytest.mark.parametrize(("attributes", "text"), [
    ({"ready": lambda self, source: Shift.ready(self, source).double()}, "readiness is torch.float64"),
    ({"ready": lambda self, source: Shift.ready(self, source)[:, :1]}, r"readiness has the shape \(2, 1, 4\)"),
    ({"ranks": lambda self, units: Shift.ranks(self, units)[:, :1]}, "`ranks` has the shape"),
    ({"plannable": False}, "has no method `at`"),
])  # fmt: skip
def test_layers(attributes, text):
    noticed(check_layer, text, derived(Shift, **attributes)(1, 0), [(4, 3, 4)], groups=2)


# Latent models


VAE_CLASS = named("model", "pixelvae", backbone="pixelcnn").cls
SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
VAE = {"backbone": SMALL, "latent": 2, "features": 4, "encoder": {"width": 2, "hidden": 4}}


def vae_of(spec, gain=1.0):
    model = named("model", "pixelvae", **VAE).build(spec, None).double().eval()
    randomise(model, 1, gain)
    return model


@pytest.fixture
def vae():
    return vae_of(ImageSpec(1, 2, 3, 2))


def twice_scaled(method):
    return lambda x, **options: method(x, **options) * (1 + 1e-6 * options.get("batch_size", 0))


def with_noise(method):
    return lambda *given, **options: method(*given, **options) + 0 * torch.rand(1)


def by_count(method):
    return lambda noise, *given: method(noise, *given) + 0.1 * len(noise[0])


@pytest.mark.parametrize(("name", "change", "text"), [
    ("encode", lambda method: lambda x, **options: method(x, **options)[:4], "encode must give z_1"),
    ("encode", lambda method: lambda x, **options: method(x, **options).long(), "encode must give z_1"),
    ("encode", twice_scaled, "codes in a batch mix"),
    ("means", lambda method: lambda x: [*method(x), method(x)[0]], "means must give each level's"),
    ("encode", lambda method: lambda x, **options: method(x, **options) + 1, "means must give each level's"),
    ("active_units", lambda method: lambda x: [(0, 3)], r"active_units gives \[\(0, 3\)\]"),
    ("latents", lambda method: lambda noise: method(noise)[:, :1], "codes from the prior are"),
    ("latents", by_count, "a code depends on which others"),
    ("latents", lambda method: lambda noise: torch.ones(len(noise[0]), 2), "same codes"),
    ("latents", with_noise, "torch's generator was used"),
])  # fmt: skip
def test_codes(vae, name, change, text):
    method = getattr(vae, name)
    setattr(vae, name, change(method))
    with torch.no_grad():
        noticed(check_codes, text, vae)


def small_vae(**attributes):
    return component("model", derived(VAE_CLASS, **attributes), **VAE)


def test_a_latent_model_is_a_model():
    noticed(check_latent_model, "the phases are called", small_vae(phases=lambda self: []))


@pytest.mark.parametrize(("attributes", "text"), [
    ({"active_units": lambda self, x: []}, "active_units gives"),
    ({"draw": lambda self, request: Drawn(1 - VAE_CLASS.draw(self, request).images)}, "differs from decode of latents"),
    ({"log_prob": lambda self, x: x}, "score is a bound"),
    ({"importance": lambda self, batch, count: torch.zeros(len(batch.x)) - 1}, "importance weights of all"),
    ({"score_kind": "exact"}, "its score is not exact"),
])  # fmt: skip
def test_latent_models(attributes, text, monkeypatch):
    monkeypatch.setattr("pixkit.testing.latents.check_model", lambda *given, **options: None)
    noticed(check_latent_model, text, small_vae(**attributes), spec=ImageSpec(1, 2, 3, 2))


def test_the_noise_of_every_level_has_an_effect(vae):
    vae.levels, vae.means = 2, lambda x: [type(vae).means(vae, x)[0]] * 2
    vae.latents = lambda noise: noise[0].uniforms(1, vae.spec).flatten(1)[:, :2]
    with torch.no_grad():
        noticed(check_codes, "the noise of level 2 has no effect", vae)


def test_samples_are_decoded_codes(vae):
    decode = vae.decode
    vae.decode = lambda z, noise, **options: 1 - decode(z, noise, **options)
    noticed(check_decoder, "sample differs from decode of latents", vae)
    vae.decode = lambda z, noise, **options: decode(z, noise) if not options else 1 - decode(z, noise)
    noticed(check_decoder, "samplers disagree", vae)


def test_codes_matter(vae):
    forward = vae.network.conditioner.forward
    vae.network.conditioner.forward = lambda context: forward(context) * 0
    noticed(check_decoder, "the decoder ignores the code", vae)


@pytest.mark.parametrize(("change", "text"), [
    (lambda parts: {"nats": parts["nats"]}, r"the parts are \[\]"),
    (lambda parts: {**parts, "more": torch.ones(1)}, "the parts are"),
    (lambda parts: {**parts, "more": torch.ones(3)}, "do not sum"),
])  # fmt: skip
def test_bounds(vae, change, text):
    assess = vae.assess
    vae.assess = lambda batch: change(dict(assess(batch)))
    noticed(check_bound, text, vae, _batch(vae.spec, None, 3))


def test_noise_of_a_number_is_the_same(vae, monkeypatch):
    monkeypatch.setattr("pixkit_plugins.pixelvae.draw_by_number", lambda posterior, numbers: posterior.rsample())
    noticed(check_bound, "draws_by_number is declared", vae, _batch(vae.spec, None, 3))


def test_a_bound_is_no_likelihood(vae):
    vae.log_prob = lambda x: torch.zeros(len(x))
    noticed(check_bound, "log_prob is defined although", vae, _batch(vae.spec, None, 3))


@pytest.mark.parametrize(("name", "text", "draws"), [
    ("importance", "importance weights of all", 8), ("score", "the bounds of", 4),
])  # fmt: skip
def test_estimates_of_a_likelihood_add_up_to_no_more_than_one(name, text, draws):
    vae = vae_of(ImageSpec(1, 1, 2, 2), 0.1)  # nearly the prior and fair coins, so that estimates are good ones
    check_importance(vae)
    method, given_to = getattr(vae, name), []
    setattr(vae, name, lambda *given: method(*given) - len([given_to.append(given)]))
    said = []
    for seed in (1, 2):  # which is not the check's own
        torch.manual_seed(seed)
        with pytest.raises(AssertionError, match=text) as caught:
            check_importance(vae)
        said.append(str(caught.value))
    assert said[0] == said[1] and len(given_to) == 2 * draws
