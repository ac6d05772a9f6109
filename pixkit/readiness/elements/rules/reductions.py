"""Operations that read whole axes: sums, means, extremes, norms, orders, prefixes."""

import torch

from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, CodeRule, Given


def _dims(given: Given, name: str = "dim") -> list[int] | None:
    dims = given.arguments.get(name)
    return None if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)


def _reduced(given: Given) -> Code:
    if "other" in given:
        return codes.join(given.code("self"), given.code("other"))
    return codes.latest(given.code("self"), _dims(given)).reshape(given.shape)


def _deciding(value: bool) -> CodeRule:
    """A reduction that one fixed element decides, if it is 0 or, for `value`, if it is not."""

    def decided(given: Given) -> Code:
        marks: Marks = given["self"]
        dims = _dims(given)
        found = codes.latest(given.code("self"), dims)
        decisive = marks.fixed & (marks.value.bool() == value)
        return torch.where(codes.latest(decisive.long(), dims) > 0, 0, found).reshape(given.shape)

    return decided


def _prefix(given: Given) -> Code:
    code = given.code("self")
    return torch.cummax(code, given["dim"]).values if code.numel() else code


def _product_so_far(given: Given) -> Code:
    marks: Marks = given["self"]
    if not marks.ready.numel():
        return given.code("self")
    absorbed = torch.cummax(marks.where_fixed(0).long(), given["dim"]).values > 0
    return torch.where(absorbed, 0, _prefix(given))


def _along(given: Given) -> Code:
    """Each result reads the whole axis, as in sorting and transforms."""
    return codes.latest(given.code("self"), _dims(given))


def _drawn(given: Given) -> Code:
    """Random class numbers, which are not fixed even if the probabilities are."""
    return codes.latest(given.code("self"), [-1]).clamp_min(1)


def _all_of_it(given: Given) -> Code:
    """Every result reads every tensor entirely."""
    read = (codes.whole(codes.of(m)) for m in given.call.marks if m.ready.numel())
    return codes.join(torch.zeros((), dtype=torch.int64), *read)


def _trace(given: Given) -> Code:
    return codes.latest(given.code("self").diagonal())[0]


def _renorm(given: Given) -> Code:
    code = given.code("self")
    return codes.latest(code, [d for d in range(code.dim()) if d != given["dim"] % code.dim()])


def _weight_norm(given: Given) -> list[Code]:
    """Weights [v / |v|] g, where the norm is over all dimensions but one, and |v|."""
    v, kept = given.code("v"), given["dim"]
    norm = codes.latest(v, None if kept == -1 else [d for d in range(v.dim()) if d != kept % v.dim()])
    zero = given["v"].where_fixed(0)
    return [torch.where(zero, 0, codes.join(norm, given.code("g"))), norm]


REDUCTIONS = (
    *(
        "sum",
        "mean",
        "nansum",
        "std",
        "var",
        "std_mean",
        "var_mean",
        "count_nonzero",
        "logsumexp",
        "norm",
        "linalg_vector_norm",
    ),
    *("amax", "amin", "aminmax", "max", "min", "argmax", "argmin", "median", "nanmedian", "mode", "kthvalue"),
    *("_is_all_true", "_is_any_true", "hash_tensor"),
)
PREFIXES = ("cumsum", "cummax", "cummin", "logcumsumexp")
ALONG = ("sort", "topk", "msort", "argsort")
ALL = (
    *(
        "histc",
        "bincount",
        "_histogramdd_bin_edges",
        "_histogramdd_from_bin_cts",
        "_histogramdd_from_bin_tensors",
        "histogram",
    ),
    *("dist", "equal", "linalg_lstsq", "_ctc_loss", "multi_margin_loss", "multilabel_margin_loss_forward"),
)
RULES = codes.table(
    {
        **dict.fromkeys(REDUCTIONS, _reduced),
        **dict.fromkeys(PREFIXES, _prefix),
        **dict.fromkeys(ALONG, _along),
        **dict.fromkeys(ALL, _all_of_it),
        **{"prod": _deciding(False), "any": _deciding(True), "all": _deciding(False), "cumprod": _product_so_far},
        **{"trace": _trace, "renorm": _renorm, "multinomial": _drawn, "_weight_norm_interface": _weight_norm},
    }
)
