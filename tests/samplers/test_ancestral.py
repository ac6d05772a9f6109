"""Ancestral sampling: what is known stays, an image belongs to its number, samples follow the model."""

import pytest
import torch

from pixkit.errors import DataError, PluginError, UsageError
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Auto, Known, sampler_for
from pixkit.testing import named, network

SPEC = ImageSpec(3, 3, 4, 3)
SAMPLER = Ancestral(Ancestral.Config())


def net_of(ordering="raster", spec=SPEC, **config):
    backbone = named("backbone", "pixelcnn", width=12, layers=1, output_layers=1)
    return network(backbone, spec, ordering=named("ordering", ordering, **config))


def some_images(count, spec=SPEC, seed=0):
    return torch.randint(spec.levels, (count, *spec.shape), generator=torch.Generator().manual_seed(seed))


def slow(net, noise, temperature=1.0, known=None):
    """The definition: one sub-pixel after the other, each from its conditional distribution by its uniform."""
    spec = net.spec
    uniforms = noise.uniforms(1, spec)[:, 0]
    x = torch.zeros(len(noise), *spec.shape, dtype=torch.int64)
    for step in range(net.ordering.count):
        drawn = x.clone()
        for c, h, w in (net.ordering.steps == step).nonzero().tolist():
            if known is not None and known.mask[c, h, w]:
                drawn[:, c, h, w] = known.values[:, c, h, w]
                continue
            with torch.no_grad():
                logits = net(x)[:, c :: spec.channels, h, w] / temperature
            cumulative = logits.softmax(1).cumsum(1)
            drawn[:, c, h, w] = (uniforms[:, c, h, w, None] >= cumulative[:, :-1]).sum(1)
        x = drawn
    return x


@pytest.mark.parametrize("ordering", ["raster", "hilbert", "checkerboard", "row_at_once"])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_equals_the_definition(ordering, temperature):
    net, noise = net_of(ordering), Noise(3, range(5))
    assert torch.equal(SAMPLER.sample(net, noise, temperature=temperature), slow(net, noise, temperature))


@pytest.mark.parametrize("ordering", ["raster", "spiral", "row_at_once"])
def test_known_subpixels_are_kept_and_seen(ordering):
    """What is known counts from its own step on, no earlier, whatever lies around it."""
    net, noise = net_of(ordering), Noise(0, range(4))
    mask = torch.rand(SPEC.shape, generator=torch.Generator().manual_seed(2)) < 0.5
    known = Known(mask, some_images(4))
    drawn = SAMPLER.sample(net, noise, known=known)
    assert torch.equal(drawn[:, mask], known.values[:, mask])
    assert torch.equal(drawn, slow(net, noise, known=known))
    assert not torch.equal(drawn, SAMPLER.sample(net, noise)), "what is known matters"


def test_values_outside_the_mask_do_not_count():
    net, noise = net_of(), Noise(0, range(4))
    mask = torch.zeros(SPEC.shape, dtype=torch.bool)
    mask[:, 0] = True
    values = some_images(4)
    other = torch.where(mask, values, (values + 1) % SPEC.levels)
    drawn = [SAMPLER.sample(net, noise, known=Known(mask, given)) for given in (values, other)]
    assert torch.equal(*drawn)


def test_one_image_known_for_all():
    net, noise = net_of(), Noise(0, range(3))
    mask = torch.zeros(SPEC.shape, dtype=torch.bool)
    mask[0, :2] = True
    one = some_images(1)
    drawn = SAMPLER.sample(net, noise, known=Known(mask, one))
    repeated = SAMPLER.sample(net, noise, known=Known(mask, one.expand(3, -1, -1, -1)))
    assert torch.equal(drawn, repeated)
    assert torch.equal(drawn[:, mask], one[:, mask].expand(3, -1))


def test_everything_known_needs_no_network():
    values = some_images(3)
    known = Known(torch.ones(SPEC.shape, dtype=torch.bool), values)
    assert torch.equal(SAMPLER.sample(net_of(), Noise(0, range(3)), known=known), values)


@pytest.mark.parametrize(("mask", "values", "error", "text"), [
    (torch.ones(3, 3, 3, dtype=torch.bool), some_images(2), UsageError, "mask of known"),
    (torch.ones(3, 4, dtype=torch.bool), some_images(2), UsageError, "mask of known"),
    (torch.ones(SPEC.shape, dtype=torch.int64), some_images(2), UsageError, "mask of known"),
    (torch.ones(SPEC.shape, dtype=torch.bool), some_images(3), UsageError, "number of images"),
    (torch.ones(SPEC.shape, dtype=torch.bool), some_images(2) + 1, DataError, "out of range"),
    (torch.ones(SPEC.shape, dtype=torch.bool), some_images(2).double(), DataError, "integers"),
    (torch.ones(SPEC.shape, dtype=torch.bool), some_images(2)[0], DataError, "shape"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(mask, values, error, text):
    with pytest.raises(error, match=text):
        SAMPLER.sample(net_of(), Noise(0, range(2)), known=Known(mask, values))


def test_part_of_known_values():
    known = Known(torch.ones(SPEC.shape, dtype=torch.bool), some_images(5))
    assert torch.equal(known.part(2, 2).values, known.values[2:4])
    alone = Known(known.mask, known.values[:1])
    assert alone.part(2, 2) is alone


def test_an_image_does_not_depend_on_its_batch():
    net = net_of("hilbert")
    whole = SAMPLER.sample(net, Noise(4, range(9)))
    for size in (1, 2, 9):
        parts = [SAMPLER.sample(net, part) for part in Noise(4, range(9)).split(size)]
        assert torch.equal(torch.cat(parts), whole)


def test_seeds_and_images_give_other_samples():
    net = net_of()
    drawn = torch.cat([SAMPLER.sample(net, Noise(seed, range(8))) for seed in (0, 1)])
    assert len(drawn.unique(dim=0)) == 16


def test_low_temperature_goes_to_the_mode():
    """At temperature 1e-6 every sub-pixel is the most probable one given those before, whatever the noise."""
    net = net_of()
    drawn = SAMPLER.sample(net, Noise(0, range(6)), temperature=1e-6)
    with torch.no_grad():
        assert torch.equal(net.distribution(drawn).mode, drawn)
    assert torch.equal(drawn, drawn[:1].expand_as(drawn))


def test_progress_counts_steps():
    calls = []
    SAMPLER.sample(net_of(), Noise(0, range(1)), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(step + 1, 36) for step in range(36)]


def test_float32_networks_get_float32_noise_and_give_levels():
    drawn = SAMPLER.sample(net_of().float(), Noise(0, range(2)))
    assert drawn.dtype == torch.int64
    assert int(drawn.min()) >= 0 and int(drawn.max()) < 3


def test_bfloat16_networks_are_sampled_in_float32():
    """bfloat16 noise would know 256 values: u < 1 would round to 1."""
    drawn = SAMPLER.sample(net_of().bfloat16(), Noise(0, range(2)))
    assert int(drawn.min()) >= 0 and int(drawn.max()) < 3


def test_gradients_are_not_recorded():
    net = net_of()
    SAMPLER.sample(net, Noise(0, range(1)))
    assert all(parameter.grad is None for parameter in net.parameters())


def test_samplers_by_name():
    assert isinstance(sampler_for("ancestral"), Ancestral)
    assert isinstance(sampler_for("auto"), Auto)
    with pytest.raises(PluginError, match="did you mean 'ancestral'"):
        sampler_for("ancestrall")
