"""Loading the GPU's kernel and launching it, by CUDA's driver, in the context and on the stream that torch uses."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pixkit.execution.cuda.nvrtc import LANES, SCRATCH, NoKernel
from pixkit.execution.native.layout import Program

LIBRARY = "libcuda.so.1"


class Kernel:
    """A kernel that is loaded on one device.

    Attributes:
        trusted: what it has run and was checked for, see `persistent.py`.
        fault: why it is not to be used any more; None as long as nothing is known against it.
        processors: multiprocessors of the device.
    """

    def __init__(self, image: bytes, device: torch.device) -> None:
        self.trusted: set[bytes] = set()
        self.fault: str | None = None
        self.device, self.processors = device, torch.cuda.get_device_properties(device).multi_processor_count
        self._cuda = _cuda()
        self._context = ctypes.c_void_p()
        torch.cuda.synchronize(device)  # torch has its context from here on
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), ctypes.c_int(device.index or 0))
        self._module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        with self._current():
            self._call("cuModuleLoadData", ctypes.byref(self._module), ctypes.c_char_p(image))
            self._call("cuModuleGetFunction", ctypes.byref(self._function), self._module, ctypes.c_char_p(b"walk"))

    def launch(self, program: Program, start: int, stop: int, images: int) -> None:
        """Run steps start..stop-1, so many images a block, on torch's current stream.

        Raises:
            NoKernel: if CUDA refuses.
        """
        values = program, ctypes.c_int64(start), ctypes.c_int64(stop), ctypes.c_int32(images)
        places = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream(self.device).cuda_stream)
        sizes = (-(-program.batch // images), 1, 1, LANES, 1, 1, SCRATCH)
        with self._current():
            self._call("cuLaunchKernel", self._function, *map(ctypes.c_uint, sizes), stream, places, None)

    def mark(self) -> torch.cuda.Event:
        """An event that happens when everything is done that was launched so far."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return event

    @contextmanager
    def _current(self) -> Iterator[None]:
        """With torch's context in this thread."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _call(self, name: str, *args: object) -> None:
        code = getattr(self._cuda, name)(*args)
        if code:
            said = ctypes.c_char_p()
            self._cuda.cuGetErrorString(code, ctypes.byref(said))
            raise NoKernel(f"CUDA refuses {name}", found=(said.value or b"").decode() or f"error {code}")


def driver() -> str:
    """The driver's version, as "13000" for CUDA 13.0.

    Raises:
        NoKernel: if there is none.
    """
    version = ctypes.c_int()
    if _cuda().cuDriverGetVersion(ctypes.byref(version)):
        raise NoKernel("the CUDA driver does not say its version")
    return str(version.value)


@functools.cache
def _cuda() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NoKernel("there is no CUDA driver", found=str(error)) from error
