"""The contract kit: one call checks a component against everything that pixkit promises of it.

Every check raises AssertionError saying what does not hold. All work in float64, with enlarged random weights: layers
that start at zero hide nothing, and a wrong order shows in the probabilities.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pixkit.autoregressive import Autoregressive, assemble
from pixkit.backbone import InputConfig
from pixkit.component import ComponentConfig, ComponentSpec
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.plugins import registry
from pixkit.registry import Entry
from pixkit.samplers import Ancestral

GREY = ImageSpec(1, 3, 5, 2)
COLOUR = ImageSpec(3, 2, 4, 3)
TINY = (ImageSpec(1, 2, 5, 2), ImageSpec(3, 1, 2, 3))


def component(kind: str, cls: type, **config: object) -> ComponentSpec:
    """A component that is not registered, with its configuration, as a recipe would give it."""
    context = {"registry": registry()}
    parsed: ComponentConfig = cls.Config.model_validate(config, context=context)  # type: ignore[attr-defined]
    return ComponentSpec(Entry(kind, cls.__name__, cls, "test", "0"), parsed)


def named(kind: str, name: str, **config: object) -> ComponentSpec:
    """A registered component with its configuration."""
    entry = registry().get(kind, name)
    return ComponentSpec(entry, entry.cls.Config.model_validate(config, context={"registry": registry()}))


def network(
    backbone: ComponentSpec,
    spec: ImageSpec,
    *,
    ordering: ComponentSpec | None = None,
    head: ComponentSpec | None = None,
    seed: int = 0,
    gain: float = 2.0,
) -> Autoregressive:
    """A float64 network in eval mode whose weights are all random, `gain` times the usual size."""
    ordering = ordering or named("ordering", "raster")
    head = head or named("head", "softmax", independent=getattr(ordering.config, "colours", "auto") == "joint")
    net = assemble(spec, ordering, InputConfig(), backbone, head).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            scale = gain / max(parameter[0].numel() if parameter.ndim > 1 else 1, 1) ** 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net


def every_image(spec: ImageSpec) -> Tensor:
    """All K ** (C * H * W) images of a tiny spec, int64 [N, C, H, W]."""
    levels = itertools.product(range(spec.levels), repeat=spec.dims)
    return torch.tensor(list(levels)).view(-1, *spec.shape)


def influence(net: Autoregressive, images: Tensor) -> Tensor:
    """Which sub-pixel moves the prediction of which: bool [G, H, W, C, H, W], by exhaustive finite swaps.

    Entry [g, h, w, c, i, j] tells whether changing sub-pixel (c, i, j) of some image in `images`, to any other level,
    changes any bit of a parameter of colour group g at (h, w).
    """
    spec, groups = net.spec, net.ordering.groups
    seen = torch.zeros(groups, spec.height, spec.width, *spec.shape, dtype=torch.bool)
    with torch.no_grad():
        before = net(images)
        for c, i, j in itertools.product(*map(range, spec.shape)):
            for shift in range(1, spec.levels):
                changed = images.clone()
                changed[:, c, i, j] = (changed[:, c, i, j] + shift) % spec.levels
                moved = (net(changed) != before).unflatten(1, (-1, groups)).any(1).any(0)
                seen[..., c, i, j] |= moved
    return seen


def permitted(net: Autoregressive) -> Tensor:
    """What the ordering allows each prediction to see: bool [G, H, W, C, H, W]."""
    steps, target = net.ordering.steps, net.ordering.group_steps
    return steps[None, None, None] < target[..., None, None, None]


def check_causality(net: Autoregressive, *, seed: int = 0, images: int = 4) -> Tensor:
    """Finite swaps: nothing of the same or a later step has an effect. Returns what has one."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randint(net.spec.levels, (images, *net.spec.shape), generator=generator)
    seen = influence(net, batch)
    leaks = seen & ~permitted(net)
    assert not leaks.any(), f"leak: (g, h, w) <- (c, i, j) at {leaks.nonzero()[0].tolist()}"
    return seen


def check_gradients(net: Autoregressive, seen: Tensor, *, seed: int = 0) -> None:
    """Gradients with respect to encoded pixels agree: zero where swaps say nothing, non-zero where they say something.

    Only for encodings that give one map a colour, so that a gradient belongs to a sub-pixel.
    """
    generator = torch.Generator().manual_seed(seed)
    size = (64, *net.spec.shape)
    x = (4 * torch.rand(size, generator=generator, dtype=torch.float64) - 2).requires_grad_()
    params = net.projection(net.backbone(x)).unflatten(1, (-1, net.ordering.groups))
    for g, h, w in itertools.product(*map(range, seen.shape[:3])):
        weights = torch.randn(params.shape[:2], generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((params[:, :, g, h, w] * weights).sum(), x, retain_graph=True)
        found = (gradient != 0).any(0)
        assert not (found & ~permitted(net)[g, h, w]).any(), f"({g}, {h}, {w}) has a gradient to a later sub-pixel"
        missing = seen[g, h, w] & ~found
        assert not missing.any(), f"({g}, {h}, {w}) has no gradient to {missing.nonzero()[0].tolist()}"


def check_normalised(net: Autoregressive, *, tolerance: float = 1e-10) -> None:
    """The probabilities of all images sum to 1."""
    with torch.no_grad():
        total = float(net.log_prob(every_image(net.spec)).exp().sum())
    assert abs(total - 1) < tolerance, f"the probabilities of all images sum to {total!r}"


def check_sampling(net: Autoregressive, *, count: int = 4096) -> None:
    """Frequencies of ancestral samples follow exp(log_prob), and splitting a batch changes nothing.

    The chi-square statistic over images (rare ones pooled) must lie within 6 deviations of its mean.
    """
    sampler = Ancestral(Ancestral.Config())
    drawn = sampler.sample(net, Noise(1, range(count)))
    parts = [sampler.sample(net, part) for part in Noise(1, range(32)).split(7)]
    assert torch.equal(torch.cat(parts), drawn[:32]), "samples depend on how the batch is split"
    images = every_image(net.spec)
    with torch.no_grad():
        expected = net.log_prob(images).exp() * count
    place = net.spec.levels ** torch.arange(net.spec.dims - 1, -1, -1)
    observed = torch.bincount((drawn.flatten(1) * place).sum(1), minlength=len(images)).double()
    common = expected >= 5
    cells = torch.cat([expected[common], expected[~common].sum()[None]]).clamp_min(1e-9)
    counts = torch.cat([observed[common], observed[~common].sum()[None]])
    statistic, freedom = float(((counts - cells) ** 2 / cells).sum()), len(cells) - 1
    assert statistic < freedom + 6 * (2 * freedom) ** 0.5 + 20, (
        f"samples do not follow the likelihood: chi-square {statistic:.1f} with {freedom} degrees of freedom"
    )


def check_save_load(net: Autoregressive, again: Autoregressive) -> None:
    """Tensors saved and loaded into a second network of the same recipe give the same bits."""
    again.load_state_dict(load_tensors(save_tensors({k: v.contiguous() for k, v in net.state_dict().items()})))
    x = torch.randint(net.spec.levels, (3, *net.spec.shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(net(x), again(x)), "a saved and loaded network gives other parameters"


def check_backbone(backbone: ComponentSpec, orderings: Iterable[ComponentSpec] | None = None) -> None:
    """Everything above, grey and colour, for each ordering (all registered ones if left out)."""
    kinds = registry().names("ordering") if orderings is None else ()
    for ordering in orderings or [named("ordering", name) for name in kinds]:
        for spec in (GREY, COLOUR):
            net = network(backbone, spec, ordering=ordering)
            check_gradients(net, check_causality(net))
            check_save_load(net, network(backbone, spec, ordering=ordering, seed=1))
        for spec in TINY:
            net = network(backbone, spec, ordering=ordering)
            check_normalised(net)
            check_sampling(net, count=1024)
