"""Operations of a foreign network that cannot be computed site by site, and their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, fx, nn

from pixkit.errors import quoted
from pixkit.layers.contraction import Contraction
from pixkit.layers.site_attention import SiteAttention
from pixkit.layers.site_products import SiteProducts
from pixkit.readiness.untraceable import Untraceable

HINTS = {
    "fft_rfft": "a causal convolution as `F.conv1d` of a padded sequence, or as a product with a triangular matrix",
    "fft_fft": "a causal convolution as `F.conv1d` of a padded sequence, or as a product with a triangular matrix",
    "index": "`F.embedding` or `gather` within the maps of a site; indices of sites from constants and buffers",
    "nonzero": "`torch.where` with three arguments, or a product with a mask",
    "masked_select": "`torch.where` with three arguments, or a product with a mask",
    "instance_norm": "`nn.LayerNorm`, `nn.RMSNorm`, or `nn.GroupNorm` over the maps of one site",
    "flex_attention": "`F.scaled_dot_product_attention` with a mask, or `softmax` of products with -inf",
}
"""Replacements for operations, by ATen's names."""
HIDING = (Contraction, SiteProducts, SiteAttention)
"""Layers that multiply values that a site does not read by zero when whole images are computed."""


class NotSeparable(Untraceable):
    """An operation of a foreign network cannot be computed site by site; the message names it and its line."""


class Mixed(Exception):
    """Why an operation does not fit; the caller adds which operation it is."""


def name_of(node: fx.Node) -> str:
    """ATen's name of the operation, without namespace and overload."""
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
    """Name the operation in errors that say why it does not fit.

    Args:
        node: the exported operation.
        who: the class of the network.
    """
    try:
        yield
    except NotSeparable:
        raise
    except Exception as error:  # a rule may fail in any way on arguments that it does not foresee
        why = str(error) if isinstance(error, Mixed) else f"for which its rule fails: {quoted(error)}"
        raise NotSeparable(
            "the network cannot be rewritten site by site",
            where=who,
            found=f"{name_of(node)}, {why} ({line_of(node)})",
            expected="operations whose results each belong to one site, and read others by fixed indices",
            hint=HINTS.get(name_of(node)),
        ) from error


@contextmanager
def finite(backbone: nn.Module) -> Iterator[None]:
    """While entered, require finite inputs of layers whose zeros hide sites: a zero does not hide infinity or NaN."""

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if not all(bool(each.isfinite().all()) for each in given):
            raise NotSeparable(
                "the network sums values that are not finite, which a zero does not hide",
                where=next(name for name, part in backbone.named_modules() if part is layer),
                found="an infinity or NaN among the values of a site",
                expected="finite values, as with log(x.clamp_min(1e-6)), or a mask applied before",
            )

    layers = [part for part in backbone.modules() if isinstance(part, HIDING)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
