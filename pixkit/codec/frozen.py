"""A plan with all its inputs, as data: numbers and arrays of fixed types, no code, no torch.

A codec starts from it on every machine. Weights have masks and norms applied, since torch's results for these differ in
the last bits from processor to processor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from pixkit.errors import DataError

Array: TypeAlias = npt.NDArray[Any]
FORMAT = 1
"""Version of the format of `Frozen.to_bytes`."""
TYPES = {"table": "int32", "weight": "float32", "bias": "float32"}
"""The arrays of an operation."""
LISTS = {
    "instructions": "int32",
    "steps": "int64",
    "sites": "int32",
    "draws": "int64",
    "drawn": "int32",
    "due": "uint8",
}
"""The arrays of the whole program."""


@dataclass(frozen=True)
class Memory:
    """Numbers that operations read and write.

    Attributes:
        sites: the number of sites.
        row: numbers per image and site.
        shared: whether all images share it, so that nothing writes to it.
        start: float32, the content before the first step: [sites, row], or [labels, sites, row] where it depends on an
            image's label; None: zeros.
    """

    sites: int
    row: int
    shared: bool = False
    start: Array | None = None


@dataclass(frozen=True)
class Place:
    """Where an operation's units are in a memory.

    Attributes:
        memory: the memory's number.
        first: the index of their first number in a row.
        varies: whether sites differ.
        group: the distance between the maps of successive colour groups; 0 if groups share them.
        maps: maps in a group.
        passing: whether sites are counted within an instruction, because no later step reads these units.
    """

    memory: int
    first: int
    varies: bool
    group: int
    maps: int
    passing: bool


@dataclass(frozen=True)
class Operation:
    """An operation of program.h, with its fields. Operands are numbers of places.

    `weight` of LINEAR is [G or sites, taps, inner, width], without panels.
    """

    kind: str
    out: int
    in0: int
    in1: int
    in2: int
    taps: int
    inner: int
    width: int
    grid: int
    alpha: float
    beta: float
    first: int
    to: int
    count: int
    queries: int
    keys: int
    values: int
    fused: int
    unread: int
    table: Array | None = None
    weight: Array | None = None
    bias: Array | None = None


@dataclass(frozen=True)
class Mixture:
    """A mixture head beside its parameters, which are in the order of `MixtureHead`.

    Attributes:
        family: "logistic" or "normal".
        components: m.
        low, high: bounds of log-scales.
    """

    family: str
    components: int
    low: float
    high: float


@dataclass(frozen=True)
class Frozen:
    """The program, and a description of its images.

    Attributes:
        shape: C, H, W.
        levels: K.
        groups: number of colour groups.
        head: how parameters become frequencies: "softmax", "bernoulli" or "mixture", as in `Head.inverse`.
        params: the place of the parameters.
        memories, places, operations: all of them.
        instructions: int32 [N, 4]: operation, colour group, number of sites, and index of the first in `sites`.
        steps: int64 [T + 1], the first instruction of each step.
        sites: int32, the sites of instructions.
        draws: int64 [T + 1], where each step's part of `drawn` begins.
        drawn: int32 [D], the sites at which sub-pixels are drawn.
        due: uint8 [D, C], which of their colours are drawn.
        mixture: the mixture, if the head is one.
        labels: the number of labels, including the one for no label; 0: images have none.
    """

    shape: tuple[int, int, int]
    levels: int
    groups: int
    head: str
    params: int
    memories: tuple[Memory, ...]
    places: tuple[Place, ...]
    operations: tuple[Operation, ...]
    instructions: Array
    steps: Array
    sites: Array
    draws: Array
    drawn: Array
    due: Array
    mixture: Mixture | None = None
    labels: int = 0

    @property
    def count(self) -> int:
        """The number of sites of an image."""
        return self.shape[1] * self.shape[2]

    @property
    def maps(self) -> int:
        """Parameters per site and colour group."""
        channels = self.shape[0]
        if self.mixture is not None:
            return self.mixture.components * (1 + 2 * channels + channels * (channels - 1) // 2)
        return (1 if self.head == "bernoulli" else self.levels) * channels // self.groups

    def to_bytes(self) -> bytes:
        """A safetensors file; equal programs give equal bytes."""
        arrays = {name: getattr(self, name) for name in LISTS}
        for number, memory in enumerate(self.memories):
            if memory.start is not None:
                arrays[f"memory.{number}"] = memory.start
        for number, operation in enumerate(self.operations):
            arrays |= {
                f"operation.{number}.{name}": value for name in TYPES if (value := getattr(operation, name)) is not None
            }
        facts = {name: getattr(self, name) for name in ("shape", "levels", "groups", "head", "params", "labels")}
        rest: dict[str, Any] = {
            "memories": [asdict(replace(memory, start=None)) for memory in self.memories],
            "places": [asdict(place) for place in self.places],
            "operations": [asdict(replace(each, table=None, weight=None, bias=None)) for each in self.operations],
        }
        rest["mixture"] = None if self.mixture is None else asdict(self.mixture)
        text = json.dumps({"format": FORMAT, **facts, **rest}, sort_keys=True, separators=(",", ":"))
        arrays["program"] = np.frombuffer(text.encode(), np.uint8)
        # A transposed view would be saved in its memory order.
        return save_arrays({name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())})

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "a codec file") -> Frozen:
        """The program that `to_bytes` wrote.

        Raises:
            DataError: if it is anything else.
        """
        try:
            arrays = load_arrays(data)
            facts = json.loads(bytes(arrays["program"]))
            if facts.pop("format") != FORMAT:
                raise DataError("a codec file of another version", where=where, expected=f"format {FORMAT}")
            given: dict[str, Any] = {name: _typed(arrays[name], kind) for name, kind in LISTS.items()}
            given["shape"] = tuple(facts.pop("shape"))
            given["memories"] = tuple(_memory(arrays, *each) for each in enumerate(facts.pop("memories")))
            given["places"] = tuple(Place(**each) for each in facts.pop("places"))
            given["operations"] = tuple(_operation(arrays, *each) for each in enumerate(facts.pop("operations")))
            mixture = facts.pop("mixture")
            given["mixture"] = None if mixture is None else Mixture(**mixture)
            return cls(**facts, **given)
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise DataError("this is not a codec file", where=where, found=str(error)[:200]) from error


def _memory(arrays: Mapping[str, Array], number: int, facts: dict[str, Any]) -> Memory:
    start = arrays.get(f"memory.{number}")
    return Memory(**{**facts, "start": None if start is None else _typed(start, "float32")})


def _operation(arrays: Mapping[str, Array], number: int, facts: dict[str, Any]) -> Operation:
    own = {name: arrays.get(f"operation.{number}.{name}") for name in TYPES}
    typed = {name: None if value is None else _typed(value, TYPES[name]) for name, value in own.items()}
    return Operation(**{**facts, **typed})


def _typed(value: Array, kind: str) -> Array:
    if value.dtype != kind:
        raise ValueError(f"{value.dtype} in place of {kind}")
    return value


NUMBERS = tuple(field.name for field in fields(Operation) if field.name not in ("kind", *TYPES))
"""Fields of an operation that are numbers."""
