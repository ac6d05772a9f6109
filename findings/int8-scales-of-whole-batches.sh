#!/usr/bin/env bash
# A causal network of 8-bit integers that sees later pixels, and the other images of its batch, through one number.
#
# Expected: quantising the linear layers of a causal decoder changes what it computes, not what it reads. In integers it is, if anything, the safer
# choice for a codec: whole numbers are added exactly, in any order, so that encoder (one pass over known images) and decoder (pixel by pixel) agree.
# Seen on a CPU with torch 2.13.0 (torch.ao.quantization.quantize_dynamic, qint8) and onnxruntime 1.32.0 (quantize_dynamic, its defaults): the
# inputs of a layer are scaled by their range, taken over the whole tensor. So the logits of a pixel depend on later pixels, where one of them has the
# largest activation, and on the other images of a batch: the decoder, which has no later pixels yet, finds other probabilities than the encoder at
# most pixels, and an entropy coder's output cannot be read. The probabilities of all images, each scored by itself, do not sum to one; an image's
# nats depend on how a data set is cut into batches. The effect is of the size of the quantisation, so that losses and samples look right.
# torchao 0.18.0's Int8DynamicActivationInt8WeightConfig scales each row for itself: there nothing moves, to the last bit; nor where weights
# alone are quantised, as with torch.float16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchao==0.18.0 \
    onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - 2> errors <<'PYTHON' || { cat errors; exit 1; }
import copy
import itertools
import logging
import sys

import onnxruntime
import torch
import torch.nn.functional as F
from onnxruntime.quantization import quantize_dynamic
from torch import nn
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

logging.disable(logging.WARNING)
torch.manual_seed(0)
torch.set_num_threads(1)
PIXELS, WIDTH = 10, 32
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


class Decoder(nn.Module):
    """A transformer's block over binary pixels; the logits at a pixel are of that pixel, and see those before it."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(3, WIDTH), nn.Parameter(torch.randn(PIXELS, WIDTH))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.back, self.head = nn.Linear(WIDTH, 128), nn.Linear(128, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x):
        h = self.embed(F.pad(x[:, :-1], (1, 0), value=2)) + self.place
        q, k, v = self.qkv(h).chunk(3, -1)
        h = h + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return self.head(h + self.back(F.gelu(self.wide(h))))


plain = Decoder().eval()
images = torch.tensor(list(itertools.product((0, 1), repeat=PIXELS)))  # all 1024
rows = copy.deepcopy(plain)
quantize_(rows, Int8DynamicActivationInt8WeightConfig())
dynamic = {
    kind: torch.ao.quantization.quantize_dynamic(copy.deepcopy(plain), {nn.Linear}, dtype=kind)
    for kind in (torch.qint8, torch.float16)
}
batch = {"x": {0: "batch"}, "logits": {0: "batch"}}
torch.onnx.export(plain, (images,), "plain.onnx", input_names=["x"], output_names=["logits"], dynamic_axes=batch, dynamo=False)
quantize_dynamic("plain.onnx", "int8.onnx")


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    run = onnxruntime.InferenceSession(path, options).run
    return lambda x: torch.from_numpy(run(None, {"x": x.numpy()})[0])


networks = {
    "float32": (plain, False),
    "torch.ao, float16 weights": (dynamic[torch.float16], False),
    "torchao, int8 by rows": (rows, False),
    "onnxruntime, float32": (session("plain.onnx"), False),
    "torch.ao, qint8": (dynamic[torch.qint8], True),
    "onnxruntime, int8": (session("int8.onnx"), True),
}


def nats(logits, x):
    return -logits.double().log_softmax(-1).gather(-1, x[..., None])[..., 0].sum(1)


with torch.no_grad():
    for name, (network, moves) in networks.items():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        other, chosen = 0, images[::16]
        for i in range(PIXELS):  # what a decoder sees: later pixels are not there yet
            seen = network(torch.where(torch.arange(PIXELS) < i, chosen, 0))[:, i]
            other += (seen - network(chosen)[:, i]).abs().amax(1).gt(1e-5).sum().item()
        apart = (nats(together, images) - nats(alone, images)).abs().max().item()
        total = (-nats(alone, images)).exp().sum().item()
        print(f"{name}: {other} of 640 pixels are decoded with other logits; nats alone and in a batch differ by {apart:.1e}; sum {total:.7f}")
        found = other > 320, apart > 1e-3, abs(total - 1) > 1e-6
        expect(f"{name}: {'moves' if moves else 'nothing moves'}", found == (moves,) * 3)
sys.exit(bool(failures))
PYTHON
