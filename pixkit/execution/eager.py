"""The plan in place, with torch's own kernels: what runs where there is no C compiler.

Memory is [B, sites, G, M]; the taps of a linear layer that lie side by side in it are one strided view, so that a
3x3 kernel of type B is two products and no gather. Steps of many sites look their patches up and make one product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.lowering.lower import Lowered, Unsupported, lower, static_inputs
from pixkit.execution.plan import Instruction, Plan
from pixkit.execution.reference import Executor, run_static
from pixkit.layers import CausalAttention
from pixkit.readiness.trace import as_image

Place: TypeAlias = int | Tensor
"""One site, which makes views, or several."""
Compute: TypeAlias = Callable[[list[Tensor], Lowered, int], Tensor]


@dataclass(frozen=True)
class Linear:
    """A linear layer's tables: units [Go, S, T] are site * G + group of each source, -1 for none."""

    units: list[list[list[int]]]
    padded: Tensor
    weight: Tensor
    bias: Tensor


class EagerExecutor(Executor):
    """Runs the plan by torch operations on views; slower than the native executor, faster than the reference one.

    Raises:
        Unsupported: if the plan has an operation without a lowering.
    """

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        self.plan, self.batch, self.groups = plan, batch, plan.trace.groups
        network = plan.trace.network
        reference = next(network.parameters())
        self.dtype, self.device = reference.dtype, reference.device
        spec = network.spec
        self.pixels = torch.zeros(batch, spec.sites, spec.channels, dtype=torch.int64, device=self.device)
        operations = plan.trace.operations
        self.lowered: dict[str, list[Lowered]] = {}
        self.linear: dict[str, Linear] = {}
        self.data: dict[str, Tensor] = {}
        static, read = run_static(plan.trace, context), static_inputs(plan)
        for name, operation in operations.items():
            if operation.kind == "static":
                if name in read:
                    self._fill(name, static[name])
            elif operation.kind != "pixels":
                self.lowered[name] = lower(operation, operations, self.groups)
                self._allocate(name)
        if any(schedule.opcode == "ALL" for schedule in plan.schedules):
            raise Unsupported("the eager executor runs no operation on whole images")
        self.steps = [
            [(instruction, _place(instruction.sites)) for instruction in step] for step in plan.steps(self.device)
        ]

    def advance(self, step: int) -> None:
        """See Executor."""
        for instruction, place in self.steps[step]:
            name = instruction.operation.name
            for part in self.lowered[name]:
                if part.kind == "LINEAR":
                    self._mix(instruction, place, self.linear[name], part)
                else:
                    self._compute(instruction, place, part)

    def params(self, sites: Tensor) -> Tensor:
        """See Executor."""
        return self.data[self.plan.trace.output][:, sites].permute(0, 3, 2, 1).flatten(1, 2)

    def _allocate(self, name: str) -> None:
        """Memory with one site of zeros at the end; tables of a linear layer."""
        operation = self.plan.trace.operations[name]
        maps = sum(operation.parts or (operation.maps,)) // self.groups
        sites = operation.grid[0] * operation.grid[1]
        self.data[name] = torch.zeros(self.batch, sites + 1, self.groups, maps, dtype=self.dtype, device=self.device)
        for part in self.lowered[name]:
            if part.kind == "LINEAR" and part.table is not None and part.weight is not None and part.bias is not None:
                source = self.plan.trace.operations[part.inputs[0]].grid
                groups = torch.arange(part.taps) % self.groups
                units = torch.where(part.table >= 0, part.table * self.groups + groups, -1)
                padded = torch.where(units >= 0, units, source[0] * source[1] * self.groups)
                self.linear[name] = Linear(
                    units.tolist(), padded.to(self.device), part.weight[..., :maps].contiguous(), part.bias[:, :maps]
                )

    def _fill(self, name: str, value: Tensor) -> None:
        """A static value, [B or 1, M, h, w]; one that does not vary over sites is expanded, not copied."""
        image = as_image(value)
        if image.shape[1] == 1:
            image = image.expand(-1, self.groups, -1, -1)
        if image.shape[1] % self.groups or len(image) not in (1, self.batch):
            raise Unsupported(f"the eager executor cannot spread {self.plan.trace.operations[name].label}")
        grouped = image.flatten(2).unflatten(1, (-1, self.groups)).permute(0, 3, 2, 1)
        height, width = self.plan.trace.network.spec.height, self.plan.trace.network.spec.width
        sites = height * width if grouped.shape[1] == 1 else grouped.shape[1]
        self.data[name] = grouped.expand(self.batch, sites, -1, -1)

    def _mix(self, instruction: Instruction, place: Place, linear: Linear, part: Lowered) -> None:
        memory, group = self.data[part.inputs[0]], instruction.group
        out = self.data[instruction.operation.name]
        weight, bias = linear.weight[group], linear.bias[group]
        if isinstance(place, Tensor):
            patches = memory.flatten(1, 2)[:, linear.padded[group][place]].flatten(2)
            out[:, place, group] = F.linear(patches, weight.flatten(0, 1).T, bias)
            return
        target = out[:, place, group]
        target.copy_(bias)
        flat, inner = memory.flatten(1), part.inner
        for first, last, start in _runs(linear.units[group][place]):
            view = flat[:, start * inner : (start + last - first) * inner]
            target.addmm_(view, weight[first:last].flatten(0, 1))

    def _compute(self, instruction: Instruction, sites: Place, part: Lowered) -> None:
        group = instruction.group
        out = self.data[instruction.operation.name]
        if part.kind == "EMBED":
            out[:, sites, group] = self._embed(part, group, sites)
            return
        if part.kind == "GATHER" and part.table is not None:
            source = part.table[group].to(self.device, torch.int64)[sites]
            out[:, sites, group] = self.data[part.inputs[0]][:, source, group]
            return
        if part.kind == "ATTEND":
            out[:, sites, group] = self._attend(instruction, part)
            return
        if part.kind == "CONSTANT" and part.weight is not None:
            out[:, sites, group, part.to : part.to + part.count] = part.weight[group][sites]
            return
        values = COMPUTE[part.kind]([self.data[name][:, sites, group] for name in part.inputs], part, group)
        if part.kind == "COPY":
            out[:, sites, group, part.to : part.to + part.count] = values
        else:
            out[:, sites, group] = values

    def _attend(self, instruction: Instruction, part: Lowered) -> Tensor:
        """The layer itself, which works on memories like these; it knows no colours."""
        module = cast(CausalAttention, instruction.operation.module)
        found = module.at(0, 1, instruction.sites, [self.data[name][:, :, 0] for name in part.inputs], None)
        return found if len(instruction.sites) > 1 else found[:, 0]

    def _embed(self, part: Lowered, group: int, sites: Place) -> Tensor:
        """Look the levels of the group's colours up, [B, S, E * colours of the group]."""
        assert part.weight is not None
        colours = [group] if self.groups > 1 else list(range(self.pixels.shape[2]))
        looked = [part.weight[colour][self.pixels[:, sites, colour]] for colour in colours]
        return torch.stack(looked, -1).flatten(-2)


def _place(sites: Tensor) -> Place:
    return int(sites) if len(sites) == 1 else sites


def _runs(units: list[int]) -> list[tuple[int, int, int]]:
    """Taps first..last - 1 that read consecutive units from `start` on, as (first, last, start)."""
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(units), 1) if a < 0 or b != a + 1), len(units)]
    return [(first, last, units[first]) for first, last in pairwise(breaks) if units[first] >= 0]


def _row(values: Tensor | None, group: int, like: Tensor) -> Tensor:
    assert values is not None
    return values.view(-1, like.shape[-1])[group % (values.numel() // like.shape[-1])].to(like)


def _norm(inputs: list[Tensor], part: Lowered, group: int) -> Tensor:
    x = inputs[0]
    return F.layer_norm(x, x.shape[-1:], _row(part.weight, group, x), _row(part.bias, group, x), part.alpha)


COMPUTE: dict[str, Compute] = {
    "RELU": lambda x, part, group: x[0].relu(),
    "ELU": lambda x, part, group: F.elu(x[0], part.alpha),
    "SIGMOID": lambda x, part, group: x[0].sigmoid(),
    "TANH": lambda x, part, group: x[0].tanh(),
    "NEGATE": lambda x, part, group: -x[0],
    "ADD": lambda x, part, group: x[0] + x[1],
    "SUB": lambda x, part, group: x[0] - x[1],
    "MUL": lambda x, part, group: x[0] * x[1],
    "MAXIMUM": lambda x, part, group: torch.maximum(x[0], x[1]),
    "AFFINE": lambda x, part, group: x[0] * _row(part.weight, group, x[0]) + _row(part.bias, group, x[0]),
    "NORM": _norm,
    **dict.fromkeys(("COPY", "VIEW"), lambda x, part, group: x[0][..., part.first : part.first + part.count]),
    "CELU": lambda x, part, group: F.elu(torch.cat([x[0], -x[0]], -1)),
    "MAXOUT": lambda x, part, group: torch.maximum(*x[0].chunk(2, -1)),
}
