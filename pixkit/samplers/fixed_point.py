"""Fixed-point sampling: freeze the noise, draw every sub-pixel at once, repeat until nothing changes.

With the noise frozen, an image is the only solution of x = f(x), where f draws each sub-pixel from the network's
prediction given x. After n passes all sub-pixels of the first n steps are final, so at most one pass per step and one
that changes nothing are needed; often far fewer (Wiggers and Hoogeboom, 2020, arXiv 2002.09928; Song et al., 2021,
arXiv 2002.03629). The result is exact: the image that ancestral sampling draws under the same noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest, check_forward


class FixedPoint(Sampler):
    """Repeat whole passes with frozen noise until nothing changes; exact for any causal network, traceable or not.

    Example:
        >>> model = pixkit.build_model("digits-pixelcnn")  # untrained
        >>> drawn = pixkit.component("sampler", "fixed_point").build().draw(model.network, pixkit.Noise(0, [0, 1]))
        >>> drawn.summary
        'fixed point: 2 passes, of at most 65 each'
    """

    def prepare(self, network: Autoregressive, known: Tensor | None) -> FixedPointBatches:
        """Nothing to prepare but a count of passes."""
        return FixedPointBatches(network)


class FixedPointBatches:
    """Draws batches of a network; `passes` holds the number of passes of each."""

    def __init__(self, network: Autoregressive) -> None:
        self.network = network
        self.passes: list[int] = []

    def summary(self) -> str:
        """The number of passes of each batch."""
        most = self.network.ordering.count + 1
        return f"fixed point: {', '.join(map(str, self.passes))} passes, of at most {most} each"

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler."""
        network, progress = self.network, request.progress
        check_forward(network, len(request.noise))
        count = network.ordering.count
        uniforms = network.uniforms(request.noise)
        x, missing = request.start(network)
        missing = missing.to(x.device)
        for passes in range(1, count + 2):
            before = x
            x = network.fill(before, missing, network(before, request.context), uniforms, request.temperature)
            same = torch.equal(x, before)
            if progress is not None:
                progress(count if same else min(passes, count), count)
            if same:
                break
        self.passes.append(passes)
        return x
