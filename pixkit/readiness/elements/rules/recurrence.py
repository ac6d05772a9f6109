"""Recurrent layers that torch runs as a whole: prefix maxima along time."""

import torch

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given


def _layer(given: Given) -> list[Code]:
    """One layer in one direction over [T, N, features]: outputs, last states, and the kernel's workspace.

    All features of a step mix, both in its state and in its output.
    """
    states = [codes.latest(given.code(name), [-1]) for name in ("hx_", "cx_")]
    weights = [codes.whole(given.code(f"weight{i}")) for i in range(4)]
    steps = codes.join(codes.latest(given.code("input"), [-1]), *states, *weights)
    steps = steps.flip(0) if given["reverse"] else steps
    prefix = torch.cummax(steps, 0).values
    last = prefix[-1]
    out = prefix.flip(0) if given["reverse"] else prefix
    return [out, last, last, last.amax()][: len(given.call.results)]


def _cell(given: Given) -> list[Code]:
    """A cell whose gates are already summed."""
    features = [
        given.optional(name) for name in ("input_gates", "hidden_gates", "hx", "cx", "input_bias", "hidden_bias")
    ]
    mixed = codes.join(*(codes.latest(code, [-1]) for code in features if code is not None))
    return [mixed] * len(given.call.results)


RULES = codes.table(
    {"mkldnn_rnn_layer": _layer, **dict.fromkeys(("_thnn_fused_gru_cell", "_thnn_fused_lstm_cell"), _cell)}
)
