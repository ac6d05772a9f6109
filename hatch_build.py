"""A wheel for one platform that brings the compiled kernel, if PIXKIT_KERNELS is set to 1; else one for all platforms.

    PIXKIT_KERNELS=1 python -m build --wheel

It is built with the machine's C compiler (CC, else cc) for Linux on x86-64, for each level of that processor, in single
and double precision and with strict arithmetic, and needs glibc 2.17 or newer (manylinux2014) whatever the machine has.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = "pixkit/execution/native"
GLIBC = (2, 17)
"""The newest version that a kernel may need: manylinux2014's."""
TAG = f"py3-none-manylinux_{GLIBC[0]}_{GLIBC[1]}_x86_64"


class Kernels(BuildHookInterface):
    """Compiles the kernel for each level and precision, and puts it into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See BuildHookInterface. Raises RuntimeError on other platforms, and if the compiler fails."""
        if version == "editable" or os.environ.get("PIXKIT_KERNELS", "0") == "0":
            return
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            found = f"{platform.system()} on {platform.machine()}"
            raise RuntimeError(f"PIXKIT_KERNELS: kernels are built on Linux on x86_64, and this is {found}; unset it")
        self._scratch = tempfile.TemporaryDirectory(prefix="pixkit-kernels-")
        for path in kernels(Path(self.root) / NATIVE, Path(self._scratch.name)):
            build_data["force_include"][str(path)] = f"{NATIVE}/kernels/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = TAG

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """See BuildHookInterface."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()


def kernels(native: Path, folder: Path) -> list[Path]:
    """Kernels built from the sources in `native` into `folder`, each under its name."""
    prebuilt = _loaded(native / "prebuilt.py")
    wanted = [(real, level) for real in ("float", "double", "strict") for level in prebuilt.LEVELS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda which: kernel(prebuilt, *which, folder), wanted))


def kernel(prebuilt: ModuleType, real: str, level: str, folder: Path) -> Path:
    """One of them. Raises RuntimeError with what the compiler says, or if it needs a newer C library."""
    built = folder / f"{real}-{level}.so"
    source: Path = prebuilt.SOURCE
    command = [*shlex.split(os.environ.get("CC") or "cc"), *prebuilt.flags(real), f"-march={level}", "-s"]
    command += ["-include", str(source.with_name("old_glibc.h")), str(source), "-o", str(built), "-lm"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{shlex.join(command)}: ended with code {ended.returncode}\n{ended.stderr}")
    content = built.read_bytes()
    needed = [(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", content)]
    if needed and max(needed) > GLIBC:
        raise RuntimeError(
            f"{built.name} needs glibc {max(needed)[0]}.{max(needed)[1]}, newer than {GLIBC[0]}.{GLIBC[1]}; "
            f"`objdump -T` says which function, which is to be named in old_glibc.h"
        )
    return built.rename(folder / prebuilt.name(real, level, content))


def _loaded(path: Path) -> ModuleType:
    """A module by its file: the package that it lies in needs torch."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
