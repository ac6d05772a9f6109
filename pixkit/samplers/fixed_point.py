"""Fixed-point sampling: freeze the noise, draw every sub-pixel at once, repeat until nothing changes.

With the noise frozen, an image is the one solution of x = f(x), where f draws each sub-pixel from the prediction
that the network makes of it given x. After n passes all sub-pixels of the first n steps are final, so that it ends
after at most as many passes as there are steps, and one that changes nothing; often after far fewer (Wiggers and
Hoogeboom, 2020, arXiv 2002.09928; Song et al., 2021, arXiv 2002.03629). The result is exact: what ancestral sampling
draws under the same noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.samplers.base import Draw, Request, Sampler, noise_dtype


class FixedPoint(Sampler):
    """Whole passes from a frozen noise until nothing changes; exact for any causal network, traceable or not.

    `passes` holds the number of passes that each batch of the last `sample` took, `steps` the ordering's steps.
    """

    def __init__(self, config: Sampler.Config) -> None:
        super().__init__(config)
        self.passes: list[int] = []
        self.steps = 0

    def summary(self) -> str:
        """How many passes each batch took."""
        said = [
            super().summary(),
            f"fixed point: {', '.join(map(str, self.passes))} passes, of at most {self.steps + 1} each",
        ]
        return "; ".join(filter(None, said))

    def prepare(self, network: Autoregressive, known: Tensor | None) -> Draw:
        """Start counting."""
        self.passes, self.steps = [], network.ordering.count

        def draw(request: Request) -> Tensor:
            drawn, passes = _iterate(network, request)
            self.passes.append(passes)
            return drawn

        return draw


def _iterate(network: Autoregressive, request: Request) -> tuple[Tensor, int]:
    noise, known, progress = request.noise, request.known, request.progress
    spec, head, count = network.spec, network.head, network.ordering.count
    reference = next(network.parameters())
    x = torch.zeros(len(noise), *spec.shape, dtype=torch.int64, device=reference.device)
    mask = torch.zeros(spec.shape, dtype=torch.bool, device=x.device) if known is None else known.mask.to(x.device)
    if known is not None:
        x = torch.where(mask, known.values.to(x.device), x)
    uniforms = noise.uniforms(head.draws, spec).to(reference.device, noise_dtype(reference.dtype))
    for passes in range(1, count + 2):
        drawn = torch.where(
            mask, x, head.distribution(network(x, request.context)).quantile(uniforms, request.temperature)
        )
        same = torch.equal(drawn, x)
        x = drawn
        if progress is not None:
            progress(count if same else min(passes, count), count)
        if same:
            return x, passes
    return x, count + 1
