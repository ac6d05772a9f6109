#!/usr/bin/env bash
# In 16 bits torchvision turns white into black, and rings round black edges with white: what 8 bits clip, 16 wrap.
#
# Expected: transforms of uint16 images, which decode_image gives for 16-bit PNG files, do what they do for uint8 on a finer scale: 1.0 becomes 65535,
# adjusting by nothing changes nothing, and what a bicubic filter gives beyond the ends is clipped to them. What cannot be done safely is
# refused, as to_dtype(torch.int32, scale=True) of float32 is ("cannot be performed safely").
# Seen with torchvision 0.28.0 and torch 2.13.0 on a CPU: to_dtype(torch.uint16, scale=True) of float32 multiplies by 65535.999, which is 65536 in
# float32; 1.0, and whatever is nearer to it than 2**-17, becomes 0. Every other level survives the way to float32 and back, or is one off. So
# adjust_gamma(x, 1) and adjust_hue(x, 0), which go by that way, blacken all white; v2.ToDtype and convert_image_dtype too. By float64 it is right.
# resize, bicubic or Lanczos, of uint16 is not clipped: beside an edge from black to white black pixels become 64001 and white ones 1534, also
# when shrunk; bilinear is right. uint8 is clipped, and int32 at least can be. Nothing is said. One white pixel suffices, and most
# pictures that were stretched to the full scale have many. Clip in int32 or float64, and convert at the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 pillow==13.0.0
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps torchvision==0.28.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

try:
    import torchvision
except RuntimeError:  # torch's CPU build cannot load the wheel's compiled detection operators, which are not used here
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    import torchvision

from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

print("torchvision", torchvision.__version__)
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


levels = torch.arange(65536, dtype=torch.int32).reshape(1, 256, 256)
deep = levels.to(torch.uint16)
for kind in (torch.float32, torch.float64):
    back = v2.ToDtype(torch.uint16, scale=True)(F.to_dtype(deep, kind, scale=True)).int()
    off = (back - levels).abs()
    name = str(kind).removeprefix("torch.")
    print(f"by {name}: white becomes {back.max() if back[0, -1, -1] else 0}, other levels are off by {off[off < 65535].max()} at most")
    expect(f"by {name}: white is {'black' if kind == torch.float32 else 'white'}", (back[0, -1, -1] == 0) == (kind == torch.float32))
    expect(f"by {name}: every other level is right or one off", off.flatten()[:-1].max() <= 1)
try:
    F.to_dtype(torch.ones(1, 1, 1), torch.int32, scale=True)
    expect("float32 to int32 is refused", False)
except RuntimeError as error:
    expect("float32 to int32 is refused", "safely" in str(error))

half = torch.zeros(1, 8, 8, dtype=torch.int32)
half[..., 4:] = 255
shallow, edge = half.to(torch.uint8), (half * 257).to(torch.uint16)
expect("8 bits, adjust_gamma by 1: nothing changes", torch.equal(F.adjust_gamma(shallow, 1.0), shallow))
expect("16 bits, adjust_gamma by 1: all is black", not F.adjust_gamma(edge, 1.0).int().any())
expect("8 bits, adjust_hue by 0: nothing changes", torch.equal(F.adjust_hue(shallow.expand(3, -1, -1), 0.0), shallow.expand(3, -1, -1)))
expect("16 bits, adjust_hue by 0: all is black", not F.adjust_hue(edge.expand(3, -1, -1), 0.0).int().any())

for size, title in ((16, "enlarged"), (6, "shrunk")):
    for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC, InterpolationMode.LANCZOS):
        few, many = (F.resize(image, [8, size], interpolation=mode)[0, 0].int() for image in (shallow, edge))
        far = (many - few * 257).abs().max().item()
        print(f"{title}, {mode.value}: {many.tolist()}")
        expect(f"{title}, {mode.value}: {'as 8 bits' if mode == InterpolationMode.BILINEAR else 'wrapped'}",
               far < 258 if mode == InterpolationMode.BILINEAR else far > 60_000)
sys.exit(bool(failures))
PYTHON
