"""What the loss of a PixelCNN++ and its gradients launch on a GPU, and the bytes that this moves: counted, without one.

    python tests/benchmarks/step_traffic.py [--batch 32] [--filters 160] [--resnets 5] [--each]

Every operation of torch is counted on tensors that hold nothing (the device `meta`), with what it reads and writes. A
convolution is a launch, with a bias two; its gradients are a launch for the images, one for the weight, and one for the
bias; padding fills and copies; dropout, which torch does in one launch on a GPU, is counted so. What convolutions read
and write is told apart: it is the same in both ways, but for the edges. Optimiser and average are not in it.
"""

import argparse
import ctypes
from collections import Counter
from contextlib import nullcontext

import torch
from plain_pixelcnnpp import Plain, nats
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pixkit.execution.cuda.fusing import FusedOperations
from pixkit.image import ImageSpec
from pixkit.testing import named, network

FREE = {"empty", "empty_like", "new_empty", "empty_strided", "detach", "_reshape_alias"}
FILLS = {"zeros", "full", "zero_", "fill_", "zeros_like", "new_zeros", "ones_like", "full_like"}
CONVOLUTIONS = ("convolution", "convolution_backward")


class Traffic(TorchDispatchMode):
    """Counts launches and bytes by operation."""

    def __init__(self):
        super().__init__()
        self.launches, self.bytes = Counter(), Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        views = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.arguments)
        # On a GPU dropout draws, scales and multiplies at once: what draws and scales is not counted.
        drawn = name in ("bernoulli_", "div_") and args[0].dtype != torch.bool
        if views or drawn or name in FREE:
            return out
        launches, read, written = 1, size((args, kwargs)), size(out)
        if name in FILLS or name == "bernoulli_":
            read = 0
        if name == "constant_pad_nd":
            launches, read, written = 2, size(args[0]), written + min(size(args[0]), written)
        if name == "convolution":
            launches, read = 1 + (args[2] is not None), read + (written if args[2] is not None else 0)
            written *= launches
        if name == "convolution_backward":
            launches = sum(args[-1])
            read += size(args[0]) * (launches - 1)
        self.count(name, read + written, launches)
        return out

    def count(self, name, moved, launches=1):
        """Note launches."""
        self.launches[name] += launches
        self.bytes[name] += moved

    def launch(self, dtype, name, given, blocks, images):
        """What launches the kernels of fused operations."""
        shape, _, *rest = given
        item, inner = dtype.itemsize, shape.maps * shape.height * shape.width
        outer = shape.maps * shape.rows * shape.columns
        masked = name.startswith("activate") and isinstance(rest[1], ctypes.c_void_p) and rest[1].value is not None
        reads = {"activate": inner, "activate_back": inner + 2 * outer, "gate": inner + 2 * outer}
        writes = {"activate": 2 * outer, "activate_back": inner, "gate": inner}
        reads["gate_back"], writes["gate_back"] = inner + 2 * outer, 2 * outer
        self.count(name, images * (item * (reads[name] + writes[name]) + 2 * inner * masked))


def size(values):
    """Bytes of all tensors."""
    return sum(one.numel() * one.element_size() for one in tree_leaves(values) if isinstance(one, torch.Tensor))


def losses(way, batch, filters, resnets):
    """What computes a loss: pixkit's, of the layers' own forward or `fused`, or that of a plain PyTorch code."""
    if way == "PyTorch":
        net = Plain(filters, resnets).train().to("meta")
        images = torch.zeros(batch, 3, 32, 32, device="meta")
        return lambda seen: nats(images, net(images)).mean()
    backbone = named("backbone", "pixelcnnpp", filters=filters, resnets=resnets, dropout=0.5)
    head = named("head", "logistic_mixture", components=10)
    net = network(backbone, ImageSpec(3, 32, 32, 256), head=head, gain=1.0).float().train().to("meta")
    x = torch.zeros(batch, 3, 32, 32, dtype=torch.int64, device="meta")

    def loss(seen):
        def launch(*given):
            seen[-1].launch(*given)

        with FusedOperations(launch) if way == "fused" else nullcontext():
            return -net.log_prob(x).mean()

    return loss


def counted(way, **sizes):
    """Traffic forward and backward."""
    compute, seen = losses(way, **sizes), []
    for part in ("forward", "backward"):
        with Traffic() as traffic:
            seen.append(traffic)
            if part == "forward":
                loss = compute(seen)
            else:
                loss.backward()
    return dict(zip(("forward", "backward"), seen, strict=True))


def main():
    """Count, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("batch", 32), ("filters", 160), ("resnets", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--each", action="store_true", help="every operation, too")
    chosen = parser.parse_args()
    print("| way | part | launches | GB in convolutions | GB elsewhere |\n| --- | --- | --- | --- | --- |")
    sizes = {"batch": chosen.batch, "filters": chosen.filters, "resnets": chosen.resnets}
    for way in ("plain", "fused", "PyTorch"):
        for part, found in counted(way, **sizes).items():
            inside = sum(found.bytes[name] for name in CONVOLUTIONS)
            outside = sum(found.bytes.values()) - inside
            print(f"| {way} | {part} | {sum(found.launches.values())} | {inside / 1e9:.1f} | {outside / 1e9:.1f} |")
            for name, moved in found.bytes.most_common(16) if chosen.each else ():
                print(f"|  | {name} | {found.launches[name]} |  | {moved / 1e9:.2f} |")


if __name__ == "__main__":
    main()
