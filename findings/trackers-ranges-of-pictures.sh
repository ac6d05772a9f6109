#!/usr/bin/env bash
# The same picture is right in one tracker, and black or two levels in the other, unless it is of uint8.
#
# Expected: whole numbers 0..255 of any type are levels, and floats 0..1 are shades, in both.
# Seen with torch 2.13.0 (torch.utils.tensorboard, tensorboard 2.21.0) and wandb 0.31.0: TensorBoard's add_image takes
# everything but uint8 as shades of 0..1, multiplies by 255 and clips. Levels as int64, in which categorical models hold
# their pixels, become 0 and 255; shades of -1..1 lose all below 0. wandb.Image takes everything as levels (as its
# docstring says; older versions scaled), cuts floats down and other integers to their low byte: shades of 0..1 are black,
# and 16-bit levels wrap. Neither warns. Of uint8 both keep all 256 levels. Whoever logs pictures to both has to
# make uint8 of them first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 tensorboard==2.21.0 wandb==0.31.0 numpy==2.4.6 pillow==12.3.0
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import io
import sys

import numpy as np
import wandb
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

levels = np.arange(256)[:, None]
pictures = {
    "uint8, 0..255": levels.astype(np.uint8),
    "int64, 0..255": levels.astype(np.int64),
    "float32, 0..1": (levels / 255).astype(np.float32),
    "float32, -1..1": (levels / 127.5 - 1).astype(np.float32),
    "uint16, 0..4080": (levels * 16).astype(np.uint16),
}
with SummaryWriter("events") as writer:
    for name, picture in pictures.items():
        writer.add_image(name, picture, dataformats="HW")
events = EventAccumulator("events").Reload()
found = {}
for name, picture in pictures.items():
    with Image.open(io.BytesIO(events.Images(name)[0].encoded_image_string)) as image:
        board = np.asarray(image.convert("L"))
    # What negative floats are as uint8 is the processor's affair.
    shown = None if picture.min() < 0 else np.asarray(wandb.Image(picture).image)
    found[name] = tuple(one if one is None else (len(np.unique(one)), int(one.max())) for one in (board, shown))
    print(f"{name}: TensorBoard {found[name][0]}, wandb {found[name][1]} (levels, the highest)")
before = {
    "uint8, 0..255": ((256, 255), (256, 255)),
    "int64, 0..255": ((2, 255), (256, 255)),
    "float32, 0..1": ((256, 255), (2, 1)),
    "float32, -1..1": ((129, 255), None),
    "uint16, 0..4080": ((2, 255), (16, 240)),
}
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# uint8, 0..255: TensorBoard (256, 255), wandb (256, 255) (levels, the highest)
# int64, 0..255: TensorBoard (2, 255), wandb (256, 255) (levels, the highest)
# float32, 0..1: TensorBoard (256, 255), wandb (2, 1) (levels, the highest)
# float32, -1..1: TensorBoard (129, 255), wandb None (levels, the highest)
# uint16, 0..4080: TensorBoard (2, 255), wandb (16, 240) (levels, the highest)
# as before
