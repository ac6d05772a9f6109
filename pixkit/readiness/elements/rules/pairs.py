"""Operations that read rows against rows, or whole matrices: distances, losses, transforms, linear algebra."""

import torch

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given
from pixkit.readiness.elements.rules.contraction import contract


def _distances(given: Given) -> Code:
    """Between each row of one and each of the other."""
    one, other = (codes.latest(given.code(name), [-1]) for name in ("x1", "x2"))
    return codes.join(one, other.mT)


def _distances_within(given: Given) -> Code:
    rows = codes.latest(given.code("self"), [-1])[:, 0]
    first, second = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
    return codes.join(rows[first], rows[second])


def _loss(given: Given) -> Code:
    """Element by element, then usually a sum or mean over all."""
    joined = codes.join(*(given.optional(name) for name in ("self", "target", "weight", "pos_weight")))
    return joined if given["reduction"] == 0 else codes.whole(joined)


def _likelihoods(given: Given) -> list[Code]:
    """The log-probability of the target class at each position; a target such as -100 skips one."""
    scores, target, weight = given.code("self"), given["target"], given.optional("weight")
    axis = 0 if scores.dim() == 1 else 1
    told = codes.join(codes.of(target), codes.latest(scores, [axis]).squeeze(axis))
    told = told if weight is None else codes.join(told, codes.whole(weight))
    total = codes.whole(codes.of(target))
    total = total if weight is None else codes.join(total, codes.whole(weight))
    return [told if given["reduction"] == 0 else codes.whole(told), total]


def _matrices(given: Given) -> list[Code]:
    """Functions of whole matrices, separately for each of a batch; vector operands are read entirely."""
    told = []
    for marks in given.call.marks:
        code = codes.of(marks)
        told.append(codes.latest(code, range(max(0, code.dim() - 2), code.dim())))
    rank = max(code.dim() for code in told)
    together = codes.join(*(code.reshape((*[1] * (rank - code.dim()), *code.shape)) for code in told))
    return [_of_batch(together, result) for result in given.call.results]


def _substituted(given: Given) -> Code:
    """Row by row, X where A X = B with A lower triangular: a row reads the earlier rows for which A is not zero."""
    a, b, upper = given.code("self", 0), given.code("B"), given["upper"]
    if not given["left"]:
        a, b, upper = a.mT, b.mT, not upper
    if upper:
        a, b = a.flip(-2, -1), b.flip(-2)
    batch = codes.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    found = b.expand(*batch, *b.shape[-2:]).clone()
    for i in range(a.shape[-1]):
        divisor = None if given["unitriangular"] else a[..., i, i, None]
        before = contract(a[..., i, None, :i], found[..., :i, :])[..., 0, :]
        found[..., i, :] = codes.join(found[..., i, :], before, divisor)
    found = found.flip(-2) if upper else found
    return found if given["left"] else found.mT


def _of_batch(together: Code, result: torch.Tensor) -> Code:
    """Codes [..., 1, 1] of a batch for a result whose first dimensions are the batch's, followed by 0 to 2 more."""
    batch = together.shape[:-2]
    if result.shape[: len(batch)] != batch:
        return together.amax()
    return together.reshape((*batch, *[1] * (result.dim() - len(batch))))


def _fourier(given: Given) -> Code:
    """Along some axes, each result reads everything."""
    code, dims = given.code("self"), given["dim"]
    return codes.latest(code, dims) if dims else code


def _cross(given: Given) -> Code:
    """Each component reads the two others."""
    code = codes.join(given.code("self"), given.code("other"))
    return torch.maximum(code.roll(1, given["dim"]), code.roll(2, given["dim"]))


def _segments(given: Given) -> Code:
    """Sums, or the like, of segments along an axis, whose bounds may be anywhere."""
    code, axis = given.code("data"), given["axis"]
    bounds = [codes.whole(codes.of(m)) for m in given.call.marks[1:]]
    return codes.join(codes.latest(code, [axis]), *bounds)


def _pairwise_any(given: Given) -> Code:
    """Whether each element is among those of the other tensor."""
    tests = given.code("test_elements" if "test_elements" in given else "test_element")
    elements = given.code("elements" if "elements" in given else "element")
    return codes.join(elements, codes.whole(tests))


LOSSES = (
    "mse_loss",
    "smooth_l1_loss",
    "huber_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "soft_margin_loss",
)
MATRICES = (
    *(
        "linalg_inv_ex",
        "_linalg_solve_ex",
        "linalg_qr",
        "_linalg_svd",
        "_linalg_det",
        "_linalg_slogdet",
        "_linalg_eigh",
    ),
    *(
        "linalg_cholesky_ex",
        "linalg_eig",
        "linalg_matrix_exp",
        "linalg_lu_factor_ex",
        "linalg_lu",
    ),
    *(
        "linalg_ldl_factor_ex",
        "linalg_ldl_solve",
        "linalg_lu_solve",
        "linalg_pinv",
        "linalg_householder_product",
    ),
    *(
        "cholesky_solve",
        "cholesky_inverse",
        "triangular_solve",
        "geqrf",
        "ormqr",
        "lu_unpack",
        "cholesky",
        "_linalg_eigvals",
    ),
    *("linalg_eigvals",),
)
RULES = codes.table(
    {
        **dict.fromkeys(("_cdist_forward", "_euclidean_dist", "cdist"), _distances),
        **dict.fromkeys(LOSSES, _loss),
        **dict.fromkeys(("nll_loss_forward", "nll_loss2d_forward"), _likelihoods),
        **dict.fromkeys(MATRICES, _matrices),
        **dict.fromkeys(("_fft_c2c", "_fft_r2c", "_fft_c2r"), _fourier),
        **{
            "_pdist_forward": _distances_within,
            "linalg_cross": _cross,
            "linalg_solve_triangular": _substituted,
            "segment_reduce": _segments,
            "isin": _pairwise_any,
        },
    }
)
