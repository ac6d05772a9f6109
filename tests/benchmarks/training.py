"""A training step of each family beside that of the same network in plain PyTorch, one thread, in turns.

    python tests/benchmarks/training.py [--families pixelcnn transformer ...] [--precisions fp32 bf16] [--rounds 5]
        [--threads 1] [--scale 1] [--table]

The plain networks are those of `plain_*.py`, with the same weights: how far outputs and gradients are apart in float64
is said first. A step is the loss, its gradients, the clipping, the optimiser and the average of the weights, as the
family's recipe says; pixkit's is `Stepper`'s. Sizes are the recipe's but for batches, and for depth and width of
PixelCNN++ and PixelSNAIL; `--scale 2` takes twice the batch.

Each side has a process of its own, of which one works at a time: what a build of pixkit tells the C library's
allocator is not to help the other. Each precision has its ways, of which a build measures which is the fastest, as is
done here: images contiguous or channels-last, operations fused or not. Plain PyTorch is contiguous, as one finds it, or
channels-last. A line says the median seconds of the processor of both, and for ratios the median and the least of the
rounds: to what is usual in plain PyTorch, and best against best. `--table` ends with README's table of the medians.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from matching import apart, take_over
from plain_gated import Plain as Gated
from plain_networks import PixelCNN, RowLSTM, Transformer
from plain_pixelcnnpp import Plain as PixelCNNpp
from plain_pixelcnnpp import nats
from plain_pixelsnail import PixelSNAIL
from torch import Tensor, nn

from pixkit.data.dataset import BatchSequence
from pixkit.image import Batch, ImageSpec
from pixkit.memory.heap import keeping
from pixkit.network import Autoregressive
from pixkit.recipe import load_recipe
from pixkit.runs.load import construct
from pixkit.training.ema import Ema
from pixkit.training.precision import Arithmetic, obstacle
from pixkit.training.step import Stepper

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Family:
    """A recipe, images of a step, what is made smaller of it (for a test, tiny), and its plain network."""

    recipe: str
    batch: int
    plain: Callable[[Autoregressive], nn.Module]
    smaller: dict[str, object]
    tiny: dict[str, object]

    def model(self, spec: ImageSpec, *, tiny: bool = False):
        """The recipe, and the model for images of a shape."""
        keys = {f"model.backbone.{key}": value for key, value in (self.tiny if tiny else self.smaller).items()}
        recipe = load_recipe(self.recipe, [f"{key}={value}" for key, value in keys.items()]).recipe
        return recipe, construct(recipe, spec, None, CPU)

    @property
    def spec(self) -> ImageSpec:
        """Of the recipe's images."""
        return ImageSpec(3, 32, 32, 256) if self.recipe.startswith("cifar10") else ImageSpec(1, 28, 28, 2)


def pixelcnn(net: Autoregressive) -> nn.Module:
    """See `plain_networks.py`."""
    return PixelCNN(net.backbone.config.width, net.backbone.config.layers, net.spec.levels)


def gated(net: Autoregressive) -> nn.Module:
    """See `plain_gated.py`."""
    return Gated(net.backbone.config.width, net.backbone.config.layers, net.spec.levels)


def pixelcnnpp(net: Autoregressive) -> nn.Module:
    """See `plain_pixelcnnpp.py`; the last layer is not weight-normalised in pixkit."""
    c = net.backbone.config
    plain = PixelCNNpp(c.width, c.blocks, c.hierarchies, net.head.config.components, c.dropout)
    plain.out = nn.Conv2d(c.width, net.head.maps, 1)
    return plain


def row_lstm(net: Autoregressive) -> nn.Module:
    """See `plain_networks.py`."""
    c = net.backbone.config
    return RowLSTM(c.units, c.layers, c.output_width, net.spec.levels)


def pixelsnail(net: Autoregressive) -> nn.Module:
    """See `plain_pixelsnail.py`."""
    c, side = net.backbone.config, net.spec.height
    values = c.value_width or c.width // 2
    sizes = (c.width, c.blocks, c.residuals, c.key_width, values, net.head.maps, c.dropout)
    return PixelSNAIL(net.spec.channels, side, *sizes)


def transformer(net: Autoregressive) -> nn.Module:
    """See `plain_networks.py`."""
    c = net.backbone.config
    sites = net.spec.height * net.spec.width
    return Transformer(sites, c.width, c.blocks, c.heads, net.spec.levels, c.dropout)


FAMILIES = {
    "pixelcnn": Family("mnist-pixelcnn", 16, pixelcnn, {}, {"width": 4, "layers": 1, "output_width": 4}),
    "gated_pixelcnn": Family("mnist-gated", 16, gated, {}, {"width": 3, "layers": 2}),
    "pixelcnnpp": Family(
        "cifar10-pixelcnnpp", 4, pixelcnnpp, {"resnets": 1}, {"filters": 3, "resnets": 1, "hierarchies": 2}
    ),
    "row_lstm": Family("mnist-row_lstm", 16, row_lstm, {}, {"units": 2, "layers": 1, "output_width": 3}),
    "pixelsnail": Family(
        "cifar10-pixelsnail",
        *(4, pixelsnail, {"width": 128, "blocks": 2, "value_width": 64}),
        {"width": 4, "blocks": 1, "residuals": 1, "key_width": 2, "value_width": 3},
    ),
    "transformer": Family("mnist-transformer", 4, transformer, {}, {"width": 4, "blocks": 1, "heads": 2}),
}


def tiny(name: str) -> tuple[Autoregressive, nn.Module, Tensor]:
    """A family's network and the plain one, tiny, float64, with the same random weights; and images."""
    family = FAMILIES[name]
    spec = ImageSpec(family.spec.channels, 4, 4, family.spec.levels)
    net = family.model(spec, tiny=True)[1].network.double().eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random, dtype=parameter.dtype), alpha=0.3)
    plain = family.plain(net).double().eval()
    take_over(plain, net)
    return net, plain, torch.randint(spec.levels, (2, *spec.shape), generator=random)


class Images:
    """Some random images, as a data set that batches are taken from."""

    name = "random"

    def __init__(self, spec: ImageSpec, count: int) -> None:
        self.x = torch.randint(spec.levels, (count, *spec.shape), generator=torch.Generator().manual_seed(0))

    def size(self, split: str) -> int:
        """How many."""
        return len(self.x)

    def labels(self, split: str) -> None:
        """None."""

    def batch(self, split: str, numbers: Tensor, draw: int = 0) -> Batch:
        """Some of them."""
        return Batch(self.x[numbers], None, numbers)


class Plainly:
    """Steps of a plain network, as one usually writes them."""

    def __init__(self, plain: nn.Module, net: Autoregressive, config, last: bool) -> None:
        self.form = torch.channels_last if last else torch.contiguous_format
        self.plain, self.net, self.config = plain.to(memory_format=self.form).train(), net, config
        keys = config.optimizer.config.model_dump()
        adam = torch.optim.AdamW if config.optimizer.name == "adamw" else torch.optim.Adam
        self.optimizer = adam(plain.parameters(), **keys)
        self.average = [parameter.detach().clone() for parameter in plain.parameters()]

    def step(self, x: Tensor, half: bool) -> float:
        """One step; the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        encoded = self.net.encoding(x).contiguous(memory_format=self.form)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = self.plain(encoded)
        if self.net.spec.levels == 256:
            loss = nats(encoded.float(), out).mean() / x[0].numel()
        else:
            loss = F.cross_entropy(out.float(), x[:, 0])
        loss.backward()
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.plain.parameters(), self.config.clip)
        self.optimizer.step()
        with torch.no_grad():
            for kept, parameter in zip(self.average, self.plain.parameters(), strict=True):
                kept.lerp_(parameter, 1 - self.config.ema)
        return float(loss.detach())


Way = Callable[[], object]


def ways(family: Family, whose: str, precisions: list[str], scale: int) -> Iterator[tuple[str, str, Way]]:
    """Precision, how, and the step, of one of the two."""
    recipe, model = family.model(family.spec)
    config, batch = recipe.train, family.batch * scale
    images, net = Images(family.spec, 2 * batch), model.network
    stepper = Stepper(model, BatchSequence(images, batch, 0), config, 0, CPU)  # type: ignore[arg-type]
    stepper.initialise()
    if whose == "plain":
        plain = family.plain(net)
        take_over(plain, net)
        for precision, form in itertools.product(precisions, ("contiguous", "channels_last")):
            those = Plainly(copy.deepcopy(plain), net, config, form == "channels_last")
            yield precision, form, lambda those=those, half=precision == "bf16": those.step(images.x[:batch], half)
        return
    average, able = Ema(model, config.ema), obstacle(model, CPU) is None

    def step(arithmetic: Arithmetic) -> None:
        stepper.arithmetic = arithmetic
        stepper.make(1)
        average.update(model, 1)

    fusing = (False, True) if able else (False,)
    for precision, form, fused in itertools.product(precisions, ("contiguous", "channels_last"), fusing):
        one = Arithmetic(precision, form, fused=fused)  # type: ignore[arg-type]
        yield precision, f"{form}{', fused' if fused else ''}", lambda one=one: step(one)


def serve(asked: Connection, name: str, whose: str, options: argparse.Namespace) -> None:
    """In a process of its own: say which ways there are, then make a step by that whose number is asked for."""
    torch.set_num_threads(options.threads)
    with keeping() if whose == "pixkit" else nullcontext():
        found = list(ways(FAMILIES[name], whose, options.precisions, options.scale))
        asked.send([(precision, whose, how) for precision, how, _ in found])
        while (number := asked.recv()) is not None:
            begin = time.process_time()
            found[number][2]()
            asked.send(time.process_time() - begin)


def measured(name: str, options: argparse.Namespace) -> dict[tuple[str, str, str], list[float]]:
    """Seconds of the processor of each way, in turns."""
    taken: dict[tuple[str, str, str], list[float]] = {}
    processes, sides = multiprocessing.get_context("spawn"), []
    for whose in ("pixkit", "plain"):
        ours, theirs = processes.Pipe()
        processes.Process(target=serve, args=(theirs, name, whose, options), daemon=True).start()
        sides.append((ours, ours.recv()))
    for turn in range(options.rounds + 1):  # in the first, memory is found
        for pipe, keys in sides:
            for number, key in enumerate(keys):
                pipe.send(number)
                seconds = pipe.recv()
                if turn:
                    taken.setdefault(key, []).append(seconds)
    for pipe, _ in sides:
        pipe.send(None)
    return taken


def ratios(one: list[float], other: list[float]) -> tuple[float, float]:
    """Median and least of the rounds' ratios."""
    found = [a / b for a, b in zip(one, other, strict=True)]
    return statistics.median(found), min(found)


def report(name: str, precision: str, each: dict[tuple[str, str], list[float]]) -> list[str]:
    """Say what a family's ways took in a precision; return cells of README's table: ms, to the usual, best to best."""
    for (whose, how), seconds in each.items():
        print(f"    {precision} {whose:6} {how:22} {1e3 * statistics.median(seconds):8.1f} ms")
    ours, theirs = (
        min((seconds for key, seconds in each.items() if key[0] == whose), key=statistics.median)
        for whose in ("pixkit", "plain")
    )
    usual, best = ratios(ours, each["plain", "contiguous"]), ratios(ours, theirs)
    shown = [f"{median:5.2f} {least:5.2f}" for median, least in (usual, best)]
    print(f"{name:15} {precision}  to the usual {shown[0]}   best to best {shown[1]}", flush=True)
    return [f"{1e3 * statistics.median(ours):.0f} ms", f"{usual[0]:.2f}", f"{best[0]:.2f}"]


def heading(precisions: list[str]) -> list[str]:
    """The first two rows of README's table."""
    kinds = [f"{precision}, {what}" for precision in precisions for what in ("", "to the usual", "best to best")]
    columns = ["family", "images", *(kind.removesuffix(", ") for kind in kinds)]
    return [row(columns), row(["---"] * len(columns))]


def row(cells: list[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=[*FAMILIES], default=[*FAMILIES])
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    for name, default in (("rounds", 5), ("threads", 1), ("scale", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = heading(options.precisions)
    for name in options.families:
        outputs, gradients = apart(*tiny(name))
        print(f"{name}: outputs {outputs:.0e}, gradients {gradients:.0e} apart in float64, of the largest", flush=True)
        taken, cells = measured(name, options), [f"`{name}`", str(FAMILIES[name].batch * options.scale)]
        for precision in options.precisions:
            each = {key[1:]: seconds for key, seconds in taken.items() if key[0] == precision}
            cells += report(name, precision, each)
        table.append(row(cells))
    if options.table:
        print("\n".join(table))


if __name__ == "__main__":
    main()
