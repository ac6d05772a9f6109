"""Memory whose neighbours cannot be touched: what reads or writes beside it ends the process."""

import ctypes
import mmap
import os
import resource
import signal

import torch

from pixkit.execution.native.threads import Threaded

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
PAGE = mmap.PAGESIZE
SECONDS = 20
"""Of the processor's time, after which work is taken to have no end."""


def fenced(value, at_end):
    """A copy of a tensor that ends, or begins, where a page begins that cannot be touched."""
    size = value.numel() * value.element_size()
    inner = -(-max(size, 1) // PAGE) * PAGE
    memory = mmap.mmap(-1, inner + 2 * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for fence in (address, address + PAGE + inner):
        if libc.mprotect(fence, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    if not size:
        return value
    offset = PAGE + (inner - size if at_end else 0)
    copy = torch.frombuffer(memory, dtype=value.dtype, count=value.numel(), offset=offset).view(value.shape)
    return copy.copy_(value)


def packed(at_end):
    """A class of packed plans, all of whose memory is fenced."""

    class Fenced(Threaded):
        def __init__(self, *given):
            super().__init__(*given)
            self._levels = fenced(self._levels, at_end)
            self.pixels = self._levels.transpose(0, 1)

        def _zeros(self, *size):
            return fenced(super()._zeros(*size), at_end)

        def _keep(self, value):
            super()._keep(value)
            self._kept[-1] = fenced(self._kept[-1], at_end)
            return self._kept[-1].data_ptr()

        def drawing(self, uniforms, temperature):
            super().drawing(uniforms, temperature)
            self._drawn = [fenced(value, at_end) for value in self._drawn]
            program = self.program
            places = (value.data_ptr() for value in self._drawn)
            program.uniforms, program.draws, program.draw_site, program.draw_due = places

    return Fenced


def apart(work):
    """Do work in a forked process. Returns 0, 1 if it raised, or the signal's name that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            work()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return signal.Signals(-code).name if code < 0 else code
