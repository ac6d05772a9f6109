"""The codec of a run on real images: the same bytes by every build of the kernel and by numpy, the rate, the time.

    python tests/benchmarks/codec.py RUN IMAGE... [--builds 10000] [--numpy 256] [--rounds 3]

IMAGE is what `pixkit compress` takes; --parts rates builds numpy times names some of what there is. The strict kernel
is compiled for each level of x86-64 that this processor has, and for one without AVX, at -O1 and -O3; each build
encodes and decodes the first images, as many as --builds says (--shared: each build a share of them), one of the two
on two threads, and numpy those that --numpy says. Printed are the bytes of all beside the model's own nats, in one
stream and as a file, and the least processor times for a batch of 64, in turns: of a forward pass in torch, the
native executor's walk, the strict kernel's, and of encoding and decoding by that kernel, by one for processors
without AVX, by numpy, and with the coder in Python. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import pixkit
from pixkit.codec import coder as coding
from pixkit.codec import strict
from pixkit.codec.codec import Codec
from pixkit.codec.frozen import Array
from pixkit.codec.packing import Packer, Unpacker
from pixkit.codec.portable import PortableWalk
from pixkit.codec.strict import StrictWalk
from pixkit.codec.walk import Walk
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.prebuilt import SOURCE, _flags, flags, levels
from pixkit.execution.plan import make_plan
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.readiness.trace import Trace
from pixkit.tasks import codec_of, read_images

BATCH = 64
PARTS = ("rates", "builds", "numpy", "times")


class TwoThreads(StrictWalk):
    """Half of the batch on each."""

    def advance(self, step: int) -> None:
        """See Walk."""
        self._library.run(ctypes.addressof(self._program), step, step + 1, 0, self.batch, 2, 0)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--builds", type=int, default=10000)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--numpy", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = pixkit.Run.open(given.run)
    model = pixkit.load(run, device="cpu", dtype=torch.float32)
    assert isinstance(model, AutoregressiveModel)
    images = read_images(given.images, model.spec, run)
    codec = codec_of(model)
    wrong = 0
    if "rates" in given.parts:
        rates(codec, model, images)
    if "builds" in given.parts:
        wrong += builds(codec, images.numpy()[: given.builds], shared=given.shared)
    if "numpy" in given.parts:
        wrong += portable(codec, images.numpy()[: given.numpy])
    if "times" in given.parts:
        times(codec, model, images[:BATCH], given.rounds)
    sys.exit(wrong > 0)


def rates(codec: Codec, model: AutoregressiveModel, images: torch.Tensor) -> None:
    """What the images take."""
    with torch.no_grad():
        nats = -sum(float(model.log_prob(part).double().sum()) for part in images.split(256))
    file = codec.encode(images.numpy())
    block, coding.BLOCK = coding.BLOCK, 1 << 62
    single = 4 * len(codec.coder.block(images.numpy()).words)
    coding.BLOCK = block
    said = nats / np.log(2) / 8
    print(f"{len(images)} images: the model {said:.1f} bytes, {said / len(images):.3f} an image")
    for name, size in (("one stream", single), ("file", len(file))):
        print(f"{name}: {size} bytes, {100 * (size / said - 1):+.3f}%")
    print(f"codec file: {len(codec.content)} bytes")


def builds(codec: Codec, images: Array, *, shared: bool) -> int:
    """How many builds give something else: each of all images, or of its share of them."""
    wrong, before, file = 0, strict.kernel, b"" if shared else codec.encode(images, verify=False)
    tried = [*itertools.product([*levels(_flags()), "x86-64"], ("-O1", "-O3"))]
    with tempfile.TemporaryDirectory() as folder:
        for number, (level, optimised) in enumerate(tried):
            library = compiled(level, optimised, folder)
            own = images[number :: len(tried)] if shared else images
            expected = codec.encode(own, verify=False) if shared else file
            strict.kernel = lambda real, library=library: library
            kinds = (StrictWalk, TwoThreads) if optimised == "-O1" else (TwoThreads, StrictWalk)
            one, other = (Codec(codec.program, codec.content, kind) for kind in kinds)
            same = one.encode(own, verify=False) == expected and bool((other.decode(expected) == own).all())
            strict.kernel = before
            print(f"{level} {optimised}, {len(own)} images: {'the same' if same else 'DIFFERENT'}", flush=True)
            wrong += not same
    return wrong


def compiled(level: str, optimised: str, folder: str) -> ctypes.CDLL:
    """The strict kernel for a level of x86-64."""
    built = Path(folder) / f"{level}{optimised}.so"
    subprocess.run(["cc", *flags("strict"), f"-march={level}", optimised, SOURCE, "-o", built, "-lm"], check=True)
    library = ctypes.CDLL(str(built))
    library.run.restype, library.run.argtypes = ctypes.c_int64, [ctypes.c_void_p, *[ctypes.c_int64] * 6]
    return library


def portable(codec: Codec, images: Array) -> int:
    """Whether numpy gives something else."""
    other = Codec(codec.program, codec.content, PortableWalk)
    start = time.process_time()
    file = other.encode(images, verify=False)
    same = file == codec.encode(images, verify=False) and bool((other.decode(file) == images).all())
    print(f"numpy, {len(images)} images: {'the same' if same else 'DIFFERENT'}, {time.process_time() - start:.1f} s")
    return not same


def times(codec: Codec, model: AutoregressiveModel, images: torch.Tensor, rounds: int) -> None:
    """Processor times of a batch, in turns."""
    network, by_sites = model.network, images.flatten(2).permute(2, 0, 1).numpy()
    native = NativeExecutor(make_plan(Trace(network)), len(images))
    native.pixels.copy_(images.flatten(2).transpose(1, 2))
    walk, plain, numpy = (kind(codec.program, len(images)) for kind in (StrictWalk, StrictWalk, PortableWalk))
    with tempfile.TemporaryDirectory() as folder:
        plain._library = compiled("x86-64", "-O3", folder)  # type: ignore[attr-defined]
    words: list[int] = []

    def forward() -> None:
        with torch.no_grad():
            network(images)

    def stepwise() -> None:
        walk.begin()
        walk.levels[:] = by_sites
        for step in range(len(codec.program.steps) - 1):
            walk.advance(step)

    def encode(walk: Walk, kind: type[Walk]) -> None:
        packer = Packer()
        walk.begin()
        walk.levels[:] = by_sites
        kind.put(walk, packer)
        words[:] = packer.finish()

    def decode(walk: Walk, kind: type[Walk]) -> None:
        walk.begin()
        kind.get(walk, Unpacker(words))

    turns: dict[str, Callable[[], object]] = {
        "forward pass": forward,
        "native walk": lambda: native._run(0, len(native.draws)),
        "strict walk": stepwise,
    }
    coders = {
        "": (walk, StrictWalk),
        " without AVX": (plain, StrictWalk),
        " by numpy": (numpy, PortableWalk),
        ", the coder in Python": (walk, Walk),
    }
    for name, given in coders.items():
        turns["encoding" + name] = functools.partial(encode, *given)
        turns["decoding" + name] = functools.partial(decode, *given)
    least = dict.fromkeys(turns, float("inf"))
    for _, (name, turn) in itertools.product(range(rounds), turns.items()):
        start = time.process_time()
        turn()
        least[name] = min(least[name], time.process_time() - start)
    for name, seconds in least.items():
        print(f"{name}: {1000 * seconds:.1f} ms, {seconds / least['forward pass']:.2f} forward passes")


if __name__ == "__main__":
    main()
