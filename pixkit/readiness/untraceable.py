"""What cannot be traced: nothing is proved of it, and it is sampled by whole passes."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy

from pixkit.errors import PixkitError, UsageError, listed
from pixkit.layers.base import MixingLayer
from pixkit.network import Autoregressive
from pixkit.readiness.plain import astray, tampered, unsaid
from pixkit.readiness.watch import HOOKS, hooked_everywhere


class Untraceable(PixkitError):
    """torch.fx cannot trace the network; nothing can be proved of it or planned for it."""


def untraceable(who: str, found: str) -> Untraceable:
    """A forward raises where it is traced, or where what was traced of it is run."""
    return Untraceable(
        "the network cannot be traced",
        where=who,
        found=found,
        expected="a forward without branches or loops that depend on the values of tensors",
    )


def require_called(module: nn.Module, where: str, call: str) -> None:
    """A module has values: a lazy one finds its shapes when it is first called.

    Args:
        module: the module.
        where: what the caller calls it.
        call: how it is called.

    Raises:
        UsageError: if it has not been called yet.
    """
    lazy = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if is_lazy(value)]
    if lazy:
        raise UsageError(
            "the module has not been called yet, by which its shapes are found",
            where=where,
            found=f"uninitialized: {listed(lazy)}",
            expected="parameters and buffers with values",
            hint=f"call it once before: {call}",
        )


def require_own_call(network: Autoregressive) -> None:
    """The forward of the network's class is traced; a call of the network must run that and nothing else."""
    hooks = hooked_everywhere() or any(getattr(network, name) for name in HOOKS)
    if hooks or astray(network):
        raise Untraceable(
            "a call of the network is more than its forward",
            where=type(network.backbone).__name__,
            found="a forward hook or pre-hook of the network, or of every module"
            if hooks
            else "a method assigned to the network itself, or a `__call__` of its own",
            expected="what is done to values done in the `forward` of a class, where it can be traced",
        )


def require_evaluation(module: nn.Module, path: str) -> None:
    """A module that is called, and what it is made of, is in evaluation mode."""
    if any(part.training for part in module.modules()):
        name, part = next((name, part) for name, part in module.named_modules(prefix=path) if part.training)
        raise Untraceable(
            "a module of the network is not in evaluation mode",
            where=f"{name} ({type(part).__name__})",
            found="training mode, though the network was put in evaluation mode",
            expected="a forward, and a `train`, that leave the mode of modules as it is",
        )


def require_said(layer: MixingLayer, label: str) -> None:
    """A mixing layer's `ready` and `at` must be about the forward that it runs."""
    if tampered(layer):
        raise Untraceable(
            "a call of a mixing layer does something else than its forward",
            where=label,
            found="a method assigned to the layer itself or to a part of it, or a `__call__` of its own",
            expected="a subclass that overrides `forward`, `ready` and `at`",
        )
    inherited = unsaid(layer)
    if inherited is not None:
        raise Untraceable(
            "a mixing layer does not say what its own forward reads",
            where=label,
            found=f"`forward` of {type(layer).__name__} with an inherited `{inherited}`, which is about another",
            expected="`ready` and `at` (of a tap layer `taps` and `tap_weight`) overridden along with `forward`",
        )


def changed_by_hook(label: str) -> Untraceable:
    """Of a mixing layer, whose `ready` and `at` are about its forward alone."""
    return Untraceable(
        "a hook changes what a mixing layer gives",
        where=label,
        found="a forward hook or pre-hook, of which `ready` and `at` say nothing",
        expected="a module of its own, before or after the layer, that does what the hook does",
    )


def overwritten(who: str, what: str) -> Untraceable:
    """By the graph, what reads it later would still read the old value."""
    return Untraceable(
        "a result is changed in place and read again later",
        where=who,
        found=f"it changes the result of {what}",
        expected="an operation that leaves its input as it is",
    )


def late(who: str, remarks: tuple[str, ...] = ()) -> Untraceable:
    """Of a foreign network that was followed, and is not causal; with what of it may be the reason."""
    return Untraceable(
        "predictions read what is drawn later",
        where=who,
        found="; ".join(("a prediction that is ready after its step, site by site", *remarks[:3])),
        expected="predictions from earlier steps alone",
    )
