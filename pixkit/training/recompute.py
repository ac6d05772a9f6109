"""Activations that a backward pass computes again, instead of keeping them from the forward pass."""

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
    """A phase's loss that keeps of each block of the model's backbones what it was given, and no more.

    The backward pass runs a block again as it was run, with the same random numbers, buffers, modes of its parts and
    torch modes, so that gradients have the same bits (Chen, Xu, Zhang and Guestrin, 2016, arXiv 1604.06174).

    Attributes:
        plain: the loss that keeps everything.
    """

    def __init__(self, plain: Callable[[Batch, int], Losses], model: nn.Module) -> None:
        self.plain = plain
        self._model = model

    def __call__(self, batch: Batch, step: int) -> Losses:
        """See Phase."""
        with standing_in(blocks(self._model), Recomputing):
            return self.plain(batch, step)


def blocks(module: nn.Module) -> list[nn.Module]:
    """What is computed again as a whole: in each backbone, the members of its lists that have parts of their own.

    A list is an nn.ModuleList or an nn.Sequential; lists within a block are part of it. Members without parts are left
    as they are: what such a layer keeps is what the one before it has given.
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
    """Stands in for a block's forward for a while; knows how to run it again as it was run."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.forward: Callable[..., Any] = block.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The block's forward."""
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
        """What `first` gives, where a gradient is recorded; `again`, called later, does the same work."""


class Recomputing(Block):
    """Keeps nothing of the first run but what it was given."""

    def run(self, first: Callable[[], Any], again: Callable[[], Any]) -> Any:
        """See Block."""
        runs = iter([first])

        def run() -> Any:
            return next(runs, again)()

        # torch looks for the devices of generators among tensors alone, and not in what else a block may be given.
        return checkpoint(run, use_reentrant=False, preserve_rng_state=False)


@contextmanager
def standing_in(chosen: Iterable[nn.Module], kind: Callable[[nn.Module], Block]) -> Iterator[None]:
    """For a while, calls of these modules go to what stands in for them."""
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
    """What a block's result depends on beside its arguments and parameters."""

    block: nn.Module
    buffers: dict[str, Tensor]
    training: list[bool]
    drawn: list[tuple[torch.Generator, Tensor]]
    modes: list[TorchFunctionMode]
    casting: dict[str, Any]

    @classmethod
    def of(cls, block: nn.Module) -> _State:
        """As it is now."""
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
        """As it was, for a while."""
        now = self.of(self.block)
        try:
            self._write()
            with ExitStack() as stack, torch.autocast(**self.casting):
                # A backward pass has left its forward pass's modes; on a GPU it has a thread of its own.
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
            # Past torch's count of writes: batch norms keep their statistics, which their gradients do not read.
            self.block.get_buffer(name).data.copy_(value)


def _as_given(arguments: Any) -> Any:
    """Arguments that stay as they are: what a block leaves in one of them, as a result kept there, is in a copy."""
    return tree_map(lambda one: one if isinstance(one, Tensor | nn.Module | type) else copy.copy(one), arguments)
