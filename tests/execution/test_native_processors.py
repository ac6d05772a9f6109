"""The kernel as it is compiled for processors with shorter vectors than this one's."""

import ctypes
import platform
import shutil
import subprocess

import pytest
import torch
from nets import NETS, net_of
from teacher import COLOUR, check

from pixkit.execution.native import executor, prebuilt
from pixkit.execution.native.compile import SOURCE
from pixkit.execution.native.fusing import FusedOnCPU
from pixkit.execution.native.trying import departure


@pytest.mark.needs_compiler
@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="levels are x86-64's")
@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
def test_with_shorter_vectors(level, monkeypatch, tmp_path):
    """Images are drawn in tiles of other sizes, 6, 2 and 1 of them at a time; training has tiles of its own."""
    if level not in prebuilt.levels(prebuilt.processor()):
        pytest.skip(f"this processor is none of {level}")
    compiler, built = shutil.which("cc") or shutil.which("gcc"), tmp_path / "kernel.so"
    march = [*prebuilt.flags("double"), "-O0", f"-march={level}"]
    subprocess.run([compiler, *march, "-Werror=psabi", SOURCE, "-o", built, "-lm"], check=True)
    library = ctypes.CDLL(str(built))
    library.run.restype, library.run.argtypes = ctypes.c_int64, [ctypes.c_void_p, *[ctypes.c_int64] * 6]
    monkeypatch.setattr(executor, "kernel", lambda real, added: library)
    for name in ("Attending", "Gated"):
        check(net_of(NETS[name], COLOUR), torch.float64, 9, executors=(executor.NativeExecutor,))
    ops = FusedOnCPU()
    ops._libraries = dict.fromkeys(("float", "double"), library)
    assert departure(ops, torch.float64) is None
