"""What torch's schemas say about an operation, gathered once for each."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tag, Tensor
from torch._ops import OpOverload

from pixkit.readiness.elements.marked import replaced, tensors_in
from pixkit.readiness.elements.marks import Call, Rule
from pixkit.readiness.elements.rules import RULES, factories, pairs, rule_of
from pixkit.readiness.elements.rules.deciding import DECIDING

MOVES = frozenset(
    {"set_", "resize_", "resize_as_", "as_strided_", "t_", "transpose_", "squeeze_", "unsqueeze_", "detach_"}
)
"""Operations that change where a tensor lies, but no value."""
SWITCHES = frozenset({"train", "training", "dropout_p", "dropout"})
"""Arguments without which an operation draws no random numbers."""
EVERY = range(32)
"""Positions of all arguments."""
SIGNED: dict[str, Sequence[int]] = {
    **dict.fromkeys(("div", "floor_divide", "copysign", "true_divide", "fmod", "remainder"), (1,)),
    **dict.fromkeys(("reciprocal", "rsqrt", "signbit", "pow", "float_power", "digamma", "lgamma", "hash_tensor"), (0,)),
    **dict.fromkeys(("angle", "sqrt", "log", "log2", "log10", "log1p"), (0,)),
    **dict.fromkeys(("acos", "acosh", "asin", "asinh", "atan", "atanh"), (0,)),
    **dict.fromkeys(("atan2", "nextafter", "hypot", "special_zeta", "polygamma", "linalg_solve_triangular"), (0, 1)),
    "addcdiv": (2,),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"), (4,)),
    **dict.fromkeys(("_batch_norm_with_update", "_batch_norm_no_update"), (4,)),
    **dict.fromkeys(pairs.MATRICES, EVERY),
}
"""Positions of the arguments in which an operation distinguishes 0.0 from -0.0, for example at a branch cut; the same
goes for its variants on lists. An operation without a rule may do so in every argument."""
TELLING: dict[str, Sequence[int]] = {
    **dict.fromkeys(("atan2", "nextafter"), (0, 1)),
    **dict.fromkeys(("signbit", "angle", "hash_tensor"), (0,)),
    "copysign": (1,),
    **dict.fromkeys(pairs.MATRICES, EVERY),
}
"""Those for which both give a finite number."""
CUTS = frozenset({
    *("pow", "float_power", "sqrt", "rsqrt", "log", "log2", "log10", "log1p"),
    *("acos", "acosh", "asin", "asinh", "atan", "atanh"),
})  # fmt: skip
"""Those that distinguish them at a branch cut."""
HIDDEN = {"native_batch_norm": ("running_mean", "running_var")}
"""Arguments that an operation writes to although its schema does not say so."""
ASKS = frozenset({
    *("is_pinned", "is_same_size", "sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "sym_is_contiguous"),
    "_has_same_storage_numel",
})  # fmt: skip
"""Operations that return numbers without reading any value: they ask for a tensor's layout."""


@dataclass(frozen=True)
class Description:
    """The description of an operation before it runs.

    Attributes:
        functional: the variant that writes to nothing, as far as there is one.
        rule: its effect on planes; None if unknown.
        writes: positions and names of the arguments that it writes to.
        training: in a batch norm, position of the argument without which it does not write.
        out: names of those among them that it does not read.
        views: whether its results lie in its arguments' storages.
        moves: whether it changes where a tensor lies, but no value.
        numbers: whether it returns numbers computed from values.
        sized: whether the shape of its result depends on values.
        random: whether it draws random numbers.
        foreign: whether it is not torch's own.
        switch: position and name of the argument without which it draws none.
        signed: positions of the arguments in which it distinguishes 0.0 from -0.0.
        telling: those for which both give a finite number.
        cuts: whether it distinguishes them for complex numbers.
    """

    functional: Any
    rule: Rule | None
    writes: tuple[tuple[int, str], ...]
    training: int | None
    out: frozenset[str]
    views: bool
    moves: bool
    numbers: bool
    sized: bool
    random: bool
    foreign: bool
    switch: tuple[int, str] | None
    signed: Sequence[int]
    telling: Sequence[int]
    cuts: bool

    def written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
        """The tensors that a call writes to."""
        if self.training is not None and not args[self.training]:
            return
        for place, name in self.writes:
            yield from tensors_in(args[place] if place < len(args) else kwargs.get(name))

    def draws(self, call: Call) -> bool:
        """Whether a call draws random numbers."""
        return self.random and (self.switch is None or bool(call.argument(*self.switch)))


@functools.cache
def describe(func: OpOverload) -> Description:
    """Gather what is known of an operation."""
    schema, name = func._schema, func.overloadpacket.__name__
    written = [
        (place, each) for place, each in enumerate(schema.arguments) if each.alias_info and each.alias_info.is_write
    ]
    hidden = [(place, each) for place, each in enumerate(schema.arguments) if each.name in HIDDEN.get(name, ())]
    functional = _functional(func)
    aliases = [each.alias_info for each in schema.returns]
    rule = RULES.get(func.overloadpacket) or rule_of(functional)
    base = functional.overloadpacket.__name__.removeprefix("_foreach_").removesuffix("_")
    return Description(
        functional,
        rule,
        tuple((place, each.name) for place, each in (*written, *hidden)),
        _training(schema) if "batch_norm" in name else None,
        frozenset(each.name for _, each in written if each.is_out),
        bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases),
        name in MOVES,
        bool(schema.returns) and not any("Tensor" in str(each.type) for each in schema.returns) and name not in ASKS,
        Tag.dynamic_output_shape in functional.tags or name in DECIDING,
        Tag.nondeterministic_seeded in func.tags,
        func.namespace not in ("aten", "prims"),
        next(((place, each.name) for place, each in enumerate(schema.arguments) if each.name in SWITCHES), None),
        SIGNED.get(base, ()) if rule is not None else EVERY,
        TELLING.get(base, ()),
        base in CUTS,
    )


def _training(schema: Any) -> int | None:
    return next((place for place, each in enumerate(schema.arguments) if each.name == "training"), None)


def _functional(func: OpOverload) -> OpOverload:
    """The variant of an operation that writes to none of its arguments; itself if there is none."""
    packet, overload = func.overloadpacket, func._overloadname
    name = packet.__name__
    if name.startswith("__i") and name.endswith("__"):
        name = f"__{name[3:]}"
    elif name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    space = getattr(torch.ops, func.namespace)
    other = getattr(space, name, None) if name != packet.__name__ else packet
    plain = overload.removesuffix("_out")
    given = {each.name for each in func._schema.arguments if not each.is_out}
    for candidate in (overload, plain, *(("default", "Tensor") if overload == "out" else ())):
        if other is not None and candidate in other.overloads() and not _writes(getattr(other, candidate)):
            found = getattr(other, candidate)
            if given <= {each.name for each in found._schema.arguments}:
                return found
    if other is not None and overload == "out":  # for example a mean along axes, which is not the default overload
        for candidate in other.overloads():
            found = getattr(other, candidate)
            if not _writes(found) and given == {each.name for each in found._schema.arguments}:
                return found
    return func


def _writes(func: OpOverload) -> bool:
    return any(each.alias_info is not None and each.alias_info.is_write for each in func._schema.arguments)


def plainly_called(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an operation; a foreign one may do things that marked tensors refuse."""
    read = {id(tensor): tensor for tensor in tensors_in((args, kwargs))}
    plain = {key: tensor.detach() for key, tensor in read.items()}
    args, kwargs = replaced((args, kwargs), lambda tensor: plain[id(tensor)])
    back = {id(plain[key]): tensor for key, tensor in read.items()}
    return replaced(func(*args, **kwargs), lambda tensor: back.get(id(tensor), tensor))


def gives_memory(func: Any) -> bool:
    """Whether an operation returns uninitialised memory or an unknown storage."""
    if not isinstance(func, OpOverload):
        return False
    return describe(func).rule is factories.unwritten or func._overloadname.startswith("source_Storage")


def strideless(tensor: Tensor) -> str:
    """A description of a tensor whose elements do not lie at strides; empty for any other."""
    if tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta):
        return ""
    return "nested" if tensor.is_nested else f"{tensor.layout} {tensor.dtype} on {tensor.device}"
