"""Operations that write elements at indices that are themselves values, and return the whole tensor.

With fixed indices, exactly those positions are written. If an index is not fixed, any element along that axis may be
written.
"""

from collections.abc import Sequence

import torch

from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given
from pixkit.readiness.elements.rules.indexing import integers, is_mask, known

aten = torch.ops.aten


def _scattered(given: Given) -> Code:
    """Along one axis; the old contents count where they are added to, or where nothing is written."""
    code, dim, index = given.code("self"), given["dim"], given["index"]
    source = given.code("src") if "src" in given else given.code("value")
    if not code.dim():
        code, index = code[None], Marks(index.ready.reshape(1), index.fixed.reshape(1), index.value.reshape(1))
        source = source.reshape(1)
    shape = index.ready.shape
    source = source[tuple(slice(n) for n in shape)] if source.dim() else source.expand(shape)
    added = given.arguments.get("reduce") is not None or given.call.func.__name__.startswith("scatter_add")
    added &= given.arguments.get("include_self", True)
    if index.all_fixed:
        found = code.scatter_reduce(dim, index.value, source, "amax", include_self=added)
    else:
        line = codes.latest(codes.join(source, codes.of(index)), [dim])
        there = tuple(slice(None) if d == dim % code.dim() else slice(n) for d, n in enumerate(shape))
        found = code.clone()
        found[there] = codes.join(found[there], line) if line.numel() else found[there]
    return found.reshape(given.shape)


def _rows_written(given: Given) -> Code:
    """Whole rows along one axis: `index_add`, `index_copy`, `index_reduce`, `index_fill`."""
    code, dim, index = given.code("self"), given["dim"], given["index"]
    source = given.code("source") if "source" in given else given.code("value")
    if not code.dim():
        return codes.join(code, source.reshape(()), codes.whole(codes.of(index)))
    place = codes.of(index).reshape(-1, *[1] * (code.dim() - 1 - dim % code.dim()))
    source = source.reshape(-1, *[1] * (code.dim() - 1)) if "source" in given and source.dim() == 0 else source
    rows = source.expand(*code.shape[: dim % code.dim()], index.ready.numel(), *code.shape[dim % code.dim() + 1 :])
    if index.all_fixed:
        name = given.call.func.__name__.split(".")[0]
        added = name == "index_add" or (name == "index_reduce" and given["include_self"])
        where = index.value.reshape(place.shape).expand(rows.shape)
        return code.scatter_reduce(dim, where, rows, "amax", include_self=added)
    return codes.join(code, codes.latest(codes.join(rows, place), [dim]))


def _index_put(given: Given) -> Code:
    """At positions given by several indices; a mask counts for as many indices as it has axes."""
    code, indices, values = given.code("self"), given["indices"], given.code("values")
    unknown = [i for i in indices if i is not None and is_mask(i) and not i.all_fixed]
    if unknown:
        return _masked_put(code, indices, values)
    places = integers(indices)
    told = [i for i in places if i is not None]
    if all(i.all_fixed for i in told):
        return _put(code, [None if i is None else i.value for i in places], values, bool(given["accumulate"]))
    return codes.join(code, _anywhere(code, places, values))


def _anywhere(code: Code, places: Sequence[Marks | None], values: Code) -> Code:
    """Writes at indices that are not fixed: along axes without an index each value keeps its position."""
    axes = [d for d, i in enumerate(places) if i is not None]
    told = codes.join(*[codes.whole(codes.of(i)) for i in places if i is not None])
    kept = code.dim() - axes[-1] - 1 if axes == list(range(axes[0] + 1)) else 0
    values = codes.latest(values, range(values.dim() - kept)) if values.dim() > kept else values
    return codes.join(told, values.reshape(values.shape[max(0, values.dim() - kept) :]))


def _masked_put(code: Code, indices: Sequence[Marks | None], values: Code) -> Code:
    """By a mask that is not fixed: a single value is written or not; of several, each may be written anywhere."""
    mask = indices[0]
    rest = code.dim() - (0 if mask is None else mask.ready.dim())
    if mask is not None and all(i is None for i in indices[1:]) and (values.numel() == 1 or values.dim() <= rest):
        chosen = codes.of(mask).reshape(*mask.ready.shape, *[1] * rest)
        return codes.join(code, chosen, values.reshape(()) if values.numel() == 1 else values)
    told = [codes.whole(codes.of(i)) for i in indices if i is not None]
    return codes.join(code, codes.whole(values), *told)


def _put(code: Code, places: list[torch.Tensor | None], values: Code, added: bool) -> Code:
    addresses = torch.arange(code.numel(), device=code.device).view(code.shape)
    flat = aten.index(addresses, places)
    source = values.expand(flat.shape).reshape(-1)
    return code.reshape(-1).scatter_reduce(0, flat.reshape(-1), source, "amax", include_self=added).view(code.shape)


def _flat_put(given: Given) -> Code:
    """At indices of the flattened tensor."""
    code, index, source = given.code("self"), given["index"], given.code("source")
    if not index.all_fixed:
        return codes.join(code, codes.whole(codes.join(source.reshape(-1), codes.of(index).reshape(-1))))
    return _put(code.reshape(-1), [known(index).reshape(-1)], source.reshape(-1), given["accumulate"]).view(code.shape)


def _masked_scatter(given: Given) -> Code:
    """Values of the source, one after another, where a mask is true: which one depends on the mask so far."""
    code, source, mask = given.code("self"), given.code("source").reshape(-1), given["mask"]
    code = code.expand(given.shape)
    if mask.all_fixed:
        return code.masked_scatter(mask.value, source)
    told = codes.of(mask).expand(given.shape).reshape(-1)
    if not told.numel():
        return code
    read = torch.cummax(source, 0).values[torch.arange(len(told), device=code.device).clamp_max(len(source) - 1)]
    return codes.join(code, codes.join(torch.cummax(told, 0).values, read).view(given.shape))


RULES = codes.table(
    {
        **dict.fromkeys(("scatter", "scatter_add", "scatter_reduce"), _scattered),
        **dict.fromkeys(("index_add", "index_copy", "index_reduce", "index_fill"), _rows_written),
        **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put"), _index_put),
        **{"put": _flat_put, "masked_scatter": _masked_scatter},
    }
)
