"""Recompute activations in the backward pass instead of keeping them from the forward pass."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint

from pixkit.backbones.base import Backbone
from pixkit.image import Batch
from pixkit.layers.modes import persistent_buffers
from pixkit.models.phase import Losses
from pixkit.randomness import generators


class Recomputed:
    """A phase's loss that keeps only the inputs of each block of the model's backbones.

    The backward pass runs a block again with the same random numbers, buffers, training modes and torch modes, so that
    gradients have the same bits (Chen, Xu, Zhang and Guestrin, 2016, arXiv 1604.06174).

    Attributes:
        plain: the loss that keeps everything.
    """

    def __init__(self, plain: Callable[[Batch, int], Losses], model: nn.Module) -> None:
        self.plain = plain
        self._model = model

    def __call__(self, batch: Batch, step: int) -> Losses:
        """See `Phase`."""
        with standing_in(blocks(self._model), Recomputing):
            return self.plain(batch, step)


def blocks(module: nn.Module) -> list[nn.Module]:
    """The modules that are recomputed as a whole: in each backbone, the members of its lists that have submodules.

    A list is an nn.ModuleList or an nn.Sequential; lists within a block are part of it. Members without submodules are
    left alone: such a layer keeps only the output of the one before it.
    """
    if isinstance(module, Backbone):
        return list(dict.fromkeys(_members(module)))
    return list(dict.fromkeys(block for child in module.children() for block in blocks(child)))


def _members(module: nn.Module) -> Iterator[nn.Module]:
    lists = nn.ModuleList | nn.Sequential
    for child in module.children():
        if isinstance(module, lists) and not isinstance(child, lists) and next(child.children(), None) is not None:
            yield child
        else:
            yield from _members(child)


class Block(ABC):
    """Temporarily replaces a block's forward; knows how to run it again under the same conditions."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.forward: Callable[..., Any] = block.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block's forward."""
        if not torch.is_grad_enabled():
            return self.forward(*args, **kwargs)
        given, state = _as_given((args, kwargs)), _State.of(self.block)

        def again() -> Any:
            arguments, named = _as_given(given)
            with state.restored():
                return self.forward(*arguments, **named)

        return self.run(lambda: self.forward(*args, **kwargs), again)

    @abstractmethod
    def run(self, first: Callable[[], Any], again: Callable[[], Any]) -> Any:
        """The result of `first`, where a gradient is recorded; `again`, called later, repeats the work."""


class Recomputing(Block):
    """Keeps only the inputs of the first run."""

    def run(self, first: Callable[[], Any], again: Callable[[], Any]) -> Any:
        """See `Block`."""
        runs = iter([first])

        def run() -> Any:
            return next(runs, again)()

        # torch finds generators' devices only among tensors, not in a block's other arguments.
        return checkpoint(run, use_reentrant=False, preserve_rng_state=False)


@contextmanager
def standing_in(chosen: Iterable[nn.Module], kind: Callable[[nn.Module], Block]) -> Iterator[None]:
    """Within the context, calls of these modules go to their replacements."""
    with ExitStack() as stack:
        for block in chosen:
            stack.callback(_put_back, block, vars(block).get("forward"))
            block.forward = kind(block)
        yield


def _put_back(block: nn.Module, own: Callable[..., Any] | None) -> None:
    vars(block).pop("forward", None)
    if own is not None:
        block.forward = own


@dataclass(frozen=True)
class _State:
    """The state that a block's result depends on beside its arguments and parameters."""

    block: nn.Module
    buffers: dict[str, Tensor]
    training: list[bool]
    drawn: list[tuple[torch.Generator, Tensor]]
    modes: list[TorchFunctionMode]
    casting: dict[str, Any]

    @classmethod
    def of(cls, block: nn.Module) -> _State:
        """The current state."""
        buffers = {name: value.detach().clone() for name, value in persistent_buffers(block).items()}
        device = next((one.device for one in block.parameters()), torch.device("cpu"))
        drawn = [(one, one.get_state()) for one in generators(device)]
        training = [part.training for part in block.modules()]
        kind = device.type
        casting = {"device_type": kind, "dtype": torch.get_autocast_dtype(kind)}
        casting |= {"enabled": torch.is_autocast_enabled(kind), "cache_enabled": torch.is_autocast_cache_enabled()}
        return cls(block, buffers, training, drawn, _get_current_function_mode_stack(), casting)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the state within the context."""
        now = self.of(self.block)
        try:
            self._write()
            with ExitStack() as stack, torch.autocast(**self.casting):
                # A backward pass runs outside its forward pass's modes; on a GPU it has its own thread.
                for mode in self.modes:
                    if not any(mode is one for one in now.modes):
                        stack.enter_context(mode)
                yield
        finally:
            now._write()

    def _write(self) -> None:
        for generator, state in self.drawn:
            generator.set_state(state)
        for part, mode in zip(self.block.modules(), self.training, strict=True):
            part.training = mode
        for name, value in self.buffers.items():
            # Not counted by torch as a write: gradients do not read batch norms' statistics.
            self.block.get_buffer(name).data.copy_(value)


def _as_given(arguments: Any) -> Any:
    """Arguments that stay unchanged: a block that stores results in one of them stores them in a copy."""
    return tree_map(lambda one: one if isinstance(one, Tensor | nn.Module | type) else copy.copy(one), arguments)
