#!/usr/bin/env bash
# Lightning Bolts' PixelCNN, which cites the paper, reads the very pixel that it foretells, and those to its right.
#
# Expected: a PixelCNN of arXiv 1606.05328, as its docstring says: masked, so that the output at a pixel depends on
# earlier pixels of the raster alone.
# Seen with lightning-bolts 0.7.0 (its last release) and torch 2.13.0: nothing is masked. One block reads a row of three
# around the pixel and the row above, five blocks (the default) eleven columns, so that the output depends on the pixel
# itself and on later ones of its row, and a network trained by its likelihood copies its input. It is the
# context network of CPC (arXiv 1905.09272, the other reference in the file), whose targets are rows further down.
# The module is loaded by itself, as importing the package asks for torchvision; only the decorator by which it says that
# it is under review is left out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps lightning-bolts==0.7.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import importlib.util
import sys
import types

import torch

review = types.ModuleType("pl_bolts.utils.stability")
review.under_review = lambda: lambda decorated: decorated
for name in ("pl_bolts", "pl_bolts.utils"):
    sys.modules[name] = types.ModuleType(name)
sys.modules[review.__name__] = review
path = importlib.metadata.distribution("lightning-bolts").locate_file("pl_bolts/models/vision/pixel_cnn.py")
spec = importlib.util.spec_from_file_location("pixel_cnn", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

found = []
for blocks in (1, 5):
    torch.manual_seed(0)
    network = module.PixelCNN(1, 64, blocks).double()
    image = torch.rand(1, 1, 7, 13, dtype=torch.float64, requires_grad=True)
    hidden = image
    for block in network.blocks:  # as forward does before its last ReLU, whose gradient may be zero
        hidden = hidden + block(hidden)
    assert torch.equal(torch.relu(hidden), network(image))
    (read,) = torch.autograd.grad(hidden[0, 0, 5, 6], image)
    rows = ["".join(".#"[value] for value in row) for row in (read[0, 0] != 0).int().tolist()]
    found.append(rows)
    print(f"blocks: {blocks}; pixels that the output at row 5, column 6 depends on")
    print("\n".join(rows))
before = [
    [*["............."] * 4, ".....###.....", ".....###.....", "............."],
    [*[".###########."] * 6, "............."],
]
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# blocks: 1; pixels that the output at row 5, column 6 depends on
# (four rows of points)
# .....###.....
# .....###.....
# .............
# blocks: 5; pixels that the output at row 5, column 6 depends on
# .###########. (six times: rows 0 to 5)
# .............
# as before
