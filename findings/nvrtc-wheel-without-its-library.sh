#!/usr/bin/env bash
# The NVRTC wheel of CUDA 13.0, which torch's CUDA builds bring, cannot compile anything when loaded by its path.
#
# Expected: libnvrtc.so.13 of the wheel, loaded with ctypes by its full path, finds libnvrtc-builtins.so beside it and
# compiles an empty kernel: neither GPU nor toolkit is needed for that.
# Seen with nvidia-cuda-nvrtc 13.0.88: it names no RPATH or RUNPATH, so that it looks only where the system looks, and each
# compilation ends with NVRTC_ERROR_BUILTIN_OPERATION_FAILURE (7). 13.5.37 compiles. A process that loads NVRTC by itself
# has to load the builtins first, as pixkit does (pixkit/execution/cuda/nvrtc.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/compile.py" <<'PYTHON'
import ctypes
import sys
from pathlib import Path

folder = Path(sys.argv[1])
main = next(path for path in folder.rglob("libnvrtc.so.*") if "alt" not in path.name)
if "builtins" in sys.argv:
    ctypes.CDLL(str(next(path for path in folder.rglob("libnvrtc-builtins.so.*") if "alt" not in path.name)))
nvrtc = ctypes.CDLL(str(main))
program = ctypes.c_void_p()
source = b'extern "C" __global__ void nothing() {}'
assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"nothing.cu", 0, None, None) == 0
options = (ctypes.c_char_p * 1)(b"--gpu-architecture=sm_90")
print(nvrtc.nvrtcCompileProgram(program, 1, options))
PYTHON
seen=""
for wheel in nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-nvrtc==13.5.37; do
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/$wheel" "$wheel"
    for first in alone builtins; do
        seen+="$wheel, $first: $(env -u LD_LIBRARY_PATH python3 "$folder/compile.py" "$folder/$wheel" $first)"$'\n'
    done
done
printf '%s' "$seen"
# The output seen, 0 being success:
expected="nvidia-cuda-nvrtc==13.0.88, alone: 7
nvidia-cuda-nvrtc==13.0.88, builtins: 0
nvidia-cuda-nvrtc==13.5.37, alone: 0
nvidia-cuda-nvrtc==13.5.37, builtins: 0
"
if [ "$seen" = "$expected" ]; then echo "as before"; else echo "CHANGED"; exit 1; fi
