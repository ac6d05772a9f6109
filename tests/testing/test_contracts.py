"""Every registered component against its contract."""

import pytest

from pixkit.components.plugins import registry
from pixkit.testing import (
    check_activation,
    check_encoding,
    check_head,
    check_initialiser,
    check_mask,
    check_model,
    check_norm,
    check_optimiser,
    check_ordering,
    check_sampler,
    check_schedule,
    named,
)


@pytest.mark.parametrize("name", registry().names("ordering"))
def test_orderings(name):
    check_ordering(named("ordering", name))


@pytest.mark.parametrize("options", [{"direction": "outward"}], ids=str)
def test_spirals_the_other_way(options):
    check_ordering(named("ordering", "spiral", **options))


@pytest.mark.parametrize("name", registry().names("mask"))
def test_masks(name):
    check_mask(named("mask", name))


@pytest.mark.parametrize("name", registry().names("head"))
def test_heads(name):
    check_head(named("head", name))


def test_the_softmax_with_independent_colours():
    check_head(named("head", "softmax", independent=True))


@pytest.mark.parametrize("name", registry().names("sampler"))
def test_samplers(name):
    check_sampler(named("sampler", name))


@pytest.mark.parametrize("name", registry().names("activation"))
def test_activations(name):
    check_activation(named("activation", name))


@pytest.mark.parametrize("name", registry().names("encoding"))
def test_encodings(name):
    check_encoding(named("encoding", name))


@pytest.mark.parametrize("name", registry().names("norm"))
def test_norms(name):
    check_norm(named("norm", name))


@pytest.mark.parametrize("name", registry().names("initialiser"))
def test_initialisers(name):
    check_initialiser(named("initialiser", name))


@pytest.mark.parametrize("name", registry().names("optimiser"))
def test_optimisers(name):
    check_optimiser(named("optimiser", name, lr=0.02))


@pytest.mark.parametrize(
    "config", [{"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"momentum": 0.5}], ids=str
)
def test_optimisers_with_momentum(config):
    check_optimiser(named("optimiser", "sgd" if "nesterov" in config else "rmsprop", lr=0.02, **config))


@pytest.mark.parametrize("config", [{}, {"warmup": 5, "floor": 0.1, "decay": 0.9}], ids=str)
@pytest.mark.parametrize("name", registry().names("schedule"))
def test_schedules(name, config):
    check_schedule(named("schedule", name, **config))


SMALL = {"type": "pixelcnn", "width": 6, "layers": 1, "output_layers": 1}


@pytest.mark.parametrize(("ordering", "encoding"), [("checkerboard", "one_hot"), ("raster", "embedded")])
def test_the_autoregressive_model(ordering, encoding):
    check_model(named("model", "autoregressive", backbone=SMALL, ordering=ordering, input={"type": encoding}))


def test_the_autoregressive_model_where_images_have_labels():
    check_model(named("model", "autoregressive", backbone=SMALL), classes=3)
