"""A plugin as an author of 0.1 wrote it: one component of each of the seven kinds, with names of `pixkit` alone.

It is a record, kept as it was when 0.1 ran it. What it does the old way:

- its mixing layer says what is ready, but not how to compute a site (`at`), so it is sampled by whole passes;
- its sampler returns a plain function, reads `self.clamped` and overrides `summary()`;
- its model overrides `sample`, with all of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import pixkit

pixkit_api_version = pixkit.API_VERSION


class Rings(pixkit.Ordering):
    """The sites at the centre first, then ring by ring outwards; those of a ring together."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """The number of the ring."""
        rows = (2 * torch.arange(height) - height + 1).abs()
        columns = (2 * torch.arange(width) - width + 1).abs()
        return torch.maximum(rows[:, None], columns).unique(return_inverse=True)[1]


class Cross(pixkit.TapShape):
    """The centre's row and column."""

    def has(self, dy: int, dx: int) -> bool:
        """In the row or in the column."""
        return dy == 0 or dx == 0


class EarlierMean(pixkit.MixingLayer):
    """For each map, the mean over all sites whose step is not later."""

    def __init__(self, ordering: pixkit.Ordering) -> None:
        super().__init__()
        steps = ordering.group_steps.flatten()
        self.groups, self.allowed = ordering.groups, steps[:, None] >= steps
        shares = self.allowed.double() / self.allowed.sum(1, keepdim=True)
        self.register_buffer("shares", shares.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, M, H, W] to the same shape."""
        by_unit = x.unflatten(1, (-1, self.groups)).flatten(2)
        return (by_unit @ self.shares.to(x.dtype).T).unflatten(2, (self.groups, *x.shape[2:])).flatten(1, 2)

    def ready(self, *inputs: Tensor) -> Tensor:
        """With the last of them."""
        (source,) = inputs
        return torch.where(self.allowed, source.flatten(), 0).amax(1).view_as(source)


class Gist(pixkit.Backbone):
    """A masked layer, the mean of what came before added to it, and a map of each site."""

    class Config(pixkit.ComponentConfig):
        width: int = Field(12, ge=1, description="Maps, a multiple of the colours.")
        kernel: int = Field(5, ge=1, description="Side of the first layer's kernel, odd.")
        shape: pixkit.MaskRef = Field({"type": "cross"}, validate_default=True, description="Taps of the kernel.")

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        self.width, ordering = config.width, spec.ordering
        shape = config.shape.build()
        self.first = pixkit.MaskedConv2d(spec.inputs, self.width, config.kernel, "A", ordering, shape=shape)
        self.mean = EarlierMean(ordering)
        self.last = nn.Sequential(nn.Tanh(), pixkit.Pointwise(self.width, self.width, ordering))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.first(x)
        return self.last(seen + self.mean(torch.relu(seen)))


class BinomialLevels(pixkit.PixelDistribution):
    """Levels 0..K-1 as the successes of K - 1 trials; `logits` [B, C, *S] are those of one trial."""

    arg_constraints: ClassVar[dict] = {}

    def __init__(self, logits: Tensor, levels: int) -> None:
        self.levels = levels
        shape = (1, levels, *[1] * (logits.ndim - 1))
        level = torch.arange(levels, dtype=torch.float64)
        ways = torch.lgamma(torch.tensor(float(levels), dtype=torch.float64)) - torch.lgamma(level + 1)
        ways = ways - torch.lgamma(levels - level)
        self.weights = ways.to(logits).view(shape) + level.to(logits).view(shape) * logits[:, None]
        super().__init__(logits.shape[:1], logits.shape[1:], validate_args=False)

    def level_log_probs(self, x: Tensor) -> Tensor:
        return self.weights.log_softmax(1)

    def site_log_prob(self, x: Tensor) -> Tensor:
        return self.level_log_probs(x).gather(1, x[:, None]).squeeze(1).sum(1)

    def quantile(self, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        summed = (self.weights / temperature).softmax(1).cumsum(1)
        below = uniforms.to(summed).clamp(max=1 - torch.finfo(summed.dtype).eps / 2)
        return (below >= summed[:, :-1] / summed[:, -1:]).sum(1)


class Binomial(pixkit.Head):
    """One logit for each colour: its level is binomial."""

    def __init__(self, config: pixkit.ComponentConfig, spec: pixkit.ImageSpec, ordering: pixkit.Ordering) -> None:
        super().__init__(config, spec, ordering)
        self.maps = spec.channels

    @classmethod
    def colours(cls, config: pixkit.ComponentConfig, spec: pixkit.ImageSpec) -> tuple[str, ...]:
        return ("sequential",)

    def distribution(self, params: Tensor) -> BinomialLevels:
        params = params.float() if params.dtype in (torch.bfloat16, torch.float16) else params
        return BinomialLevels(params, self.spec.levels)


class Patient(pixkit.Sampler):
    """Ancestral sampling that counts its passes."""

    def __init__(self, config: pixkit.ComponentConfig) -> None:
        super().__init__(config)
        self.passes = 0

    def summary(self) -> str:
        return f"{self.passes} patient passes" + (", some of what is known came late" if self.clamped else "")

    def prepare(self, network: pixkit.Autoregressive, known: Tensor | None) -> Callable:
        self.passes = 0
        late = self.clamped

        def draw(request):
            x = torch.zeros(len(request.noise), *network.spec.shape, dtype=torch.int64)
            due = torch.ones(network.spec.shape, dtype=torch.bool) if known is None else ~known
            if known is not None:
                x = torch.where(known, request.known.values, x)
            assert late == (known is not None and not request.known.precede(network.ordering))
            precision = torch.promote_types(next(network.parameters()).dtype, torch.float32)
            uniforms = request.noise.uniforms(network.head.draws, network.spec).to(precision)
            for step in range(network.ordering.count):
                now = due & (network.ordering.steps == step)
                if now.any():
                    self.passes += 1
                    drawn = network.distribution(x, request.context).quantile(uniforms, request.temperature)
                    x = torch.where(now, drawn, x)
                if request.progress is not None:
                    request.progress(step + 1, network.ordering.count)
            return x

        return draw


class Pair(pixkit.Model):
    """Two networks of one design, of which each image is drawn by one: p(x) = w p_1(x) + (1 - w) p_2(x)."""

    class Config(pixkit.ComponentConfig):
        ordering: pixkit.OrderingRef = Field({"type": "rings"}, validate_default=True, description="What comes first.")
        input: pixkit.InputConfig = Field(default_factory=pixkit.InputConfig, description="How levels enter.")
        backbone: pixkit.BackboneRef = Field({"type": "gist"}, validate_default=True, description="Both networks.")
        head: pixkit.HeadRef = Field({"type": "binomial"}, validate_default=True, description="Of both.")
        sampler: pixkit.SamplerRef = Field({"type": "patient"}, validate_default=True, description="Who draws.")

    def __init__(self, config: Config, spec: pixkit.ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        parts = (config.ordering, config.input, config.backbone, config.head)
        self.networks = nn.ModuleList(pixkit.assemble(spec, *parts) for _ in range(2))
        self.odds = nn.Parameter(torch.zeros(()))

    def phases(self) -> list[pixkit.Phase]:
        return [pixkit.Phase("likelihood", self.parameters(), self._loss)]

    def _nats(self, x: Tensor) -> Tensor:
        log_w = nn.functional.logsigmoid(torch.stack([self.odds, -self.odds]))
        return -torch.stack([w + net.log_prob(x) for w, net in zip(log_w, self.networks, strict=True)]).logsumexp(0)

    def _loss(self, batch: pixkit.Batch, step: int) -> dict[str, Tensor]:
        nats = self._nats(batch.x).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    @torch.no_grad()
    def score(self, batch: pixkit.Batch) -> Tensor:
        return self._nats(batch.x)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        sampler: str | pixkit.Sampler = "auto",
        batch_size: int = 64,
        first: int = 0,
        known: pixkit.Known | None = None,
        context: Tensor | None = None,
        guidance: float = 0.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        if known is not None or context is not None or guidance:
            raise pixkit.UsageError("a pair draws whole images, of no label", where=type(self).__name__)
        drawer = self.config.sampler.build() if isinstance(sampler, str) else sampler
        numbers = range(first, first + n)
        toss = pixkit.Noise(seed, numbers).stream("which").uniforms(1, pixkit.ImageSpec(1, 1, 1, 2)).flatten()
        chosen = toss >= self.odds.detach().sigmoid()
        x = torch.zeros(n, *self.spec.shape, dtype=torch.int64)
        for which, network in enumerate(self.networks):
            mine = [number for number, second in zip(numbers, chosen.tolist(), strict=True) if second == which]
            noise = pixkit.Noise(seed, mine)
            x[chosen == bool(which)] = drawer.sample(
                network, noise, temperature=temperature, batch_size=batch_size, progress=progress
            )
        return x

    def verify(self) -> None:
        x = torch.zeros(1, *self.spec.shape, dtype=torch.int64)
        for network in self.networks:
            network.log_prob(x)


class Crosses(pixkit.DataSource):
    """Images of one bright row and one bright column, on a dark ground, with some noise; the row is the label."""

    class Config(pixkit.DataConfig):
        side: int = Field(6, ge=1, le=64, description="Height and width.")
        images: int = Field(96, ge=4, description="Number of training images.")

    def load(self, progress: Callable[[str, int, int], None] | None = None) -> pixkit.SourceImages:
        train, test = self._draw(self.config.images, 0), self._draw(max(self.config.images // 4, 1), 1)
        return pixkit.SourceImages(train, test, levels=5, classes=self.config.side, notes=("drawn, not read",))

    def _draw(self, count: int, seed: int) -> pixkit.ImageSet:
        generator, side = torch.Generator().manual_seed(seed), self.config.side
        rows, columns = torch.randint(side, (2, count), generator=generator)
        lit = (torch.arange(side) == rows[:, None])[:, :, None] | (torch.arange(side) == columns[:, None])[:, None]
        noise = torch.randint(2, (count, side, side), generator=generator)
        return pixkit.ImageSet((3 * lit + noise)[:, None].to(torch.uint8), rows)


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    registry.add("ordering", "rings", Rings)
    registry.add("mask", "cross", Cross)
    registry.add("backbone", "gist", Gist)
    registry.add("head", "binomial", Binomial)
    registry.add("sampler", "patient", Patient)
    registry.add("model", "pair", Pair)
    registry.add("data", "crosses", Crosses)
