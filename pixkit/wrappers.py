"""What torch.compile and data-parallel training wrap around a network, or a part of it, and what is in it."""

from __future__ import annotations

from typing import Any

from torch import nn

from pixkit.network import Autoregressive

COMPILED = "_orig_mod"
"""What torch.compile calls the module that it wraps."""


def unwrapped(module: Any) -> Any:
    """What torch.compile or a data-parallel wrapper was given; anything else as it is.

    A wrapper computes the same and is no longer of the class: by what it wraps it is proved and sampled.
    """
    while isinstance(module, nn.Module) and (name := _wraps(module)):
        module = module._modules[name]
    return module


def _wraps(module: nn.Module) -> str:
    """What a wrapper calls the module that it wraps; empty of what is none."""
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return "module"
    return COMPILED if COMPILED in module._modules else ""  # its class would have to be imported from dynamo


def plain_name(name: str) -> str:
    """The name of a tensor or module without what torch.compile puts into it."""
    return ".".join(part for part in name.split(".") if part != COMPILED)


def networks_in(model: nn.Module) -> dict[str, Autoregressive]:
    """The autoregressive networks of a model by their names within it; of one that is wrapped, the wrapper's."""
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
    """The names of a model's parts that wrap another, and of what each wraps; the outer ones first."""
    return [(name, f"{name}.{inner}") for name, module in model.named_modules() if name and (inner := _wraps(module))]


def without_wrappers(model: nn.Module, state: dict[str, Any], prefix: str, metadata: Any = None) -> None:
    """Give the tensors of a model's state the names that they have where nothing in it is wrapped."""
    pairs = [(f"{prefix}{inner}.", f"{prefix}{name}.") for name, inner in reversed(_wrapped_in(model))]
    _rename(state, pairs)


def with_wrappers(model: nn.Module, state: dict[str, Any], prefix: str) -> None:
    """Give the tensors of a state the names that they have in a model of which parts are wrapped."""
    _rename(state, [(f"{prefix}{name}.", f"{prefix}{inner}.") for name, inner in _wrapped_in(model)])


def _rename(state: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    """Replace what names begin with, by each pair in turn, where they do not begin with the new one."""
    for old, new in pairs:
        for name in list(state):  # in their order, which stays
            value = state.pop(name)
            longer = len(new) > len(old) and name.startswith(new)
            state[new + name[len(old) :] if name.startswith(old) and not longer else name] = value
