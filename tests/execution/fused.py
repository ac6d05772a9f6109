"""Fused operations whose kernels run on the CPU."""

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

from pixkit.execution.cuda.fusing import LANES, REALS, FusedOperations
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


class Launched:
    """What launches them: on the CPU, as many workers as on a GPU, or `workers` of them; keeps what was launched."""

    def __init__(self, workers=None, source=SOURCE):
        self.workers, self.source, self.names = workers, source, []

    def __call__(self, dtype, name, given, blocks, images):
        self.names.append(name)
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
