"""Kernels in a wheel for Linux on x86-64, one per level of that architecture, so that nothing has to be compiled.

The builder of the wheel (hatch_build.py) loads this file on its own, without pixkit and torch: it imports neither.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path

SOURCE = Path(__file__).with_name("kernel.c")
"""Includes the headers and draw.c, which are next to it."""
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread")
STRICT = ("-ffp-contract=off", "-fno-fast-math", "-DSTRICT")
"""Flags for the kernel "strict": single precision, with the same results on all processors."""
FOLDER = Path(__file__).with_name("kernels")
"""The kernels' folder in the wheel; it does not exist in a checkout, a source distribution or a wheel for all
systems."""
LEVELS = {
    "x86-64-v4": frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
    "x86-64-v3": frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]),
    "x86-64-v2": frozenset(["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"]),
}
"""Levels of the System V ABI's supplement for x86-64, the best first, and what each requires beyond the next: flags as
Linux names them, without those that the system does not save for a process."""


def flags(real: str) -> tuple[str, ...]:
    """The compiler flags for "float", "double" or "strict"."""
    return (*FLAGS, *STRICT, "-DREAL=float") if real == "strict" else (*FLAGS, f"-DREAL={real}")


def find(real: str) -> Path | None:
    """The kernel for "float", "double" or "strict" of the highest level that this processor supports, if it is intact.

    Also None if it was built from other sources than those here: the structures of a plan might differ.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64") or not FOLDER.is_dir():
        return None
    for level in levels(processor()):
        for path in FOLDER.glob(f"{prefix(real, level)}-*.so"):
            if path.name == name(real, level, path.read_bytes()):
                return path
    return None


def levels(flags: frozenset[str]) -> list[str]:
    """The levels that a processor with these flags supports, the best first."""
    found: list[str] = []
    for level, needed in reversed(LEVELS.items()):
        if not needed <= flags:
            break
        found.insert(0, level)
    return found


def name(real: str, level: str, content: bytes) -> str:
    """The file's name, which identifies its sources and its content."""
    return f"{prefix(real, level)}-{hashlib.sha256(content).hexdigest()[:16]}.so"


def prefix(real: str, level: str) -> str:
    """The start of the name: all that is known before the file exists."""
    return f"{real}-{level}-{_digest()}"


def contents(source: Path) -> list[str]:
    """The texts of a kernel and of the files next to it, in the order of their names."""
    return [path.read_text(encoding="utf-8") for path in sorted(source.parent.glob("*.[ch]"))]


def _digest() -> str:
    return hashlib.sha256("\0".join([*FLAGS, *STRICT, *contents(SOURCE)]).encode()).hexdigest()[:16]


@functools.cache
def processor(what: str = "flags") -> frozenset[str]:
    """The flags of this processor, or another of its properties, as Linux reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith(what)), "").split())
