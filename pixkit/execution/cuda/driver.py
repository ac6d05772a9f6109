"""Load and launch GPU kernels through CUDA's driver API, in the context and on the stream that torch uses."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from pixkit.execution.cuda.nvrtc import LANES, SCRATCH, NoKernel
from pixkit.execution.native.layout import Program

LIBRARY = "libcuda.so.1"


class _Attribute(ctypes.Structure):
    """CUDA's CUlaunchAttribute, for the cluster size."""

    _fields_ = (("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_uint * 16))


class _Config(ctypes.Structure):
    """CUDA's CUlaunchConfig."""

    _fields_ = (
        ("sizes", ctypes.c_uint * 7),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("count", ctypes.c_uint),
    )


CLUSTER_DIMENSION = 4
"""CUDA's CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION."""


class Module:
    """Compiled functions loaded on one device."""

    def __init__(self, image: bytes, device: torch.device) -> None:
        """`image` is the compiler's output.

        Raises:
            NoKernel: if CUDA refuses it.
        """
        self.device = device
        self._cuda = _cuda()
        self._context, self._module = ctypes.c_void_p(), ctypes.c_void_p()
        self._functions: dict[str, ctypes.c_void_p] = {}
        torch.cuda.synchronize(device)  # creates torch's context
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), ctypes.c_int(device.index or 0))
        with self._current():
            self._call("cuModuleLoadData", ctypes.byref(self._module), ctypes.c_char_p(image))

    def run(
        self,
        name: str,
        values: Sequence[Any],
        blocks: tuple[int, int],
        lanes: int,
        shared: int = 0,
        *,
        cluster: int = 1,
    ) -> None:
        """Run a function with these ctypes values on torch's current stream, in `blocks` blocks of `lanes` lanes.

        `cluster` neighbouring blocks of a row form a cluster.

        Raises:
            NoKernel: if CUDA refuses.
        """
        places = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream(self.device).cuda_stream)
        sizes = (*blocks, 1, lanes, 1, 1, shared)
        with self._current():
            if name not in self._functions:
                found = ctypes.c_void_p()
                self._call("cuModuleGetFunction", ctypes.byref(found), self._module, ctypes.c_char_p(name.encode()))
                self._functions[name] = found
            function = self._functions[name]
            if cluster == 1:  # the call that drivers without clusters know
                self._call("cuLaunchKernel", function, *map(ctypes.c_uint, sizes), stream, places, None)
                return
            clusters = _Attribute(CLUSTER_DIMENSION, 0, (ctypes.c_uint * 16)(cluster, 1, 1))
            config = _Config((ctypes.c_uint * 7)(*sizes), stream, ctypes.pointer(clusters), 1)
            self._call("cuLaunchKernelEx", ctypes.byref(config), function, places, None)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Make torch's context current in this thread."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _call(self, name: str, *args: object) -> None:
        try:
            code = getattr(self._cuda, name)(*args)
        except AttributeError as error:
            raise NoKernel(f"the CUDA driver has no {name}", expected="a newer driver") from error
        if code:
            said = ctypes.c_char_p()
            self._cuda.cuGetErrorString(code, ctypes.byref(said))
            raise NoKernel(f"CUDA refuses {name}", found=(said.value or b"").decode() or f"error {code}")


class Kernel(Module):
    """The sampling kernel.

    Attributes:
        clusters: the largest number of blocks in a cluster that it may be launched with; 1 where clusters are missing,
            or give wrong results.
        trusted: the keys it has run and was checked for, see `persistent.py`.
        fault: why it must not be used any more; None as long as nothing is known against it.
        processors: multiprocessors of the device.
    """

    def __init__(self, image: bytes, device: torch.device, clusters: int = 1) -> None:
        super().__init__(image, device)
        self.clusters = clusters
        self.trusted: set[bytes] = set()
        self.fault: str | None = None
        self.processors = torch.cuda.get_device_properties(device).multi_processor_count

    def launch(self, program: Program, start: int, stop: int, images: int, parts: int) -> None:
        """Run steps start..stop-1, with `images` images per cluster of `parts` blocks, on torch's current stream.

        Raises:
            NoKernel: if CUDA refuses.
        """
        values = program, *map(ctypes.c_int64, (start, stop)), *map(ctypes.c_int32, (images, parts))
        self.run("walk", values, (-(-program.batch // images) * parts, 1), LANES, SCRATCH, cluster=parts)

    def mark(self) -> torch.cuda.Event:
        """An event that occurs once everything launched so far is done."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return event


def driver() -> str:
    """The driver's version, as "13000" for CUDA 13.0.

    Raises:
        NoKernel: if there is no driver.
    """
    version = ctypes.c_int()
    if _cuda().cuDriverGetVersion(ctypes.byref(version)):
        raise NoKernel("the CUDA driver does not report its version")
    return str(version.value)


@functools.cache
def _cuda() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NoKernel("there is no CUDA driver", found=str(error)) from error
