#!/usr/bin/env bash
# torch's settings of what float32 products may cost: the CPU's is everyone's, and a value written back is not the same.
#
# Expected: torch.backends.mkldnn.fp32_precision sets what the CPU's library computes in, as its place says; and to keep a
# setting and write it back, as one does around a measurement, changes nothing.
# Seen with torch 2.13.0: the first sets torch.backends.fp32_precision, so that matrix products on CUDA are TF32 as well.
# An operation's key that was never set reads as "tf32" and follows its backend's; once that very value was written back
# it reads the same and follows nothing: convolutions stay TF32 where cudnn.fp32_precision = "ieee" is to forbid it.
# pixkit sets keys by backend and operation, and writes none that reads as wanted (pixkit/precision.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat > "$folder/cpu.py" <<'PYTHON'
import torch

before = torch.backends.fp32_precision, torch.backends.cuda.matmul.fp32_precision
torch.backends.mkldnn.fp32_precision = "tf32"
after = torch.backends.fp32_precision, torch.backends.cuda.matmul.fp32_precision
print(f"torch {torch.__version__.split('+')[0]}: set for mkldnn; all backends and CUDA's products: {before} -> {after}")
PYTHON
cat > "$folder/back.py" <<'PYTHON'
import sys

import torch

cudnn = torch.backends.cudnn
before = cudnn.conv.fp32_precision
if "back" in sys.argv:
    cudnn.conv.fp32_precision = before
assert cudnn.conv.fp32_precision == before
cudnn.fp32_precision = "ieee"
done = "written back, then" if "back" in sys.argv else "not written back,"
print(f"convolutions read {before}, {done} cudnn was set to ieee: they read {cudnn.conv.fp32_precision}")
PYTHON
python="$folder/venv/bin/python"
seen=$("$python" "$folder/cpu.py"; "$python" "$folder/back.py"; "$python" "$folder/back.py" back)
echo "$seen"
# The output seen:
expected="torch 2.13.0: set for mkldnn; all backends and CUDA's products: ('none', 'none') -> ('tf32', 'tf32')
convolutions read tf32, not written back, cudnn was set to ieee: they read ieee
convolutions read tf32, written back, then cudnn was set to ieee: they read tf32"
if [ "$seen" = "$expected" ]; then echo "as before"; else echo "CHANGED"; exit 1; fi
