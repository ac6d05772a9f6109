#!/usr/bin/env bash
# An activation's float32 result depends on what else is in the tensor, and on how the tensor lies in memory.
#
# Expected: torch.sigmoid, F.silu, F.softplus, F.elu and F.gelu are elementwise, so an element's result is a function
# of that element alone, the same bits in any batch and any layout.
# Seen with torch 2.13.0 on a CPU with AVX2 or AVX-512: the last elements of a tensor, and all of a strided view, are
# computed by other code than the rest.
#   - An image of 5 x 7 x 7 alone and the same image in a batch of three differ by one unit in the last place at a few
#     elements under SiLU, softplus and sigmoid (with AVX-512); tanh and exp agree bit for bit.
#   - Of 100,000 normal deviates about a third get other GELU values when they are read through a stride. At -3 the
#     contiguous result is off by 1.3e-4 of itself, the strided one by 1e-6 (relative to float64). Below -5.6 both are 0.
#   - GELU(inf) is inf for a tensor of one element, and NaN for one of sixteen.
# Whoever compares a cached sampler with whole forward passes, or a batch with single images, compares these too: only
# float64 results, or a tolerance, can be asked to agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
capability = torch.backends.cpu.get_cpu_capability()
print("torch", torch.__version__.split("+")[0], capability)
if capability not in ("AVX2", "AVX512"):
    print("seen on AVX2 and AVX-512 only; nothing is said of this processor")
    sys.exit(0)
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


wide = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0)) * 3
packed, strided = wide[:, 0].contiguous(), wide[:, 0]
gelu = int((F.gelu(packed) != F.gelu(strided)).sum())
expect(f"GELU differs between a contiguous tensor and a strided view at {gelu} of 100000 elements", gelu > 10_000)
for name, function in {"sigmoid": torch.sigmoid, "silu": F.silu, "softplus": F.softplus, "elu": F.elu}.items():
    count = int((function(packed) != function(strided)).sum())
    expect(f"{name} differs at {count}", count > 500)
for name, function in {"tanh": torch.tanh, "exp": torch.exp}.items():
    expect(f"{name} agrees everywhere", torch.equal(function(packed), function(strided)))

many = torch.full((64, 2), -3.0)
exact = F.gelu(many.double())[0, 0].item()
errors = [abs(F.gelu(x)[0].item() / exact - 1) for x in (many[:, 0].contiguous(), many[:, 0])]
expect(f"GELU(-3): relative error {errors[0]:.1e} contiguous, {errors[1]:.1e} strided", errors[0] > 5e-5 > errors[1])

one, sixteen = (F.gelu(torch.full((n,), torch.inf))[0].item() for n in (1, 16))
expect(f"GELU(inf) is {one} in a tensor of one element and {sixteen} in one of sixteen", one > 0 and sixteen != sixteen)

image = torch.randn(1, 5, 7, 7, generator=torch.Generator().manual_seed(0))
batch = image.repeat(3, 1, 1, 1)
moved = {f.__name__: int((f(image) != f(batch)).sum()) for f in (F.silu, F.softplus, torch.sigmoid, torch.tanh)}
print("elements that differ between an image alone and in a batch of three:", moved)
if capability == "AVX512":
    expect("SiLU, softplus and sigmoid of an image depend on the batch", min(list(moved.values())[:3]) > 0)
expect("tanh does not", moved["tanh"] == 0)
sys.exit(bool(failures))
PYTHON
# The output seen:
# torch 2.13.0 AVX512
# as before: GELU differs between a contiguous tensor and a strided view at 35014 of 100000 elements
# as before: sigmoid differs at 4042
# as before: silu differs at 4147
# as before: softplus differs at 11055
# as before: elu differs at 3986
# as before: tanh agrees everywhere
# as before: exp agrees everywhere
# as before: GELU(-3): relative error 1.3e-04 contiguous, 1.4e-06 strided
# as before: GELU(inf) is inf in a tensor of one element and nan in one of sixteen
# elements that differ between an image alone and in a batch of three: silu 4, softplus 7, sigmoid 4, tanh 0
