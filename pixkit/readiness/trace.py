"""Trace a network once and propagate readiness through it.

Readiness (see `pixkit.layers.base`) is kept per colour group and site, int64 [G, h, w]; a value that does not vary over
sites has a grid of (1, 1). A network is causal if the units that predict a sub-pixel of step s are ready by s.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, fx, nn

from pixkit.errors import message, quoted
from pixkit.layers.base import MixingLayer
from pixkit.layers.fusing import unfused
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.readiness.adoption import adopted
from pixkit.readiness.adoption.export import SIZES, require_same
from pixkit.readiness.composed import known, taken_apart
from pixkit.readiness.elements.performed import Performing, performed_with
from pixkit.readiness.fidelity import require_followed, require_lasting, require_same_results
from pixkit.readiness.graph import TRACING, traced
from pixkit.readiness.libraries import OWN
from pixkit.readiness.recorder import Operation, Recorder, as_image
from pixkit.readiness.untraceable import (
    Untraceable,
    late,
    require_called,
    require_evaluation,
    require_own_call,
    untraceable,
)

__all__ = ["Operation", "Trace", "Untraceable", "as_image"]


class Trace:
    """A traced network: its operations in order, and readiness through them.

    Attributes:
        network: the network.
        foreign: if its backbone has layers from outside pixkit, why it could not be rewritten with pixkit's, if so.
        adopted: the rewritten backbone, if any.
    """

    def __init__(self, network: Autoregressive) -> None:
        require_called(network, "network", "network(x)")
        self.network = network
        self.groups = network.ordering.groups
        self.foreign: Untraceable | None = None
        self.adopted: nn.Module | None = None
        # Not in a caller's inference mode, in which torch does not count writes to a tensor.
        with evaluating(network), torch.inference_mode(False), torch.no_grad(), unfused(network.reference):
            x, context = _examples(network)
            # State that a network keeps from its last call would pass for a constant if that call had the same x.
            require_lasting(network, ((network.spec.levels - 1 - x)[:1], None if context is None else context[:1]))
            apart = taken_apart(network)
            # Without a mixing layer of pixkit, only operations that a trace cannot follow can mix sites.
            mixes = any(isinstance(part, MixingLayer) for part in apart.backbone.modules())
            if not mixes and self._adopt(x, context):
                return
            try:
                self._record(apart, self.network, x[:2], None if context is None else context[:2])
            except Untraceable as error:
                if not (mixes and self._adopt(x, context)):
                    assert self.foreign is not None
                    error.lines = (*error.lines, f"  and rewritten by torch.export: {message(self.foreign)}")
                    raise error from self.foreign
            else:
                if not self._hopeless():
                    self.foreign = None
                elif mixes:
                    self._adopt(x, context)

    def _record(self, network: Autoregressive, like: Autoregressive, x: Tensor, context: Tensor | None) -> None:
        """Trace and run a network, the given one or a twin of it; the trace must compute what `like` does.

        `like` is the twin itself where torch has exported it: adoption has compared it, with more tolerance for
        rounding.
        """
        modules = dict(network.named_modules())
        graph = traced(network)
        inputs = [each for each in (x, context) if each is not None]
        performing, asks = performed_with(network, inputs), not known(network, *OWN)
        recorder = Recorder(graph, self.groups, modules, network, Performing(performing) if asks else nullcontext())
        require_evaluation(network, type(network).__name__)
        who = type(self.network.backbone).__name__
        try:
            params = recorder.run(x, context)
        except Untraceable:
            raise
        except Exception as error:  # raised while running its parts, as by a forward that takes gradients
            raise untraceable(who, quoted(error)) from error
        require_same_results(like, (x, context), (recorder.features, params), who)
        if asks:
            require_followed(network, inputs, performing.gave(params), who)
        self.modules, self.graph = modules, graph
        self.operations: dict[str, Operation] = recorder.operations
        self.output: str = recorder.output_name

    def _hopeless(self) -> bool:
        """Whether predictions are late because of something that is only assumed to mix everything."""
        return any(operation.kind == "all" for operation in self.operations.values()) and self._late()

    def _late(self) -> bool:
        """Whether some prediction is ready after its step."""
        return bool((self.ready()[self.output] > self.network.ordering.group_steps).any())

    def _adopt(self, x: Tensor, context: Tensor | None) -> bool:
        """Trace a twin whose backbone was exported by torch and rewritten with pixkit's layers.

        If that fails, or the twin breaks the law as well, everything is left as before, and `foreign` says why.
        """
        before = dict(vars(self))
        try:
            require_own_call(self.network)
            with TRACING:
                twin = adopted(self.network, x, context)
            self._record(twin, twin, x[:2], None if context is None else context[:2])
            if self._late():
                remarks = cast(fx.GraphModule, twin.backbone).meta["remarks"]
                raise late(type(self.network.backbone).__name__, remarks)
            self.adopted = twin.backbone
        except Untraceable as error:
            vars(self).clear()
            vars(self).update(before, foreign=error)
            return False
        return True

    def require_same(self, count: int) -> None:
        """Require that a rewritten network, which was compared for other batch sizes, is equivalent for `count` images.

        Raises:
            Untraceable: if it is not.
        """
        if self.adopted is None or count in (0, *SIZES):
            return
        with (
            evaluating(self.network),
            torch.inference_mode(False),
            torch.no_grad(),
            unfused(self.network.reference),
            TRACING,
        ):
            require_same(self.network, self.adopted, *_examples(self.network), (count,))

    def ready(self, known: Tensor | None = None) -> dict[str, Tensor]:
        """Readiness of every operation's result; `known` bool [C, H, W] marks sub-pixels that are given."""
        ready: dict[str, Tensor] = {}
        for operation in self.operations.values():
            if operation.kind == "pixels":
                ready[operation.name] = self._pixels(known)
            else:
                ready[operation.name] = self._propagate(operation, [ready[name] for name in operation.inputs])
        return ready

    def _pixels(self, known: Tensor | None) -> Tensor:
        steps = self.network.ordering.steps + 1
        if known is not None:
            steps = torch.where(known, 0, steps)
        return steps.unflatten(0, (-1, self.groups)).amax(0)

    def _propagate(self, operation: Operation, inputs: list[Tensor]) -> Tensor:
        if operation.kind == "static" or not inputs:
            return torch.zeros(self.groups, *operation.grid, dtype=torch.int64)
        if operation.kind == "mixing":
            return cast(MixingLayer, operation.module).ready(*inputs)
        if operation.kind == "all":
            latest = torch.stack([ready.max() for ready in inputs]).max()
            return latest.expand(self.groups, *operation.grid)
        joined = inputs[0].expand(self.groups, *operation.grid)
        for other in inputs[1:]:
            joined = torch.maximum(joined, other.expand(self.groups, *operation.grid))
        return joined if operation.groups_apart else joined.amax(0, keepdim=True).expand_as(joined)


def _examples(network: Autoregressive) -> tuple[Tensor, Tensor | None]:
    """Three images and their context."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(network.spec.levels, (3, *network.spec.shape), generator=generator)
    return x.to(network.reference.device), network.example_context(len(x))
