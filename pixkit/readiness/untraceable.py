"""Networks that cannot be traced: nothing is proved about them, and they are sampled by full forward passes."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy

from pixkit.errors import PixkitError, UsageError, listed
from pixkit.layers.base import MixingLayer
from pixkit.layers.modes import parts_of
from pixkit.network import Autoregressive
from pixkit.readiness.plain import astray, tampered, unsaid
from pixkit.readiness.watch import HOOKS, hooked_everywhere


class Untraceable(PixkitError):
    """torch.fx cannot trace the network; nothing can be proved about it or planned for it."""


def untraceable(who: str, found: str) -> Untraceable:
    """The error for a forward that raises while it is traced, or while its trace is run."""
    return Untraceable(
        "the network cannot be traced",
        where=who,
        found=found,
        expected="a forward without branches or loops that depend on the values of tensors",
    )


def require_called(module: nn.Module, where: str, call: str) -> None:
    """Require that all parameters have values: a lazy module infers its shapes in its first call.

    Args:
        module: the module.
        where: the caller's name for it.
        call: how to call it.

    Raises:
        UsageError: if it has not been called yet.
    """
    own = (table for part in parts_of(module) for table in (part._parameters, part._buffers))
    tensors = (value for table in own for value in table.values() if value is not None)
    if not any(map(is_lazy, tensors)):  # their names take several times as long
        return
    lazy = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if is_lazy(value)]
    if lazy:
        raise UsageError(
            "the module has not been called yet, so its shapes are unknown",
            where=where,
            found=f"uninitialized: {listed(lazy)}",
            expected="parameters and buffers with values",
            hint=f"call it once first: {call}",
        )


def require_own_call(network: Autoregressive) -> None:
    """Require that a call of the network runs its class's forward, which is the one traced, and nothing else."""
    hooks = hooked_everywhere() or any(getattr(network, name) for name in HOOKS)
    if hooks or astray(network):
        raise Untraceable(
            "a call of the network does more than its forward",
            where=type(network.backbone).__name__,
            found="a forward hook or pre-hook of the network, or of every module"
            if hooks
            else "a method assigned to the instance, or an overridden `__call__`",
            expected="all computation in the class's `forward`, where it can be traced",
        )


def require_evaluation(module: nn.Module, path: str) -> None:
    """Require that a module that is called, and its submodules, are in evaluation mode."""
    if any(part.training for part in module.modules()):
        name, part = next((name, part) for name, part in module.named_modules(prefix=path) if part.training)
        raise Untraceable(
            "a module of the network is not in evaluation mode",
            where=f"{name} ({type(part).__name__})",
            found="training mode, though the network was put in evaluation mode",
            expected="a forward, and a `train`, that leave the mode of modules unchanged",
        )


def require_said(layer: MixingLayer, label: str) -> None:
    """Require that a mixing layer's `ready` and `at` describe the forward that it runs."""
    if tampered(layer):
        raise Untraceable(
            "a call of a mixing layer does not run its forward",
            where=label,
            found="a method assigned to the instance or to a part of it, or an overridden `__call__`",
            expected="a subclass that overrides `forward`, `ready` and `at`",
        )
    inherited = unsaid(layer)
    if inherited is not None:
        raise Untraceable(
            "a mixing layer does not say what its own forward reads",
            where=label,
            found=f"`forward` of {type(layer).__name__} with an inherited `{inherited}`, which describes another",
            expected="`ready` and `at` (for a tap layer, `taps` and `tap_weight`) overridden along with `forward`",
        )


def changed_by_hook(label: str) -> Untraceable:
    """The error for a hook on a mixing layer, whose `ready` and `at` describe only its forward."""
    return Untraceable(
        "a hook changes the output of a mixing layer",
        where=label,
        found="a forward hook or pre-hook, which `ready` and `at` do not cover",
        expected="a separate module, before or after the layer, that does what the hook does",
    )


def overwritten(who: str, what: str) -> Untraceable:
    """The error for a result that is changed in place: in the graph, later readers would see the old value."""
    return Untraceable(
        "a result is changed in place and read again later",
        where=who,
        found=f"it changes the result of {what}",
        expected="an operation that leaves its input unchanged",
    )


def late(who: str, remarks: tuple[str, ...] = ()) -> Untraceable:
    """The error for a foreign network that was followed and is not causal, with remarks on the likely cause."""
    return Untraceable(
        "predictions read pixels that are drawn later",
        where=who,
        found="; ".join(("a prediction that is ready after its step, followed site by site", *remarks[:3])),
        expected="predictions from earlier steps only",
    )
