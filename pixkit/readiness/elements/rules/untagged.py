"""Element-wise operations that torch does not tag as such, gates over two halves, and checks without a result."""

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given


def _elementwise(given: Given) -> Code:
    return codes.join(*map(codes.of, given.call.marks))


def _gated(given: Given) -> Code:
    """One half times the sigmoid of the other."""
    value, gate = given.code("self", 0).chunk(2, given["dim"])
    return codes.product(value, gate.clamp_min(0))


def _nothing(given: Given) -> list[Code]:
    return []


ELEMENTWISE = (
    *("_prelu_kernel", "hardswish", "log_sigmoid_forward", "complex", "polar", "_add_relu", "_conj_copy"),
    *("rrelu_with_noise", "rrelu_with_noise_functional", "_neg_view_copy"),
)
RULES = codes.table(
    {
        **dict.fromkeys(ELEMENTWISE, _elementwise),
        "glu": _gated,
        **dict.fromkeys(("_linalg_check_errors", "_nested_tensor_from_mask_left_aligned"), _nothing),
    }
)
