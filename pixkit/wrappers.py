"""Wrappers of torch.compile and data-parallel training around a network or a part of it."""

from __future__ import annotations

from typing import Any

from torch import nn

from pixkit.network import Autoregressive

COMPILED = "_orig_mod"
"""torch.compile's name for the module that it wraps."""


def unwrapped(module: Any) -> Any:
    """The module inside a wrapper of torch.compile or data-parallel training; anything else unchanged.

    A wrapper computes the same but is not of the module's class: the wrapped module is what is proved and sampled.
    """
    while isinstance(module, nn.Module) and (name := _wraps(module)):
        module = module._modules[name]
    return module


def _wraps(module: nn.Module) -> str:
    """A wrapper's name for the module that it wraps; empty if it is not a wrapper."""
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return "module"
    return COMPILED if COMPILED in module._modules else ""  # its class would have to be imported from dynamo


def plain_name(name: str) -> str:
    """The name of a tensor or module without the parts that torch.compile inserts."""
    return ".".join(part for part in name.split(".") if part != COMPILED)


def networks_in(model: nn.Module) -> dict[str, Autoregressive]:
    """The autoregressive networks of a model by their names within it; for a wrapped one, the wrapper's name."""
    wrapper = {inner: name for name, inner in _wrapped_in(model)}
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, Autoregressive):
            outer = name
            while outer in wrapper:
                outer = wrapper[outer]
            found[outer] = module
    return found


def _wrapped_in(model: nn.Module) -> list[tuple[str, str]]:
    """The names of a model's wrappers and of the modules that they wrap; the outer ones first."""
    return [(name, f"{name}.{inner}") for name, module in model.named_modules() if name and (inner := _wraps(module))]


def without_wrappers(model: nn.Module, state: dict[str, Any], prefix: str, metadata: Any = None) -> None:
    """Rename the tensors of a model's state as if nothing in it were wrapped."""
    pairs = [(f"{prefix}{inner}.", f"{prefix}{name}.") for name, inner in reversed(_wrapped_in(model))]
    _rename(state, pairs)


def with_wrappers(model: nn.Module, state: dict[str, Any], prefix: str) -> None:
    """Rename the tensors of a state for a model of which parts are wrapped."""
    _rename(state, [(f"{prefix}{name}.", f"{prefix}{inner}.") for name, inner in _wrapped_in(model)])


def _rename(state: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    """Replace prefixes of names, for each pair in turn, unless a name begins with the new prefix already."""
    for old, new in pairs:
        for name in list(state):  # in their order, which stays
            value = state.pop(name)
            longer = len(new) > len(old) and name.startswith(new)
            state[new + name[len(old) :] if name.startswith(old) and not longer else name] = value
