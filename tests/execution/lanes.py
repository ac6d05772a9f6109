"""The GPU's kernel, compiled for the CPU, its lanes run one after the other."""

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path
from types import MappingProxyType

import torch

from pixkit.execution.cuda import nvrtc
from pixkit.execution.cuda.persistent import PersistentExecutor
from pixkit.execution.native import compile as compiling

ORDERS = {"forward": 0, "backward": 1, "shuffled": 2}
HERE = Path(__file__).parent
FLAGS = ("-O1", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-w")
FAST = ("-O0",)
"""For a kernel that is run once: it is compiled in half the time."""


@functools.cache
def built(real, source=nvrtc.SOURCE, scratch=nvrtc.SCRATCH, extra=(), harness="lanes.c"):
    """The library; `source` is the kernel's, which a test may have changed; its lanes share `scratch` bytes."""
    folders = [f"-I{folder}" for folder in (source.parent, nvrtc.SOURCE.parent, compiling.SOURCE.parent)]
    command = [*compiling._compiler(), *FLAGS, *extra, f"-DREAL={real}", f"-DSCRATCH={scratch}", *folders]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "lanes.so"
        subprocess.run([*command, str(HERE / harness), "-o", str(target), "-lm"], check=True)
        library = ctypes.CDLL(str(target))
    library.emulate.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 2, *[ctypes.c_int] * 4]
    return library


class Marked:
    """An event that has happened."""

    def synchronize(self):
        pass


class Lanes:
    """A kernel as `driver.Kernel`, on the CPU; of each launch `launches` are its steps, `parts` a cluster's blocks."""

    def __init__(self, real, lanes=32, order="forward", library=None, processors=2, parts=1):
        self.library, self.lanes, self.order = library or built(real), lanes, ORDERS[order]
        self.processors, self.trusted, self.fault, self.launches = processors, set(), None, []
        self.clusters, self.parts = parts, []

    def launch(self, program, start, stop, images, parts):
        self.launches.append((start, stop))
        self.parts.append(parts)
        line = self.library.emulate(ctypes.addressof(program), start, stop, self.lanes, images, parts, self.order)
        assert not line, f"not all lanes come to the barrier in line {line}"

    def mark(self):
        return Marked()


class Emulated(PersistentExecutor):
    """Runs the GPU's kernel on the CPU."""

    device_type = "cpu"
    options = MappingProxyType({})

    def _kernel(self):
        return Lanes("float" if self.packed.dtype == torch.float32 else "double", **self.options)

    def _parts(self):
        return self.kernel.clusters


def emulated(**options):
    """A class of executors with these options of Lanes."""
    return type("Emulated", (Emulated,), {"options": options})
