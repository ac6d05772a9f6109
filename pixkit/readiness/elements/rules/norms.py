"""Normalisation: means and variances over axes, then a scale and a shift for each element."""

import torch

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given


def _scaled(normal: Code, given: Given, shape: list[int] | torch.Size) -> Code:
    """Times the weight, in which a fixed 0 absorbs, plus the bias; both reshaped to the shape, if present."""
    weight, bias = given.optional("weight", 0), given.optional("bias")
    normal = normal if weight is None else codes.product(normal, weight.reshape(shape))
    return normal if bias is None else codes.join(normal, bias.reshape(shape))


def _layer_norm(given: Given) -> list[Code]:
    code, count = given.code("input"), len(given["normalized_shape"])
    over = codes.latest(code, range(code.dim() - count, code.dim()))
    normal = _scaled(over.expand(code.shape), given, code.shape[code.dim() - count :])
    return [normal, *[over] * (len(given.call.results) - 1)]


def _group_norm(given: Given) -> list[Code]:
    code, groups = given.code("input"), given["group"]
    batch, channels = code.shape[:2]
    over = codes.latest(code.reshape(batch, groups, code.shape[2:].numel() * (channels // groups)), [2])
    normal = over.expand(batch, groups, channels // groups).reshape(batch, channels, *[1] * (code.dim() - 2))
    normal = _scaled(normal.expand(code.shape), given, [channels, *[1] * (code.dim() - 2)])
    return [normal, over[..., 0], over[..., 0]]


def _batch_norm(given: Given) -> list[Code]:
    """By the batch's statistics or, in evaluation mode, by running ones."""
    code = given.code("input")
    each = [code.shape[1], *[1] * (code.dim() - 2)]
    over = codes.latest(code, [d for d in range(code.dim()) if d != 1])
    if training(given):
        normal = over.expand(code.shape)
    else:
        mean, var = given.code("running_mean"), given.code("running_var")
        normal = codes.join(code, mean.view(each), var.view(each))
    normal = _scaled(normal, given, each)
    statistics = over.reshape(-1)
    rest = [statistics if result.numel() == len(statistics) else statistics.amax() for result in given.call.results[1:]]
    return [normal, *rest]


def training(given: Given) -> bool:
    """Whether a batch norm uses the statistics of its batch."""
    if given.arguments.get("running_mean") is None:
        return True
    return bool(
        given.arguments.get(
            "training", "update" in given.call.func.__name__ and "no_update" not in given.call.func.__name__
        )
    )


RULES = codes.table(
    {
        **dict.fromkeys(("native_layer_norm", "_fused_rms_norm", "layer_norm", "rms_norm"), _layer_norm),
        "native_group_norm": _group_norm,
        **dict.fromkeys(
            (
                "native_batch_norm",
                "_native_batch_norm_legit",
                "_native_batch_norm_legit_functional",
                "_native_batch_norm_legit_no_training",
            ),
            _batch_norm,
        ),
        **dict.fromkeys(
            ("_batch_norm_with_update", "_batch_norm_no_update", "_batch_norm_with_update_functional"), _batch_norm
        ),
    }
)
