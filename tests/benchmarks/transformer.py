"""Seconds to draw a batch from networks in plain torch: pixkit's cached sampling beside loops written by hand.

    python tests/benchmarks/transformer.py [--widths 64 128 256] [--blocks 6] [--sites 784] [--batch 16] [--threads 2]
        [--rounds 3] [--networks transformer convolutions] [--executors eager native] [--short]

`transformer` is the built-in backbone, `convolutions` a stack of causal Conv1d layers, dilated as WaveNet's. The loops
are what one would write for them: of the transformer, keys and values in memory taken beforehand, a step a site,
torch's attention over the part that is filled; of the convolutions, the inputs of each layer in memory taken
beforehand, a product of a window a step. Weights are random.

Everything runs in one process, turn by turn, and each round gives ratios to that round's forward pass and to its loop.
Printed are seconds of the best round, and of ratios the median and the least. An executor that does not run a plan is
left out with the reason; `ancestral` among them is a pass a site. `differ` counts the pixels in which the images are
not the loop's: in float32 a few may, where a uniform lies between two sums in another order.

--short leaves out the convolutions but of the first width: on a quiet machine that takes a few minutes with --rounds 2.
To try it out: --widths 8 --blocks 2 --sites 16 --batch 2 --rounds 1 --executors ancestral eager native
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit import Backbone, BackboneSpec, ComponentConfig
from pixkit.errors import PixkitError
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.runs.record import machine
from pixkit.samplers import Ancestral, BatchRequest, Cached
from pixkit.samplers.cached import CachedBatches
from pixkit.testing import component, named, network, random_images

KERNEL = 3


class Convolutions(Backbone):
    """Causal convolutions over the sites of a raster, residual, dilated by 1, 2, 4, ..., 128 and from 1 again."""

    class Config(ComponentConfig):
        """Sizes."""

        width: int = 64
        """Maps."""
        blocks: int = 6
        """Layers."""

    def __init__(self, config: Config, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        self.width, self.dilations = config.width, [2 ** (block % 8) for block in range(config.blocks)]
        self.enter = nn.Conv1d(spec.inputs, config.width, KERNEL)
        self.layers = nn.ModuleList(nn.Conv1d(config.width, config.width, KERNEL, dilation=d) for d in self.dilations)
        self.leave = nn.ModuleList(nn.Conv1d(config.width, config.width, 1) for _ in self.dilations)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H, W]."""
        h = self.enter(F.pad(x.flatten(2), (KERNEL, -1)))
        for dilation, layer, leave in zip(self.dilations, self.layers, self.leave, strict=True):
            h = h + leave(F.relu(layer(F.pad(h, ((KERNEL - 1) * dilation, 0)))))
        return h.unflatten(2, x.shape[2:])


def transformer_by_hand(net: Autoregressive, uniforms: Tensor) -> Tensor:
    """Binary images of the raster, int64 [B, N], from uniforms [B, N]: a loop over sites with kept keys and values."""
    body, (batch, sites) = net.backbone, uniforms.shape
    places = body.here[body.carried] + body.next[body.predicted]
    heads = body.config.heads
    kept = torch.zeros(2, len(body.blocks), batch, heads, sites, body.width // heads)
    levels = torch.zeros(batch, sites, dtype=torch.int64)
    for site in range(sites):
        h = places[site].expand(batch, -1)
        if site:
            h = h + body.content(2.0 * levels[:, site - 1 : site] - 1)
        for number, block in enumerate(body.blocks):
            query, key, value = block.read(block.before_attention(h)).view(batch, 3, heads, 1, -1).unbind(1)
            keys, values = kept[:, number]
            keys[:, :, site : site + 1], values[:, :, site : site + 1] = key, value
            mixed = F.scaled_dot_product_attention(query, keys[:, :, : site + 1], values[:, :, : site + 1])
            h = h + block.mix(mixed.view(batch, -1))
            h = h + block.narrow(F.gelu(block.widen(block.before_mlp(h))))
        levels[:, site] = drawn(net, body.norm(h), uniforms[:, site])
    return levels


def convolutions_by_hand(net: Autoregressive, uniforms: Tensor) -> Tensor:
    """The same of the convolutions: a window of what each layer has read is multiplied at each step."""
    body, (batch, sites) = net.backbone, uniforms.shape
    layers = [body.enter, *body.layers]
    weights = [layer.weight.permute(0, 2, 1).flatten(1) for layer in layers]
    outs = [leave.weight[:, :, 0] for leave in body.leave]
    before = [KERNEL, *((KERNEL - 1) * dilation for dilation in body.dilations)]
    read = [torch.zeros(batch, sites + more, layer.in_channels) for more, layer in zip(before, layers, strict=True)]
    levels = torch.zeros(batch, sites, dtype=torch.int64)
    for site in range(sites):
        h = F.linear(read[0][:, site : site + KERNEL].flatten(1), weights[0], body.enter.bias)
        for number, dilation in enumerate(body.dilations, 1):
            read[number][:, site + before[number]] = h
            window = read[number][:, site : site + before[number] + 1 : dilation].flatten(1)
            inner = F.relu(F.linear(window, weights[number], layers[number].bias))
            h = h + F.linear(inner, outs[number - 1], body.leave[number - 1].bias)
        levels[:, site] = drawn(net, h, uniforms[:, site])
        read[0][:, site + KERNEL, 0] = 2.0 * levels[:, site] - 1
    return levels


def drawn(net: Autoregressive, features: Tensor, uniforms: Tensor) -> Tensor:
    """Levels 0 or 1, int64 [B], of features [B, M], by the inverse of the distribution function."""
    logits = F.linear(features, net.projection.weight[:, :, 0, 0], net.projection.bias)
    return (uniforms >= logits.softmax(1)[:, 0]).long()


NETWORKS: dict[str, tuple[Callable[..., object], Callable[[Autoregressive, Tensor], Tensor]]] = {
    "transformer": (lambda **sizes: named("backbone", "transformer", heads=4, **sizes), transformer_by_hand),
    "convolutions": (lambda **sizes: component("backbone", Convolutions, **sizes), convolutions_by_hand),
}
"""A backbone by its sizes, and its loop."""


@dataclass
class Way:
    """One way of drawing, or a forward pass, and the seconds that each round took."""

    name: str
    work: Callable[[], Tensor]
    seconds: list[float] = field(default_factory=list)

    def run(self) -> Tensor:
        """Once, timed."""
        start = time.perf_counter()
        result = self.work()
        self.seconds.append(time.perf_counter() - start)
        return result


def built(name: str, width: int, options: argparse.Namespace) -> Autoregressive:
    """The network for binary images of so many pixels, as square as they can be."""
    rows = next(side for side in range(math.isqrt(options.sites), 0, -1) if options.sites % side == 0)
    backbone = NETWORKS[name][0](width=width, blocks=options.blocks)
    return network(backbone, ImageSpec(1, rows, options.sites // rows, 2), gain=1.0).float().eval()


def ways(name: str, net: Autoregressive, options: argparse.Namespace) -> list[Way]:
    """A forward pass, the loop, and each executor that runs the plan."""
    noise, images = Noise(0, range(options.batch)), random_images(net.spec, options.batch)
    uniforms = net.uniforms(noise)[:, 0, 0].flatten(1)
    found = [Way("forward", lambda: net(images)), Way("loop", lambda: NETWORKS[name][1](net, uniforms))]
    for way in found:
        way.work()
    start = time.perf_counter()
    plan = Cached(Cached.Config()).prepare(net, None).prepared
    print(f"{name} {net.backbone.config.width}: planned in {time.perf_counter() - start:.1f} s")
    for executor in options.executors:
        try:
            one_by_one = executor == "ancestral"
            prepared = Ancestral(None).prepare(net, None) if one_by_one else CachedBatches(plan, executor)
            prepared(BatchRequest(noise))
        except PixkitError as error:
            print(f"{name} {net.backbone.config.width}: not by {executor}: {' '.join(str(error).split())[:300]}")
            continue
        found.append(Way(executor, lambda prepared=prepared: prepared(BatchRequest(noise)).flatten(1)))
    return found


def report(name: str, width: int, found: list[Way], images: dict[str, Tensor]) -> None:
    """A line for each way."""
    forward, loop = (way.seconds for way in found[:2])
    for way in found:
        ratios = []
        for beside in (forward, loop):
            each = [own / other for own, other in zip(way.seconds, beside, strict=True)]
            ratios.append(f"{statistics.median(each):7.2f} {min(each):7.2f}")
        differ = "" if way.name == "forward" else int((images[way.name] != images["loop"]).sum())
        print(
            f"{name:12}  {width:5}  {way.name:8}  {min(way.seconds):8.3f}  {'  '.join(ratios)}  {differ:>6}", flush=True
        )


@torch.no_grad()
def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--sites", type=int, default=784)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--executors", nargs="+", default=["eager", "native"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        for width in options.widths[: 1 if options.short and name == "convolutions" else None]:
            net = built(name, width, options)
            found = ways(name, net, options)
            if (name, width) == (options.networks[0], options.widths[0]):
                print(", ".join(f"{key} {value}" for key, value in machine(net).items()))
            head = f"{'network':12}  {'width':>5}  {'way':8}  {'seconds':>8}"
            print(f"{head}  {'/ forward: median, least':>15}  {'/ loop':>15}  {'differ':>6}")
            for _ in range(options.rounds):
                images = {way.name: way.run() for way in found}
            report(name, width, found, images)


if __name__ == "__main__":
    main()
