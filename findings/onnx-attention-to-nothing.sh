#!/usr/bin/env bash
# A causal network exported to ONNX shows its first pixel the mean of the whole image.
#
# Expected: torch.onnx.export keeps scaled_dot_product_attention as it is: with a boolean mask for strictly earlier pixels the first pixel,
# which may look at nothing, gets zeros (torch since 2.5), and what it foretells does not depend on the image.
# Seen with torch 2.13.0, onnxscript 0.7.2 and onnxruntime 1.32.0 on a CPU: the exporter's decomposition for opsets below 23, 20 being its default
# among them, writes the smallest finite number where the mask is false, so that the softmax of a row without any True is uniform: the first
# row is the mean of all values, itself and later pixels included. Everything else agrees to 1e-6, and no NaN shows it. A mask of -inf gives NaN
# there, which torch turns into zeros. With opset_version=23, which has an operator for attention, both masks give zeros. The
# older exporter (dynamo=False) has zeros for booleans and NaN for -inf. Checks of an exported network on one image to a tolerance find the
# first row only if the reference has it too; a swap of later pixels finds it at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 \
    onnxruntime==1.32.0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - "$folder/network.onnx" 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys

import onnx
import onnxruntime
import torch

failures = []
LENGTH = 6


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


class Attention(torch.nn.Module):
    def __init__(self, booleans):
        super().__init__()
        earlier = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril(-1)
        self.register_buffer("mask", earlier if booleans else torch.zeros(LENGTH, LENGTH).masked_fill(~earlier, -torch.inf))

    def forward(self, query, key, value):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)


def kind(row, values):
    if row.isnan().any():
        return "NaN"
    if not row.any():
        return "zeros"
    return "mean of all" if torch.allclose(row, values.mean(-2), atol=1e-5) else "other"


def exported(net, inputs, **options):
    torch.onnx.export(net, inputs, sys.argv[1], input_names=["query", "key", "value"], verbose=False, **options)
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    fed = {name: tensor.numpy() for name, tensor in zip(("query", "key", "value"), inputs)}
    return torch.from_numpy(session.run(None, fed)[0]), {each.domain: each.version for each in onnx.load(sys.argv[1]).opset_import}[""]


torch.manual_seed(0)
inputs = tuple(torch.randn(3, 1, 2, LENGTH, 8))
for booleans in (True, False):
    net = Attention(booleans).eval()
    right = net(*inputs)
    name = "booleans" if booleans else "-inf"
    expect(f"mask of {name}, torch", kind(right[..., 0, :], inputs[2]), "zeros")
    for options, before in (({}, ("mean of all", "NaN")), ({"opset_version": 18}, ("mean of all", "NaN")),
                            ({"opset_version": 23}, ("zeros", "zeros")), ({"dynamo": False, "opset_version": 20}, ("zeros", "NaN"))):
        got, opset = exported(net, inputs, **options)
        expect(f"mask of {name}, {options}, opset {opset}", kind(got[..., 0, :], inputs[2]), before[not booleans])
        expect("    the other rows agree", torch.allclose(got[..., 1:, :], right[..., 1:, :], atol=1e-5), True)
sys.exit(bool(failures))
PYTHON
