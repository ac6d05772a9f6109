"""Contexts that change a module's mode and restore it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from pixkit.randomness import isolated_rng


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all its parts in evaluation mode; on leaving, each is back in its own mode."""
    modes = [(part, part.training) for part in parts_of(module)]
    if any(mode for _, mode in modes):
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            if part.training != mode:
                part.training = mode


def parts_of(module: nn.Module) -> list[nn.Module]:
    """A module and all its parts, each once, as `modules()` gives them, in a third of the time; outer ones first."""
    found, known = [module], {id(module)}
    for outer in found:  # which grows meanwhile
        for part in outer._modules.values():
            if part is not None and id(part) not in known:
                known.add(id(part))
                found.append(part)
    return found


def outside_inference() -> AbstractContextManager[object]:
    """A context outside torch's inference mode, in which tensors are made that can be trained.

    If the caller is not in it, nothing is entered: a guard that changes nothing makes backward() fail on some devices.
    """
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()


@contextmanager
def rehearsing(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Training mode, to try losses out; on leaving, modes, buffers and generators are as before.

    Weights and gradients are not restored: the caller must leave them alone.
    """
    before = {name: value.clone() for name, value in model.named_buffers()}
    with isolated_rng(device), evaluating(model):
        model.train()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in model.named_buffers():
                    value.copy_(before[name])


def persistent_buffers(module: nn.Module) -> dict[str, Tensor]:
    """The buffers that belong to a module's state, by name; the others follow from its constructor."""
    kept = {id(value) for value in module.state_dict(keep_vars=True).values()}  # under whatever name
    return {name: buffer for name, buffer in module.named_buffers() if id(buffer) in kept}
