"""Checks that a head, which may be a plugin's, keeps its promise: a distribution of levels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixkit.components.faults import Blamed, require_registered
from pixkit.heads.base import Head

_CLOSE = 0.01
"""The error in nats that float32 may make in a sum of probabilities, or of their logarithms."""


def hold(head: Head, projection: nn.Module, features: Tensor) -> None:
    """Raise PluginError unless a head returns a distribution of levels for the features of some images.

    Args:
        head: in evaluation mode.
        projection: the result of its `projection`.
        features: [B, width, H, W].
    """
    held = _Held(head, Blamed.of("head", head), len(features))
    require_registered(head, held.blamed)
    shape = (len(features), head.maps, *features.shape[2:])
    with held.blamed.at("to project features", f"a layer from {list(features.shape)} to {list(shape)}"):
        params = projection(features)
    held.tensor("projection", params, shape, "self.maps is the number of parameter maps")
    held.whole(params)
    held.one_site(params.flatten(2)[:, :, :1].contiguous())


class _Held:
    def __init__(self, head: Head, blamed: Blamed, batch: int) -> None:
        self.head, self.blamed, self.batch, self.spec = head, blamed, batch, head.spec

    def call(self, method: str, distribution: Any, *args: Any) -> Any:
        """The result of a method of the distribution."""
        with self.blamed.at(f"at {method}", f"a PixelDistribution of the parameters, and its {method}"):
            return getattr(distribution, method)(*args)

    def tensor(self, method: str, given: Any, shape: tuple[int, ...], hint: str, *, levels: bool = False) -> None:
        """Raise unless a result is a tensor of that shape, of levels or of real numbers."""
        kind, proper = ("int64", torch.int64) if levels else ("floating point", None)
        found = f"{given.dtype} {list(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
        right = isinstance(given, Tensor) and tuple(given.shape) == shape
        if not right or (given.dtype != proper if levels else not given.is_floating_point()):
            raise self.blamed.error(f"returns the wrong thing from `{method}`", found, f"{kind} {list(shape)}", hint)

    def levels(self, params: Tensor) -> Tensor:
        """A level for each image, int64 [B, 1, 1, 1]."""
        return torch.arange(self.batch, device=params.device).remainder(self.spec.levels)[:, None, None, None]

    def distribution(self, params: Tensor) -> Any:
        """The head's distribution of some parameters."""
        with self.blamed.at("to make a distribution", f"a PixelDistribution of parameters {list(params.shape)}"):
            return self.head.distribution(params)

    def whole(self, params: Tensor) -> None:
        """Check the log-probabilities of images: one for each site, one for each image, none above 0."""
        spec, distribution = self.spec, self.distribution(params)
        x = self.levels(params).expand(self.batch, *spec.shape).contiguous()
        sites = self.call("site_log_prob", distribution, x)
        nats = self.call("log_prob", distribution, x)
        self.tensor("site_log_prob", sites, (self.batch, spec.height, spec.width), "sum over colours, not over sites")
        self.tensor("log_prob", nats, (self.batch,), "nats of each image: summed over sites, not over images")
        if bool(nats.isnan().any()) and bool(params.isfinite().all()):
            raise self.blamed.error("gives no probability", "log_prob = nan, of finite parameters", "a number")
        if bool((nats > _CLOSE).any()):
            most, hint = (
                f"log_prob = {float(nats.max()):.4g}",
                "log p in nats, without a minus, of levels, not densities",
            )
            raise self.blamed.error("gives probabilities above 1", most, "log_prob of at most 0", hint)

    def one_site(self, params: Tensor) -> None:
        """Check the first site: the probabilities of its levels, and the levels drawn from uniforms."""
        spec, distribution = self.spec, self.distribution(params)
        colours = (self.batch, spec.channels, 1)
        x = self.levels(params)[..., 0].expand(colours).contiguous()
        levels = self.call("level_log_probs", distribution, x)
        shape, hint = (self.batch, spec.levels, spec.channels, 1), "nats of every level: [B, K, C, *S], S being (1,)"
        self.tensor("level_log_probs", levels, shape, hint)
        total = levels.logsumexp(1).exp()
        if bool(((total - 1).abs() > _CLOSE).any()):
            found = f"probabilities that sum to {float(total.flatten()[0]):.4g}"
            raise self.blamed.error("is not normalised", found, "1, over the levels of a colour", "a log_softmax, say")
        at_site = self.call("site_log_prob", distribution, x)
        known = levels.gather(1, x[:, None]).squeeze(1).sum(1)
        if bool(((known - at_site).abs() > _CLOSE * (1 + known.abs())).any()):
            found = f"{float(at_site.flatten()[0]):.4g}, and {float(known.flatten()[0]):.4g} by its level_log_probs"
            expected = "the sum over colours of the level's `level_log_probs`"
            raise self.blamed.error("contradicts itself in `site_log_prob`", found, expected)
        uniforms = torch.full(
            (self.batch, self.head.draws, *colours[1:]), 0.5, dtype=levels.dtype, device=params.device
        )
        drawn = self.call("quantile", distribution, uniforms, 1.0)
        self.tensor("quantile", drawn, colours, "levels [B, C, *S] of uniforms [B, draws, C, *S]", levels=True)
        if not 0 <= int(drawn.min()) <= int(drawn.max()) < spec.levels:
            found = f"{int(drawn.min())}..{int(drawn.max())}"
            raise self.blamed.error("draws levels that do not exist", found, f"0..{spec.levels - 1}")
