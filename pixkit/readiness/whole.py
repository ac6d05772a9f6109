"""A whole network, as torch runs it, followed element by element: used where the trace gives no proof."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from pixkit.errors import CausalityError
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.readiness.proof import Proof
from pixkit.readiness.proving import prove
from pixkit.readiness.recorder import Operation

PIXKIT = Path(__file__).parents[1]
"""Where library code lies, whose lines users cannot fix."""


class _Conditioned(nn.Module):
    """A network and a context; since no parameter's value is used, a context held as one stands for every context."""

    def __init__(self, network: Autoregressive) -> None:
        super().__init__()
        self.network = network
        context = network.example_context(1)
        self.context = None if context is None else nn.Parameter(context, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """See Autoregressive."""
        return cast(Tensor, self.network(x) if self.context is None else self.network(x, self.context))


def prove_whole(network: Autoregressive) -> Proof:
    """Prove what can be proved of a network's head parameters, for one image; map m is of colour group m % G.

    Raises:
        Exception: whatever the network raises.
    """
    steps = network.ordering.steps.cpu()
    groups = network.ordering.group_steps.cpu()
    x = torch.randint(network.spec.levels, (1, *network.spec.shape), generator=torch.Generator().manual_seed(0))
    device = network.reference.device
    with evaluating(network):
        twin = network if device.type == "cpu" else copy.deepcopy(network).cpu()
        params = groups.repeat(network.head.maps // len(groups), 1, 1)
        return prove(_Conditioned(twin), x, steps[None], out_steps=params[None])


def pixels_seen(network: Autoregressive, proof: Proof, group: int, row: int, column: int) -> Tensor:
    """The sub-pixels that the prediction of colour group `group` at (row, column) can depend on, bool [C, H, W]."""
    return proof.receptive_field((0, slice(group, None, network.ordering.groups), row, column))[0]


def tells_more(proof: Proof | None, blamed: Operation | None, operations: Iterable[Operation]) -> bool:
    """Whether the proof knows a leak's line where the trace blames nothing, or something else.

    A trace assumes that whatever it cannot follow mixes everything, and blames the first such operation, which may be
    innocent. A line within pixkit is correct, but users cannot fix it.

    Args:
        proof: of the whole network.
        blamed: the operation that the trace blames.
        operations: the trace's operations.
    """
    line = None if proof is None or proof.verdict != "leaks" else proof.blame
    if line is None or not line.file or Path(line.file).is_relative_to(PIXKIT):
        return False
    if blamed is None or blamed.kind != "all":
        return blamed is None
    if blamed.module is not None:
        path = f"network.{blamed.node.target}"
        return not line.module.startswith((f"{path} ", f"{path}."))
    alike = [other for other in operations if other.node.target == blamed.node.target]
    return len(alike) > 1 or blamed.label.partition(" ")[0] not in line.text


def leak_error(network: Autoregressive, proof: Proof, seen: CausalityError | None = None) -> CausalityError:
    """The error for a leak that the proof has shown, with the user's line first, then whatever else was seen of it."""
    line = "" if proof.blame is None else f"; the value that is ready too late comes from {proof.blame}"
    return CausalityError(
        f"the network leaks{line}",
        where=type(network.backbone).__name__,
        found="a prediction depends on a sub-pixel that is drawn at its step or later" if seen is None else seen.found,
        lines=[f"  {row}" for row in str(proof).splitlines()[1:]],
        expected="dependence on earlier steps only",
        hint="make the blamed line read only what is drawn earlier, as the layers in pixkit.layers do",
    )


def line_of(proof: Proof | None) -> list[str]:
    """The user's line to blame, as a line of an error; empty if none is known."""
    return [] if proof is None or proof.blame is None or not proof.blame.file else [f"  line to blame: {proof.blame}"]
