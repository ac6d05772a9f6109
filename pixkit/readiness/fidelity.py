"""Whether a network does the same at each call, and whether its trace computes what it computes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.readiness.composed import known
from pixkit.readiness.elements.found import differing
from pixkit.readiness.elements.left import left
from pixkit.readiness.elements.performed import Step, parted
from pixkit.readiness.elements.tape import line_here
from pixkit.readiness.libraries import OWN
from pixkit.readiness.settings import memory_filled
from pixkit.readiness.untraceable import (
    Untraceable,
)
from pixkit.readiness.watch import owned, tensors_in


def require_lasting(network: Autoregressive, inputs: tuple[Tensor, Tensor | None]) -> None:
    """Call the network, and require that no array or state differs between calls.

    Raises:
        Untraceable: if an array or an attribute differs in another call.
    """
    own = [*inputs, *(tensor for part in network.modules() for _, tensor in owned(part, ""))]
    changing = next(differing(lambda: network(*inputs), tensors_in(own), lambda: line_here({}, None)), None)
    if changing is not None:
        raise Untraceable(
            "the network cannot be traced",
            where=type(network.backbone).__name__,
            found=f"data that no torch operation made differs from call to call: {changing}",
            expected="a forward without randomness, and numpy.zeros in place of numpy.empty",
        )
    if known(network, *OWN):
        return
    before = left(network)
    network(*inputs)
    kept = before.differing(left(network))
    if kept is not None:
        raise Untraceable(
            "the network cannot be traced",
            where=kept[0],
            found=f"a different value in its attribute `{kept[1]}` after each call, which a later call may use",
            expected="a forward that does the same on every call",
        )


def require_same_results(
    network: Autoregressive, inputs: tuple[Tensor, Tensor | None], traced: tuple[Tensor | None, Tensor], who: str
) -> None:
    """Compare parameters, and features as well, since all parameters are equal until the head is trained."""
    given: list[Tensor] = []
    handle = network.projection.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    try:
        with memory_filled():
            params = network(*inputs)
    finally:
        handle.remove()
    pairs = zip((given[0], params), traced, strict=True)
    if any(found is None or not _close(value, found) for value, found in pairs):
        raise Untraceable(
            "the network cannot be traced",
            where=who,
            found="its trace computes something different from its forward",
            expected="a forward without in-place changes (+=) of tensors that are read again, and without randomness",
        )


def require_followed(network: Autoregressive, inputs: Sequence[Tensor], traced: list[Step], who: str) -> None:
    """Compare operations as well: a forward may ask whether it is being traced."""
    apart = parted(network, inputs, traced)
    if apart is not None:
        raise Untraceable(
            "the network cannot be traced",
            where=who,
            found=f"its trace differs from its forward, which continues with {apart[0].op} ({apart[0].line})",
            expected="a forward that does the same for every caller and every kind of tensor",
        )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
