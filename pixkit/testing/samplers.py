"""The contract of samplers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from pixkit.backbones.conditioners import FeatureContext
from pixkit.components.spec import ComponentSpec
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.precision import float32_products
from pixkit.samplers import Ancestral, Auto, BatchRequest, Known, Sampler
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, GREY, PlainBackbone, component, named, network, plain_backbone, random_images

SEED = 3
NETWORKS = (
    ("raster", GREY, "auto"),
    ("hilbert", GREY, "auto"),
    ("raster", COLOUR, "auto"),
    ("checkerboard", COLOUR, "auto"),
    ("row_at_once", COLOUR, "joint"),
)
"""Ordering, images and colours of the networks to draw from: one kernel and per-site masks, single and many sites."""


class _Told(PlainBackbone):
    """PlainBackbone with its context added to the features."""

    conditional = True

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return super().forward(x) + context[0]


def check_sampler(sampler: ComponentSpec) -> None:
    """Check everything that pixkit requires of a sampler, on networks of several orderings, grey and colour.

    Under the same noise it draws, in float64, the same as ancestral sampling, bit for bit: with any temperature, with
    known sub-pixels, with a context for each image, however the batch is split. It leaves the network and torch's
    generator unchanged, and keeps no state.
    """
    check_config(sampler)
    for name, spec, colours in NETWORKS:
        net = network(plain_backbone(), spec, ordering=named("ordering", name, colours=colours))
        check_agreement(sampler, net)
        check_known(sampler, net)
    check_agreement(sampler, network(component("backbone", _Told), COLOUR, conditioner=FeatureContext(18, (1, 1))))
    check_manners(sampler, network(plain_backbone(), COLOUR))
    check_stateless(sampler, [network(plain_backbone(), spec) for spec in (GREY, COLOUR)])


def check_agreement(sampler: ComponentSpec, net: Autoregressive) -> None:
    """The sampler draws the images of ancestral sampling, at two temperatures, also one image at a time."""
    reference, context = Ancestral(Ancestral.Config()), net.example_context(3)
    for temperature, sizes in ((1.0, (None, 2)), (0.6, (1,))):
        expected = reference.sample(net, Noise(SEED, range(3)), temperature=temperature, context=context)
        for size in sizes:
            options = {"temperature": temperature, "context": context, "batch_size": size}
            drawn = _quiet(sampler, net, Noise(SEED, range(3)), **options)
            _check_same(drawn, expected, f"temperature {temperature}, batch size {size}")


def _check_same(drawn: Tensor, expected: Tensor, how: str) -> None:
    assert drawn.dtype == torch.int64, f"samples are {drawn.dtype}"
    assert torch.equal(drawn, expected), (
        f"images differ from ancestral sampling's, {how}: "
        f"first at (image, c, h, w) = {(drawn != expected).nonzero()[:1].tolist()}"
    )


def check_drawing(net: Autoregressive) -> None:
    """The checks of `check_agreement` for the sampler `auto`, with batches of two sizes drawn from one preparation.

    They say less of a sampler, since they leave out temperatures and the splitting that samplers have in common, and as
    much of a network, which is traced and planned once instead of three times.
    """
    reference, context = Ancestral(Ancestral.Config()), net.example_context(3)
    with warnings.catch_warnings(), torch.no_grad(), float32_products(), evaluating(net):  # as samplers do
        warnings.simplefilter("ignore", RuntimeWarning)
        prepared = Auto(Auto.Config()).prepare(net, None)
        requests = [
            BatchRequest(noise, context=None if context is None else context[list(noise.images)])
            for noise in Noise(SEED, range(3)).split(2)
        ]
        drawn = torch.cat([prepared(request) for request in requests])
    _check_same(drawn, reference.sample(net, Noise(SEED, range(3)), context=context), "batch size 2")


def check_known(sampler: ComponentSpec, net: Autoregressive) -> None:
    """Known sub-pixels keep their values and affect those drawn after them: none, some, or all known."""
    reference, spec = Ancestral(Ancestral.Config()), net.spec
    chance = torch.rand(spec.shape, generator=torch.Generator().manual_seed(SEED))
    values = random_images(spec, 3, SEED)
    for share, given in ((0.0, values), (0.4, values), (0.4, values[:1]), (1.0, values)):
        known = Known(chance < share, given)
        drawn = _quiet(sampler, net, Noise(SEED, range(3)), known=known, batch_size=2)
        assert (drawn == given)[:, known.mask].all(), "a known sub-pixel was changed"
        expected = reference.sample(net, Noise(SEED, range(3)), known=known)
        assert torch.equal(drawn, expected), f"with {share:.0%} known, images differ from ancestral sampling's"


def check_manners(sampler: ComponentSpec, net: Autoregressive) -> None:
    """Empty batches, progress that ends complete, no gradients, nothing changed."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state, mode = torch.random.get_rng_state(), net.training
    nothing = _quiet(sampler, net, Noise(SEED, []))
    assert tuple(nothing.shape) == (0, *net.spec.shape), f"no images have the shape {tuple(nothing.shape)}"
    calls: list[tuple[int, int]] = []
    drawn = _quiet(
        sampler, net, Noise(SEED, range(3)), batch_size=2, progress=lambda *call: calls.append((call[0], call[1]))
    )
    assert not drawn.requires_grad, "samples carry gradients"
    shares = [done / total for done, total in calls]
    assert shares and shares == sorted(shares) and shares[-1] == 1, f"progress was {calls}"
    assert torch.equal(state, torch.random.get_rng_state()), "torch's generator was used: noise belongs to the image"
    assert net.training == mode, "the network's mode was changed"
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was changed"
    assert all(parameter.grad is None for parameter in net.parameters()), "gradients were left behind"


def check_stateless(sampler: ComponentSpec, nets: Sequence[Autoregressive]) -> None:
    """One sampler serves several networks, one after the other or in turn; its result says all about the draw.

    A sampler written for pixkit 0.1 may remember its last images.
    """
    built: Sampler = sampler.build()
    if built.former:
        return
    before, noise = dict(vars(built)), Noise(SEED, range(2))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", RuntimeWarning)
        drawn = [built.draw(net, noise) for net in nets]
        again = [built.draw(net, noise) for net in reversed(nets)][::-1]
        prepared = [built.prepare(net, None) for net in nets]
        pairs = [[draw(BatchRequest(part)) for draw in prepared] for part in noise.split(1)]
    turns = [torch.cat(parts) for parts in zip(*pairs, strict=True)]
    for first, second, third in zip(drawn, again, turns, strict=True):
        assert torch.equal(second.images, first.images), "drawing again, after another network, gives other images"
        assert second.summary == first.summary, (
            f"drawing again gives the summary {second.summary!r}, not {first.summary!r}"
        )
        assert torch.equal(third, first.images), "drawing in turn with another network gives other images"
    after = vars(built)
    changed = [name for name in {**before, **after} if before.get(name, before) is not after.get(name, after)]
    assert not changed, f"the sampler keeps state: {', '.join(changed)}"


def _quiet(sampler: ComponentSpec, net: Autoregressive, noise: Noise, **options: object) -> Tensor:
    """Sampling by whole passes is fine here, and not worth a warning."""
    built: Sampler = sampler.build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return built.sample(net, noise, **options)
