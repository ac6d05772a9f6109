"""The arguments whose values decide the shapes or numbers that an operation returns."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from pixkit.readiness.elements.marks import Call, Marks, marks_in


def _masks(call: Call) -> Iterable[Marks]:
    """For an index, the masks: they decide how many elements are picked. Integers only decide which."""
    return [each for each in marks_in(call.argument(1, "indices")) if each.value.dtype in (torch.bool, torch.uint8)]


def _argument(place: int, name: str) -> Callable[[Call], Iterable[Marks]]:
    return lambda call: marks_in(call.argument(place, name))


DECIDING: dict[str, Callable[[Call], Iterable[Marks]]] = {
    **dict.fromkeys(("index", "_unsafe_index"), _masks),
    "masked_select": _argument(1, "mask"),
    "_nested_tensor_from_mask_left_aligned": _argument(1, "mask"),
    "_pack_padded_sequence": _argument(1, "lengths"),
    "_pad_packed_sequence": _argument(1, "batch_sizes"),
}


def deciding(func: Any, call: Call) -> list[Marks]:
    """The arguments that decide the numbers, or the value-dependent shapes, that an operation returns."""
    return list(DECIDING.get(func.overloadpacket.__name__, lambda call: call.marks)(call))
