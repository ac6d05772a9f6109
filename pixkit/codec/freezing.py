"""From a model to its codec's program."""

from __future__ import annotations

from dataclasses import replace
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.backbones.conditioners import LabelContext
from pixkit.codec.frozen import NUMBERS, Array, Frozen, Memory, Mixture, Operation, Place
from pixkit.codec.portable import KINDS as PORTABLE
from pixkit.errors import UsageError
from pixkit.execution.lowering.lower import Lowered, Unsupported
from pixkit.execution.native.layout import KINDS, Buffer
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import make_plan
from pixkit.heads.base import Head
from pixkit.heads.logistic_mixture import DiscretisedLogisticMixture
from pixkit.heads.mixture import MAX_LOG_SCALE, MixtureHead
from pixkit.heads.normal_mixture import DiscretisedNormalMixture
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.readiness.law import require_law
from pixkit.readiness.trace import Trace

HEADS = ("softmax", "bernoulli", "mixture")
FAMILIES = {DiscretisedLogisticMixture: "logistic", DiscretisedNormalMixture: "normal"}
"""Mixtures with portable distribution functions."""
"""Heads whose parameters become frequencies, as in `Head.inverse`."""


class _Freezer(Threaded):
    """The packed plan for one image, from which everything is read."""

    def frozen(self, labels: int) -> Frozen:
        """The program; once this is filled with the first of `labels` labels, if images have labels."""
        kept = {value.data_ptr(): value for value in self._kept}
        self._memories: list[Memory] = []
        self._numbers: dict[int, int] = {}
        places = [self._place(name) for name in self._data] + [self._constant(each, kept) for each in self._constants]
        spec, head = self.plan.trace.network.spec, self.plan.trace.network.head.inverse
        assert head is not None
        counts, drawn, due = self._due
        rows = self.table[:-1]
        return Frozen(
            shape=spec.shape,
            levels=spec.levels,
            groups=self.groups,
            head=head,
            params=self._index[self.plan.trace.output],
            memories=tuple(self._labelled(labels)),
            places=tuple(places),
            operations=tuple(self._operation(number, *each) for number, each in enumerate(self._parts)),
            instructions=np.stack([rows[name].astype(np.int32) for name in ("op", "group", "count", "first")], 1),
            steps=kept[self.program.steps].numpy(),
            sites=kept[self.program.sites].numpy(),
            draws=counts.numpy(),
            drawn=drawn.numpy(),
            due=due.numpy(),
            mixture=_mixture(self.plan.trace.network.head),
            labels=labels,
        )

    def _labelled(self, labels: int) -> list[Memory]:
        """Memories, with the values for each label where these differ."""
        static = [name for name, each in self.plan.trace.operations.items() if each.kind == "static"]
        numbers = {self._memory_at(name): name for name in static if name in self._data}
        found: dict[int, list[Array]] = {self._numbers[address]: [] for address in numbers}
        for label in range(labels):
            self.renew(torch.tensor([label]))
            for address, name in numbers.items():
                own = self._memories[self._numbers[address]]
                values = torch.empty(0, dtype=self.dtype).set_(self._data[name].untyped_storage())
                found[self._numbers[address]].append(values.view(own.sites, own.row).numpy().copy())
        for number, starts in found.items():
            if any((start != starts[0]).any() for start in starts):
                self._memories[number] = replace(self._memories[number], start=np.stack(starts))
        return self._memories

    def _place(self, name: str) -> Place:
        data, buffer = self._data[name], self._buffer(name)
        memory = data.untyped_storage()
        if memory.data_ptr() not in self._numbers:
            values = torch.empty(0, dtype=self.dtype).set_(memory).view(len(data), -1)
            self._numbers[memory.data_ptr()] = self._add(values, shared=False)
        number = self._numbers[memory.data_ptr()]
        first = int(data.storage_offset())
        return Place(number, first, buffer.site > 0, buffer.group, buffer.maps, bool(buffer.passing))

    def _constant(self, buffer: Buffer, kept: dict[int, Tensor]) -> Place:
        number = self._add(kept[buffer.data].view(1, -1), shared=not buffer.row)
        return Place(number, 0, False, buffer.group, buffer.maps, False)

    def _add(self, values: Tensor, *, shared: bool) -> int:
        start = values.numpy().copy() if bool(values.any()) else None
        self._memories.append(Memory(len(values), values.shape[1], shared, start))
        return len(self._memories) - 1

    def _operation(self, number: int, name: str, part: Lowered) -> Operation:
        op = self.ops[number]
        numbers = {field: getattr(op, field) for field in NUMBERS}
        arrays = {"table": self._table(name, part), "weight": part.weight, "bias": part.bias}
        types = {"table": torch.int32, "weight": torch.float32, "bias": torch.float32}
        found: dict[str, Any] = {
            field: None if value is None else value.detach().to(types[field]).contiguous().numpy()
            for field, value in arrays.items()
        }
        return Operation(KINDS[op.kind], **numbers, **found)


def _mixture(head: Head) -> Mixture | None:
    """The head as a mixture with a portable distribution function, or None."""
    family = FAMILIES.get(head.mixture) if isinstance(head, MixtureHead) else None
    if family is None or not isinstance(head, MixtureHead):
        return None
    return Mixture(family, head.config.components, head.min_log_scale, MAX_LOG_SCALE)


@torch.no_grad()
def freeze(network: Autoregressive, labels: int = 0) -> Frozen:
    """The program of a network, which has to be on a CPU in float32, for labels below `labels` if it takes labels.

    Raises:
        UsageError: if it has no portable arithmetic; with the reason.
        Untraceable, Unplannable, CausalityError: if it cannot be sampled site by site.
    """
    head = network.head.inverse
    if head not in HEADS or (head == "mixture" and _mixture(network.head) is None):
        raise _refused(
            f"a {type(network.head).__name__} head", "softmax, Bernoulli, or a mixture of logistics or normals"
        )
    if not isinstance(network.conditioner, LabelContext if labels else NoneType):
        raise _refused("a network with a context", "one with only images, or with labels")
    if network.reference.dtype != torch.float32 or network.reference.device.type != "cpu":
        raise _refused(f"{network.reference.dtype} on {network.reference.device.type}", "torch.float32 on a CPU")
    with evaluating(network):
        trace = Trace(network)
        require_law(trace)
        try:
            packed = _Freezer(make_plan(trace), 1)
            if packed.added:
                raise _refused(f"an instruction of a plugin, {packed.added[0]}", "pixkit's own instructions")
            packed.fill(torch.zeros(1, dtype=torch.int64) if labels else None)
        except Unsupported as error:
            raise _refused(error.message, "operations that the native executor supports") from error
    found = packed.frozen(labels)
    if unknown := sorted({each.kind for each in found.operations} - PORTABLE):
        raise _refused(", ".join(unknown), "operations that need no mathematical library")
    return found


def _refused(found: str, expected: str) -> UsageError:
    return UsageError("there is no codec for such a model", found=found, expected=expected)
