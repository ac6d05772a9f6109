"""Fused operations whose kernels run on the CPU."""

import ctypes
import functools
import re
import subprocess
import tempfile
from pathlib import Path

import torch

from pixkit.execution.cuda.fusing import LANES, REALS, FusedOperations, Shape
from pixkit.execution.cuda.fusing_kernels import SOURCE
from pixkit.execution.native import compile as compiling

HARNESS = Path(__file__).with_name("fusing.c")
FLAGS = ("-O1", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-w")


@functools.cache
def built(real, source=SOURCE, extra=()):
    """The library; `source` is the kernels', which a test may have changed."""
    command = [*compiling._compiler(), *FLAGS, *extra, f"-DREAL={real}", f"-I{source.parent}", str(HARNESS)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "fused.so"
        subprocess.run([*command, "-o", str(target), "-lm"], check=True)
        return ctypes.CDLL(str(target))


@functools.cache
def parameters(source):
    """Of each kernel, whether its parameters are a shape, "Shape", numbers, "u32" and "real", or places, "*"."""
    kernels = re.findall(r"^KERNEL (\w+)\((.*?)\) \{", source.read_text(encoding="utf-8"), re.S | re.M)
    assert len(kernels) == 4
    return {
        name: [re.search(r"\*|Shape|u32|real", one)[0] for one in given.replace("stored *", "*").split(",")]
        for name, given in kernels
    }


def kinds(dtype, given):
    """The same of what is launched: a GPU takes each by its place, whatever it is, but a CPU's calls do not."""
    real = ctypes.c_double if dtype == torch.float64 else ctypes.c_float
    names = {Shape: "Shape", ctypes.c_uint32: "u32", real: "real", ctypes.c_void_p: "*"}
    return [next(name for kind, name in names.items() if isinstance(value, kind)) for value in given]


class Launched:
    """What launches them: on the CPU, as many workers as on a GPU, or `workers` of them; keeps what was launched."""

    def __init__(self, workers=None, source=SOURCE):
        self.workers, self.source, self.names = workers, source, []

    def __call__(self, dtype, name, given, blocks, images):
        self.names.append(name)
        assert kinds(dtype, given) == parameters(self.source)[name]
        shape, count, *rest = given
        scales = [value.value for value in rest if isinstance(value, ctypes.c_float | ctypes.c_double)]
        places = [value for value in rest if isinstance(value, ctypes.c_void_p)]
        places += [ctypes.c_void_p(None)] * (4 - len(places))
        run = getattr(built(REALS[dtype], self.source), f"run_{name}")
        workers = self.workers or blocks * LANES
        scale = ctypes.c_double(scales[0] if scales else 0)
        run(shape, count, workers, images, *places[:2], scale, *places[2:])


def fused(**options):
    """The operations."""
    return FusedOperations(Launched(**options))
