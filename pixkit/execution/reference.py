"""The interface of executors, and the reference executor, which runs the plan as it is written."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.execution.nodes import each_part, parts_of, run_node, run_static
from pixkit.execution.plan import Instruction, Plan, fleeting, pointwise
from pixkit.layers.base import MixingLayer
from pixkit.layers.state import initial_state
from pixkit.network import Autoregressive
from pixkit.readiness.trace import Operation, as_image

Progress = Callable[[int, int], None]
"""Called as progress(done, total), in the caller's own units; raises to stop."""
CALLS = 20
"""Calls of compiled code for a whole image, so that progress is shown and interrupts are handled."""


class Executor(ABC):
    """Runs a plan for a batch of images.

    `pixels` holds the levels, int64 [B, S, C]: given ones from the start, drawn ones as they are drawn. `draws` are the
    plan's, on their device. Constructed as ``Executor(plan, batch, context)``, which computes, once, what needs no
    pixel.
    """

    plan: Plan
    draws: list[tuple[Tensor, Tensor]]
    pixels: Tensor

    @property
    def network(self) -> Autoregressive:
        """The network that it draws from."""
        return self.plan.trace.network

    @abstractmethod
    def advance(self, step: int) -> None:
        """Compute the units of this step."""

    @abstractmethod
    def params(self, sites: Tensor) -> Tensor:
        """The head's parameters at flat sites int64 [S], [B, P, S]."""

    def renew(self, context: Tensor | None) -> bool:
        """Reset to the initial state for other images, with this context; False (the default) if impossible."""
        return False

    @functools.cached_property
    def nbytes(self) -> int:
        """Approximate bytes of the tensors that it holds."""
        return sum(dict(_held(self.held())).values())

    def held(self) -> list[Any]:
        """Where its tensors are: lists, tuples, mappings and dataclasses of them."""
        return [self.pixels]

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """Compute, draw and write step by step; uniforms [B, draws, C, S]."""
        for step, (sites, due) in enumerate(self.draws):
            self.advance(step)
            self.draw(sites, due, uniforms, temperature)
            if progress is not None:
                progress(step + 1, len(self.draws))

    def draw(self, sites: Tensor, due: Tensor, uniforms: Tensor, temperature: float) -> None:
        """Draw what is due, bool [C, S], at flat sites int64 [S], and write it."""
        if len(sites):
            network, before = self.network, self.pixels[:, sites].transpose(1, 2)
            now = network.fill(before, due, self.params(sites), uniforms[..., sites], temperature)
            self.pixels[:, sites] = now.transpose(1, 2)


class ReferenceExecutor(Executor):
    """One memory [B, S + 1, M] per operation, the last site zeros; instructions one by one. Kept simple."""

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        self.plan = plan
        self.fleeting = self._fleeting()
        network = plan.trace.network
        reference = network.reference
        self.batch, self.device, self.dtype = batch, reference.device, reference.dtype
        spec = network.spec
        self._levels = torch.zeros(batch, spec.sites + 1, spec.channels, dtype=torch.int64, device=self.device)
        self.pixels = self._levels[:, :-1]
        self.draws, self.steps = plan.drawn(self.device), self._steps()
        self.memory: dict[str, Any] = {}
        self.static: dict[str, Any] = {}
        self.passing: dict[tuple[str, int], Any] = {}
        for operation in plan.trace.operations.values():
            if operation.kind == "pixels":
                self.memory[operation.name] = self._levels
            elif operation.kind != "static" and operation.name not in self.fleeting:
                self.memory[operation.name] = self._allocate(operation)
        self._begin(context)

    def _steps(self) -> list[list[Instruction]]:
        """The work of each step; sites are on the network's device from the start, so that no walk waits."""
        return self.plan.steps(self.device)

    def renew(self, context: Tensor | None) -> bool:
        """See Executor: reuses its memory, since single-site functions may hold its address."""
        operations = self.plan.trace.operations
        for name in self.memory.keys() - self.static.keys():
            if by_sites(operations[name]):
                each_part(Tensor.zero_, self.memory[name])
        return self._begin(context)

    def _begin(self, context: Tensor | None) -> bool:
        """Compute what needs no pixel, in its old memory if there is any; return False if the shape differs."""
        operations = self.plan.trace.operations
        for name, value in run_static(self.plan.trace, context).items():
            found = self._remember(operations[name], value)
            if name not in self.memory or not by_sites(operations[name]):
                self.memory[name] = found
            elif not all(map(_taken, parts_of(self.memory[name]), parts_of(found))):
                return False
            self.static[name] = value
        self.states = {
            operation.name: initial_state(
                operation.module, self.batch, [operations[name].grid for name in operation.inputs], self.device
            )
            for operation in operations.values()
            if isinstance(operation.module, MixingLayer)
        }
        self.computed = dict.fromkeys(self.plan.units, 0)
        return True

    def held(self) -> list[Any]:
        """See Executor."""
        return [self.pixels, self.memory, self.states, self.static]

    def advance(self, step: int) -> None:
        """See Executor."""
        self.passing.clear()
        for instruction in self.steps[step]:
            self._execute(instruction, instruction.sites)

    def params(self, sites: Tensor) -> Tensor:
        """See Executor."""
        return self.memory[self.plan.trace.output][:, sites].transpose(1, 2)

    def _fleeting(self) -> frozenset[str]:
        """Operations that are not remembered: their readers are computed at the same site in the same step."""
        return fleeting(self.plan, pointwise)

    def _execute(self, instruction: Instruction, sites: Tensor) -> None:
        """Compute an instruction's units at the sites, which are its own, or equally many others."""
        operation, group = instruction.operation, instruction.group
        name, groups = operation.name, self.plan.trace.groups
        if instruction.opcode == "ALL":
            whole = {source: self._image(source) for source in operation.inputs}
            self.memory[name] = self._remember(operation, run_node(self.plan.trace, operation, whole))
        elif instruction.opcode == "MIX":
            inputs = [self.memory[source] for source in operation.inputs]
            module: Any = operation.module
            values = module.at(group, groups, sites, inputs, self.states[name])
            self._store(instruction, sites, spread(values, group, groups, operation.maps))
        else:
            at = {source: self._at(source, group, sites, operation) for source in operation.inputs}
            self._store(instruction, sites, run_node(self.plan.trace, operation, at))
        if name in self.computed:
            self.computed[name] += len(sites) * (groups if instruction.opcode == "ALL" else 1)

    def _at(self, source: str, group: int, sites: Tensor, reader: Operation) -> Any:
        """[B, M, S, 1] of an input at the sites (or [B, M, 1, 1] where it does not vary over them)."""
        if source in self.fleeting:
            return self.passing[source, group]
        if self.plan.trace.operations[source].grid != reader.grid:
            return self.static[source] if source in self.static else self._image(source)
        return each_part(lambda memory: memory[:, sites].transpose(1, 2)[..., None], self.memory[source])

    def _store(self, instruction: Instruction, sites: Tensor | slice, values: Any) -> None:
        """Keep [B, M, S, 1]: for the step, or permanently in the group's maps at the instruction's sites."""
        name, group, groups = instruction.operation.name, instruction.group, self.plan.trace.groups
        if name in self.fleeting:
            self.passing[name, group] = values
            return
        for memory, value in zip(parts_of(self.memory[name]), parts_of(values), strict=True):
            memory[:, sites, group::groups] = value[:, group::groups, :, 0].transpose(1, 2)

    def _allocate(self, operation: Operation) -> Any:
        if not by_sites(operation):
            return None
        size = (self.batch, operation.grid[0] * operation.grid[1] + 1, operation.maps)
        parts = operation.parts
        if parts is None:
            return torch.zeros(size, dtype=self.dtype, device=self.device)
        return tuple(torch.zeros(*size[:2], maps, dtype=self.dtype, device=self.device) for maps in parts)

    def _remember(self, operation: Operation, value: Any) -> Any:
        """An image [B or 1, M, h, w] as memory [B, h * w + 1, M]; other values as they are."""

        def flatten(image: Tensor) -> Tensor:
            flat = as_image(image).flatten(2).transpose(1, 2)
            padded = torch.cat([flat, flat.new_zeros(len(flat), 1, flat.shape[2])], 1)
            return padded.expand(self.batch, -1, -1)

        return each_part(flatten, value) if by_sites(operation) else value

    def _image(self, source: str) -> Any:
        """A remembered value as the image that the network would see."""
        operation = self.plan.trace.operations[source]
        if source in self.static:
            return self.static[source]

        def unflatten(memory: Tensor) -> Tensor:
            return memory[:, :-1].transpose(1, 2).unflatten(2, operation.grid)

        memory = self.memory[source]
        return each_part(unflatten, memory) if by_sites(operation) else memory


def by_sites(operation: Operation) -> bool:
    """Whether a result is remembered site by site; non-images, and parts with their own grids, are not."""
    return operation.maps > 0 and (operation.parts is None or operation.kind != "all")


def _taken(memory: Tensor, value: Tensor) -> bool:
    """Copy a value to the place of an earlier one; return False if its shape differs."""
    if (memory.shape, memory.stride(), memory.dtype) != (value.shape, value.stride(), value.dtype):
        return False
    own = slice(1) if memory.stride(0) == 0 else slice(None)  # all images share the first one's
    memory[own].copy_(value[own])
    return True


def chunks(total: int) -> Iterator[tuple[int, int, int]]:
    """The steps of each of at most `CALLS` calls, as first, last + 1, and the total."""
    size = -(-total // CALLS)
    for start in range(0, total, size):
        yield start, min(start + size, total), total


def _held(value: Any) -> Iterator[tuple[int, int]]:
    """Addresses and sizes in bytes of the memory of the tensors in a value."""
    if isinstance(value, Tensor):
        memory = value.untyped_storage()
        yield memory.data_ptr(), memory.nbytes()
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _held(part)
    elif is_dataclass(value):
        yield from _held(vars(value))


def spread(values: Tensor, group: int, groups: int, maps: int) -> Tensor:
    """[B, S, maps // G] of one group as [B, maps, S, 1], the other groups' maps zero."""
    if groups == 1:
        return values.transpose(1, 2)[..., None]
    full = values.new_zeros(values.shape[0], maps, values.shape[1], 1)
    full[:, group::groups] = values.transpose(1, 2)[..., None]
    return full
