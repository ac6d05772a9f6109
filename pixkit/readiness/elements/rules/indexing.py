"""Operations that read elements at indices that are themselves values.

Fixed indices make it a move. If an index is not fixed, any element of the source along that axis may be read.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given

aten = torch.ops.aten


def known(index: Marks) -> Tensor:
    """The indices, with 0 where they are not fixed."""
    return torch.where(index.fixed, index.value, 0)


def is_mask(index: Marks) -> bool:
    """Whether an index is a mask."""
    return index.value.dtype in (torch.bool, torch.uint8)


def integers(indices: Sequence[Marks | None]) -> list[Marks | None]:
    """Indices with fixed masks converted to the integers where they are true."""
    found: list[Marks | None] = []
    for index in indices:
        if index is None or not is_mask(index):
            found.append(index)
        else:
            found += [_fixed(places) for places in index.value.nonzero(as_tuple=True)]
    return found


def _fixed(value: Tensor) -> Marks:
    return Marks(torch.zeros_like(value), torch.ones_like(value, dtype=torch.bool), value)


def _index(given: Given) -> Code:
    code, indices = given.code("self"), given["indices"]
    told = [codes.whole(codes.of(i)) for i in indices if i is not None and is_mask(i) and not i.all_fixed]
    if told:
        return codes.join(codes.whole(code), *[codes.whole(codes.of(i)) for i in indices if i is not None])
    places = integers(indices)
    moved = aten.index(code, [None if i is None else known(i) for i in places])
    if all(i is None or i.all_fixed for i in places):
        return moved
    axes = [d for d, i in enumerate(places) if i is not None]
    anywhere = aten.index(codes.latest(code, axes), [None if i is None else torch.zeros_like(i.value) for i in places])
    index = codes.join(*[codes.of(i) for i in places if i is not None])
    together = axes == list(range(axes[0], axes[-1] + 1))
    before = axes[0] if together else 0
    index = index.view(*[1] * before, *index.shape, *[1] * (moved.dim() - before - index.dim()))
    return torch.where(index > 0, codes.join(anywhere, index), moved)


def _gather(given: Given) -> Code:
    code, dim, index = given.code("self"), given["dim"], given["index"]
    moved = torch.gather(code, dim, known(index))
    anywhere = torch.gather(codes.latest(code, [dim] if code.dim() else None), dim, torch.zeros_like(index.value))
    return _read(moved, anywhere, codes.of(index))


def _read(moved: Code, anywhere: Code, index: Code) -> Code:
    return torch.where(index > 0, codes.join(anywhere, index), moved)


def _index_select(given: Given) -> Code:
    code, dim, index = given.code("self"), given["dim"], given["index"]
    if not code.dim():
        return codes.join(code, codes.of(index).amax())
    moved = code.index_select(dim, known(index))
    told = codes.of(index).reshape(-1, *[1] * (code.dim() - 1 - dim % code.dim()))
    return _read(moved, codes.latest(code, [dim]), told)


def _take(given: Given) -> Code:
    code, index = given.code("self").reshape(-1), given["index"]
    return _read(code.take(known(index)), codes.latest(code)[0], codes.of(index))


def _embedding(given: Given) -> Code:
    weight, index = given.code("weight"), given["indices"]
    return _read(weight[known(index)], codes.latest(weight, [0])[0], codes.of(index)[..., None])


def _renormed(given: Given) -> Code:
    """Rows that are looked up are rescaled; which rows these are depends on all indices."""
    return codes.join(codes.latest(given.code("self"), [-1]), codes.whole(given.code("indices")))


def _embedding_bag(given: Given) -> list[Code]:
    """Sums, means or maxima of rows of a table; the other results concern bags and sizes."""
    weight, index, offsets = given.code("weight"), given["indices"], given["offsets"]
    told = codes.of(index)[:, None]
    rows = _read(weight[known(index)], codes.latest(weight, [0]), told)
    scale = given.optional("per_sample_weights", 0)
    rows = rows if scale is None else codes.product(rows, scale[:, None])
    rest = codes.join(codes.whole(told), codes.whole(codes.of(offsets)))
    results = given.call.results
    if not offsets.all_fixed:
        return [codes.join(codes.latest(rows, [0]), rest)] + [rest] * (len(results) - 1)
    starts = offsets.value[: results[0].shape[0]].long()
    bag = torch.searchsorted(starts, torch.arange(len(rows), device=rows.device), right=True) - 1
    bags = rows.new_zeros(results[0].shape).scatter_reduce(0, bag[:, None].expand_as(rows), rows, "amax")
    places = codes.whole(weight) if given["mode"] == 2 else rest
    return [bags, rest, rest, codes.join(rest, places, codes.whole(rows))][: len(results)]


def _masked_select(given: Given) -> Code:
    code, mask = given.code("self"), given["mask"]
    if mask.all_fixed:
        return code.masked_select(mask.value)
    return codes.join(codes.whole(code), codes.whole(codes.of(mask)))


def _searched(given: Given) -> Code:
    """Where a value would stand among those of a row."""
    name = "boundaries" if "boundaries" in given else "sorted_sequence"
    row = codes.latest(given.code(name), [-1])
    sorter = given.optional("sorter")
    row = row if sorter is None else codes.join(row, codes.latest(sorter, [-1]))
    if row.dim() == 1:
        row = row[0]
    return codes.join(given.code("self"), row)


def _everywhere(given: Given) -> Code:
    """The result depends on all of it, even its size."""
    return codes.whole(given.code("self"))


SHAPED = (
    "nonzero",
    "nonzero_static",
    "argwhere",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "unique_dim_consecutive",
)
RULES = codes.table(
    {
        **dict.fromkeys(("index", "_unsafe_index"), _index),
        **{"gather": _gather, "index_select": _index_select, "take": _take},
        **{
            "embedding": _embedding,
            "embedding_renorm": _renormed,
            "_embedding_bag": _embedding_bag,
            "_embedding_bag_forward_only": _embedding_bag,
        },
        **{"masked_select": _masked_select, "searchsorted": _searched, "bucketize": _searched},
        **dict.fromkeys(SHAPED, _everywhere),
    }
)
