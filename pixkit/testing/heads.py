"""The contract of heads."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from pixkit.components.spec import ComponentSpec
from pixkit.errors import RecipeError
from pixkit.heads.base import Head
from pixkit.image import ImageSpec
from pixkit.testing.configs import check_config
from pixkit.testing.likelihood import check_frequencies, numbered
from pixkit.testing.parts import named

SPECS = (
    ImageSpec(1, 2, 3, 2),
    ImageSpec(1, 2, 3, 5),
    ImageSpec(2, 2, 3, 4),
    ImageSpec(3, 2, 3, 3),
    ImageSpec(1, 2, 3, 256),
)
"""Grey and colour; all levels of a site can be enumerated."""
EXTREMES = (1e2, 1e4, 1e6)


def check_head(head: ComponentSpec) -> None:
    """Check everything that pixkit requires of a head, for several shapes, numbers of levels, and colour modes.

    Its configuration survives a round trip. The probabilities of all levels of a site sum to 1; uniforms are turned
    into levels that follow them; under sequential colours no colour reads the parameters of a later one; values and
    gradients stay finite however large the parameters; float32 gives the log-probabilities of float64, and half
    precision is computed in float32; selected sites behave as in the whole image; an untrained projection does not
    depend on the features.

    Raises:
        AssertionError: saying which promise fails.
    """
    check_config(head)
    built = list(_modules(head))
    assert built, f"the head '{head.name}' refuses every image"
    for module in built:
        check_shapes(module)
        check_probabilities(module)
        check_quantiles(module)
        check_extremes(module)
        check_precision(module)
        check_sites(module)
        if module.ordering.groups > 1:
            check_colours(module)


def _modules(head: ComponentSpec) -> Iterator[Head]:
    for spec in SPECS:
        try:
            ways = head.cls.colours(head.config, spec)
            built = [head.build(spec, named("ordering", "raster").build(spec, colours)) for colours in ways]
        except RecipeError as error:
            assert len(str(error)) > 20, f"{spec} is refused without a reason"
            continue
        assert built and len(set(ways)) == len(ways), f"colours() gave {ways}"
        yield from built


def random_params(head: Head, *sites: int, batch: int = 1, seed: int = 0, scale: float = 2.0) -> Tensor:
    """Normal parameters, float64 [batch, P, *sites]."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, head.maps, *sites, generator=generator, dtype=torch.float64)


def every_site(spec: ImageSpec) -> Tensor:
    """All K ** C colours of a site, int64 [K ** C, C]."""
    return torch.tensor(list(itertools.product(range(spec.levels), repeat=spec.channels)))


def site_logs(head: Head, params: Tensor) -> Tensor:
    """Log-probabilities of every colour at every site, [K ** C, n], of params [1, P, n], as in `every_site`."""
    listed = every_site(head.spec)
    count = params.shape[-1]
    distribution = head.distribution(params.expand(len(listed), -1, -1))
    return distribution.site_log_prob(listed[:, :, None].expand(-1, -1, count))


def site_table(head: Head, params: Tensor) -> Tensor:
    """The probability of every colour at every site, [K ** C, n], of params [1, P, n], in the order of `every_site`."""
    return site_logs(head, params).exp()


def check_shapes(head: Head) -> None:
    """Maps divide among the colours; shapes follow torch.distributions; the projection starts at 0."""
    spec = head.spec
    assert head.maps % head.ordering.groups == 0, f"{head.maps} maps do not divide among the colour groups"
    width = 2 * head.ordering.groups
    layer = head.projection(width).double()
    features = torch.randn(2, width, spec.height, spec.width, dtype=torch.float64)
    params = layer(features)
    expected = (2, head.maps, spec.height, spec.width)
    assert tuple(params.shape) == expected, f"the projection gives {tuple(params.shape)}, expected {expected}"
    assert torch.equal(params, layer(-features)), "an untrained projection depends on the features"
    distribution = head.distribution(params)
    assert distribution.batch_shape == (2,), f"batch_shape {tuple(distribution.batch_shape)}, expected (2,)"
    assert distribution.event_shape == spec.shape, f"event_shape {tuple(distribution.event_shape)}"
    for name, constraint in distribution.arg_constraints.items():
        fits = constraint.check(getattr(distribution, name)).all()
        assert fits, f"its own `arg_constraints` refuse the distribution's {name}"
    assert distribution.draws == head.draws, "the head and its distribution disagree about draws"
    drawn = distribution.sample((4,))
    assert tuple(drawn.shape) == (4, 2, *spec.shape), f"sample((4,)) has the shape {tuple(drawn.shape)}"
    assert distribution.support.check(drawn).all(), "a sample lies outside the support"
    nats = distribution.log_prob(drawn[0])
    assert tuple(nats.shape) == (2,), f"log_prob has the shape {tuple(nats.shape)}, expected (2,)"
    assert torch.allclose(nats, distribution.site_log_prob(drawn[0]).sum((1, 2))), "log_prob is not the sum over sites"


def check_probabilities(head: Head) -> None:
    """Over all colours of a site, probabilities sum to 1, and agree with mean and entropy, if there are any.

    The smallest probabilities, whose logarithms reveal anomalies, agree between float32 and float64, so a floor fails.
    """
    for scale, tolerance in ((0.5, 1e-10), (2.0, 1e-10), (10.0, 1e-8)):
        params = random_params(head, 7, scale=scale)
        table = site_table(head, params)
        worst = float((table.sum(0) - 1).abs().max())
        assert worst < tolerance, f"the probabilities of a site sum to 1 only within {worst:.2g} in float64"
        single = float((site_table(head, params.float()).sum(0) - 1).abs().max())
        assert single < 1e-5, f"the probabilities of a site sum to 1 only within {single:.2g} in float32"
    check_moments(head, params, table)
    params = random_params(head, 7, scale=30.0).float()
    exact, rounded = site_logs(head, params.double()), site_logs(head, params)
    worst = float(((rounded - exact).abs() / (1 + exact.abs())).max())
    assert worst < 1e-3, f"log-probabilities in float32 differ from those in float64 by a relative {worst:.2g}"


def check_moments(head: Head, params: Tensor, table: Tensor) -> None:
    """`mean` and `entropy`, if the distribution has them, match the probabilities [K ** C, n]."""
    distribution = head.distribution(params)
    with contextlib.suppress(NotImplementedError):
        expected = torch.einsum("ln,lc->cn", table, every_site(head.spec).to(table))
        assert torch.allclose(distribution.mean[0], expected, atol=1e-6), "`mean` does not match the probabilities"
    with contextlib.suppress(NotImplementedError):
        nats = -(table * table.clamp_min(1e-300).log()).sum()
        assert torch.allclose(distribution.entropy()[0], nats, atol=1e-6), "`entropy` does not match the probabilities"


def check_quantiles(head: Head, count: int = 20_000) -> None:
    """Uniforms become levels in the right proportions, reproducibly; low temperatures give the likeliest levels.

    Only the check of proportions needs this many of them.
    """
    spec, generator, few = head.spec, torch.Generator().manual_seed(1), min(count, 2_000)
    uniforms = torch.rand(1, head.draws, spec.channels, count, generator=generator, dtype=torch.float64)
    some = uniforms[..., :few]
    for seed in range(3):
        params = random_params(head, 1, seed=seed, scale=1.0)
        drawn = head.distribution(params.expand(-1, -1, count)).quantile(uniforms)
        expected = (1, spec.channels, count)
        assert drawn.dtype == torch.int64 and tuple(drawn.shape) == expected, f"{drawn.dtype} {tuple(drawn.shape)}"
        distribution = head.distribution(params.expand(-1, -1, few))
        first = distribution.quantile(some)
        assert torch.equal(distribution.quantile(some), first), "the same uniforms give other levels"
        assert torch.equal(distribution.quantile(some, 1.0), first), "the default temperature is not 1"
        check_frequencies(numbered(drawn[0].T, spec.levels), site_table(head, params)[:, 0])
    most = []
    for temperature in (1e-3, 0.5, 10.0):
        levels = distribution.quantile(some, temperature)
        assert in_range(levels, spec), f"temperature {temperature} gives levels out of range"
        most.append(int(numbered(levels[0].T, spec.levels).bincount().max()))
    assert most[0] > most[-1], "at temperature 0.001 the likeliest levels are drawn no more often than at 10"


def in_range(levels: Tensor, spec: ImageSpec) -> bool:
    """Whether all are in 0..K-1."""
    return int(levels.min()) >= 0 and int(levels.max()) < spec.levels


def check_extremes(head: Head) -> None:
    """Log-probabilities and gradients in float32 stay finite for parameters up to 1e6 of either sign, at all levels."""
    spec = head.spec
    edges = torch.tensor([0, spec.levels - 1, spec.levels // 2])
    x = edges.view(3, 1, 1).expand(3, spec.channels, 4).contiguous()
    for size in EXTREMES:
        for seed in range(4):
            params = random_params(head, 4, batch=3, seed=seed).sign().float() * size
            params.requires_grad_()
            nats = head.distribution(params).log_prob(x)
            assert nats.isfinite().all(), f"log_prob is {nats.tolist()} for parameters of size {size:g}"
            (gradient,) = torch.autograd.grad(nats.sum(), params)
            assert gradient.isfinite().all(), f"a gradient is not finite for parameters of size {size:g}"
            uniforms = torch.full((3, head.draws, spec.channels, 4), 0.5)
            drawn = head.distribution(params).quantile(uniforms)
            assert in_range(drawn, spec), f"levels out of range for parameters of size {size:g}"


def check_precision(head: Head) -> None:
    """Half-precision parameters are converted to float32 for computation, and so is everything under autocast."""
    x = torch.randint(head.spec.levels, (2, head.spec.channels, 5), generator=torch.Generator().manual_seed(4))
    for dtype in (torch.bfloat16, torch.float16):
        params = random_params(head, 5, batch=2).to(dtype)
        nats, expected = (head.distribution(given).log_prob(x) for given in (params, params.float()))
        assert nats.dtype == torch.float32, f"{dtype} parameters give {nats.dtype} log-probabilities"
        assert torch.equal(nats, expected), f"{dtype} parameters are not converted to float32"
    params = random_params(head, 5, batch=2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        under = head.distribution(params).log_prob(x)
    expected = head.distribution(params.float()).log_prob(x)
    assert torch.equal(under, expected), "under autocast likelihoods are not computed in float32"


def check_sites(head: Head) -> None:
    """Selected sites are distributed and drawn as in the whole image."""
    spec = head.spec
    params = random_params(head, spec.height, spec.width, batch=2)
    generator = torch.Generator().manual_seed(2)
    size = (2, head.draws, *spec.shape)
    uniforms = torch.rand(size, generator=generator, dtype=torch.float64)
    x = torch.randint(spec.levels, (2, *spec.shape), generator=generator)
    rows, columns = torch.tensor([1, 0]), torch.tensor([2, 1])
    whole, some = head.distribution(params), head.distribution(params[:, :, rows, columns])
    nats = some.site_log_prob(x[:, :, rows, columns])
    assert torch.allclose(nats, whole.site_log_prob(x)[:, rows, columns], rtol=1e-10), (
        "selected sites have other scores"
    )
    drawn = some.quantile(uniforms[..., rows, columns])
    assert torch.equal(drawn, whole.quantile(uniforms)[:, :, rows, columns]), "selected sites are drawn differently"


def check_colours(head: Head) -> None:
    """Under sequential colours neither the probability nor the draw of a colour reads a later colour's parameters."""
    spec, groups = head.spec, head.ordering.groups
    count = 64  # enough that a draw which reads too much changes at some of them
    params, other = random_params(head, count), random_params(head, count, seed=9)
    uniforms = torch.rand(
        (1, head.draws, spec.channels, count), generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    group = torch.arange(head.maps) % groups
    for colour in range(groups - 1):
        moved = torch.where((group > colour)[:, None], other, params)
        drawn, again = (head.distribution(given).quantile(uniforms)[:, : colour + 1] for given in (params, moved))
        assert torch.equal(drawn, again), f"the draw of colour {colour} reads the parameters of a later one"
        table, moved_table = (_marginal(site_table(head, given), spec, colour) for given in (params, moved))
        assert torch.allclose(table, moved_table, atol=1e-10), (
            f"the probability of colour {colour} reads those of a later one"
        )


def _marginal(table: Tensor, spec: ImageSpec, colour: int) -> Tensor:
    """Marginals of [K ** C, n]: the probabilities of the first colours up to `colour`, [K ** (colour + 1), n]."""
    return table.view(spec.levels ** (colour + 1), -1, table.shape[-1]).sum(1)
