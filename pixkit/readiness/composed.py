"""Networks as they are proved and planned: each `Composed` module replaced by the layers that it is composed of."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

import torch
from torch import nn

from pixkit.layers.composed import Composed
from pixkit.readiness.plain import package, tampered
from pixkit.readiness.watch import hooked, hooked_everywhere

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def taken_apart(module: ModuleT) -> ModuleT:
    """Return a twin with every `Composed` module replaced by its parts; the module itself if it contains none.

    A module whose call may do more than its `parts` say (`_says`) stays as it is and is followed like any other code.
    """
    children = {name: _apart(child) for name, child in module.named_children()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    twin = copy.copy(module)
    twin._modules = {**module._modules, **children}
    return twin


def _apart(module: nn.Module) -> nn.Module:
    if isinstance(module, Composed) and _says(module):
        given = next(itertools.chain(module.parameters(), module.buffers()), torch.empty(0))
        return module.parts().to(given.device).requires_grad_(False).eval()
    return taken_apart(module)


def _says(module: Composed) -> bool:
    """Whether `parts` describes what a call of the module does.

    It describes its own class only: a subclass, which may override `forward` or a method that it calls, needs its own.
    It does not account for hooks, methods assigned to the instance, or foreign modules that were put into it.
    """
    return "parts" in vars(type(module)) and known(module, package(type(module)))


def known(module: nn.Module, *packages: str) -> bool:
    """Whether a call of a module runs only code of torch, pixkit and the given packages."""
    if tampered(module) or hooked(module) or hooked_everywhere():
        return False
    return all(package(type(part)) in ("torch", "pixkit", *packages) for part in module.modules())
