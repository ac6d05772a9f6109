"""Loading kernels for a GPU and launching them, by CUDA's driver, in the context and on the stream that torch uses."""

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


class Module:
    """Compiled functions that are loaded on one device."""

    def __init__(self, image: bytes, device: torch.device) -> None:
        """Of what the compiler made.

        Raises:
            NoKernel: if CUDA refuses it.
        """
        self.device = device
        self._cuda = _cuda()
        self._context, self._module = ctypes.c_void_p(), ctypes.c_void_p()
        self._functions: dict[str, ctypes.c_void_p] = {}
        torch.cuda.synchronize(device)  # torch has its context from here on
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), ctypes.c_int(device.index or 0))
        with self._current():
            self._call("cuModuleLoadData", ctypes.byref(self._module), ctypes.c_char_p(image))

    def run(self, name: str, values: Sequence[Any], blocks: tuple[int, int], lanes: int, shared: int = 0) -> None:
        """Run a function with these ctypes values, on torch's current stream: so many blocks, of so many lanes.

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
            self._call("cuLaunchKernel", self._functions[name], *map(ctypes.c_uint, sizes), stream, places, None)

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


class Kernel(Module):
    """The kernel that samples.

    Attributes:
        trusted: what it has run and was checked for, see `persistent.py`.
        fault: why it is not to be used any more; None as long as nothing is known against it.
        processors: multiprocessors of the device.
    """

    def __init__(self, image: bytes, device: torch.device) -> None:
        super().__init__(image, device)
        self.trusted: set[bytes] = set()
        self.fault: str | None = None
        self.processors = torch.cuda.get_device_properties(device).multi_processor_count

    def launch(self, program: Program, start: int, stop: int, images: int) -> None:
        """Run steps start..stop-1, so many images a block, on torch's current stream.

        Raises:
            NoKernel: if CUDA refuses.
        """
        values = program, ctypes.c_int64(start), ctypes.c_int64(stop), ctypes.c_int32(images)
        self.run("walk", values, (-(-program.batch // images), 1), LANES, SCRATCH)

    def mark(self) -> torch.cuda.Event:
        """An event that happens when everything is done that was launched so far."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return event


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
