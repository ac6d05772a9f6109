"""What of a foreign network cannot be computed site by site, and on which line of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, fx, nn

from pixkit.errors import message
from pixkit.layers.contraction import Contraction
from pixkit.layers.site_attention import SiteAttention
from pixkit.layers.site_products import SiteProducts
from pixkit.readiness.untraceable import Untraceable

HINTS = {
    "fft_rfft": "a causal convolution as `F.conv1d` of a padded sequence, or as a product with a triangular matrix",
    "fft_fft": "a causal convolution as `F.conv1d` of a padded sequence, or as a product with a triangular matrix",
    "index": "`F.embedding` or `gather` among the maps of a site; places of sites from constants and buffers",
    "nonzero": "`torch.where` with three arguments, or a product with a mask",
    "masked_select": "`torch.where` with three arguments, or a product with a mask",
    "instance_norm": "`nn.LayerNorm`, `nn.RMSNorm`, or `nn.GroupNorm` of the maps of one site",
    "flex_attention": "`F.scaled_dot_product_attention` with a mask, or `softmax` of products with -inf",
}
"""What to write in place of an operation, by ATen's names."""
HIDING = (Contraction, SiteProducts, SiteAttention)
"""Layers that multiply by zero what a site does not read, where whole images are computed."""


class NotSeparable(Untraceable):
    """An operation of a foreign network cannot be done site by site; the message names it and its line."""


class Mixed(Exception):
    """An operation does not fit, and why; whoever knows the operation says which one it is."""


def name_of(node: fx.Node) -> str:
    """What ATen calls the operation, without the namespace and the variant."""
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))


def line_of(node: fx.Node) -> str:
    """The innermost line of the program that an exported operation comes from, as `file:line: text`."""
    trace = node.meta.get("stack_trace") or ""
    found = re.findall(r'File "([^"]+)", line (\d+), in [^\n]*\n\s*([^\n]*)', trace)
    if not found:
        return "an unknown line"
    file, line, text = found[-1]
    return f"{Path(file).name}:{line}: {text.strip()}"


@contextmanager
def blaming(node: fx.Node, who: str) -> Iterator[None]:
    """Name the operation, in what is raised because it does not fit.

    Args:
        node: the exported operation.
        who: the class of the network.
    """
    try:
        yield
    except NotSeparable:
        raise
    except Exception as error:  # of an operation that is used as no rule foresees, whatever its rule then runs into
        why = str(error) if isinstance(error, Mixed) else f"for which its rule fails: {message(error)[:200]}"
        raise NotSeparable(
            "the network cannot be rewritten site by site",
            where=who,
            found=f"{name_of(node)}, {why} ({line_of(node)})",
            expected="operations of which each result belongs to one site, and reads others by fixed tables",
            hint=HINTS.get(name_of(node)),
        ) from error


@contextmanager
def finite(backbone: nn.Module) -> Iterator[None]:
    """While it is entered, layers in which zeros hide sites are given numbers: what is not finite shows through."""

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if not all(bool(each.isfinite().all()) for each in given):
            raise NotSeparable(
                "the network sums what is not finite, which a zero does not hide",
                where=next(name for name, part in backbone.named_modules() if part is layer),
                found="an infinity or NaN among the values of a site",
                expected="values that are finite, as with log(x.clamp_min(1e-6)), or a mask that is applied before",
            )

    layers = [part for part in backbone.modules() if isinstance(part, HIDING)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
