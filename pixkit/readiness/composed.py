"""Networks as they are proved and planned: what is composed of pixkit's layers, in these."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

import torch
from torch import nn

from pixkit.layers.composed import Composed
from pixkit.readiness.plain import tampered

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def taken_apart(module: ModuleT) -> ModuleT:
    """A twin with what each `Composed` is made of in its place; the module itself if it holds none.

    One to which a method has been assigned stays as it is. What hooks change shows where a trace is compared with the
    network itself.
    """
    children = {name: _apart(child) for name, child in module.named_children()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    twin = copy.copy(module)
    twin._modules = {**module._modules, **children}
    return twin


def _apart(module: nn.Module) -> nn.Module:
    if isinstance(module, Composed) and not tampered(module):
        given = next(itertools.chain(module.parameters(), module.buffers()), torch.empty(0))
        return module.parts().to(given.device).requires_grad_(False).eval()
    return taken_apart(module)
