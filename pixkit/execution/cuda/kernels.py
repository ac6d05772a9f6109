"""The GPU's kernel, ready to launch: compiled once per GPU model, and tried once, in a separate process.

The kernel has to run on GPUs that its authors may never have seen. A fault that ends in a device error takes the whole
process with it, and one that ends in a wait never returns; so neither should first occur in a process that has
something to lose. The result is kept beside the kernel.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from pixkit.errors import reason
from pixkit.execution.cuda.driver import Kernel, driver
from pixkit.execution.cuda.fused import CLUSTER
from pixkit.execution.cuda.nvrtc import HEADERS, SOURCE, NoKernel, build, nvrtc, options_of, release, text_of
from pixkit.execution.native.keep import find, keep, places
from pixkit.execution.native.layout import HERE

TIMEOUT = 300.0
"""Seconds after which a trial counts as hanging; it takes 10 to 20."""
PASSED, CLUSTERED, ALONE = b"passed", b"passed in clusters", b"passed, but not in clusters: "
"""Output of a trial: after its first part, one block per image, and after its second, on a GPU with clusters."""
HOPPER = (9, 0)
"""The first compute capability with clusters."""


def kernel(real: str, device: torch.device, added: tuple[str, ...] = ()) -> Kernel:
    """The kernel for "float" or "double" on a device, with the instructions that a network brings, after its trial.

    Raises:
        NoKernel: if it cannot be compiled or loaded, failed its trial, or was found to be wrong since.
    """
    found = _found(real, device, places(), added)
    if isinstance(found, NoKernel):
        raise found.with_traceback(None)
    if found.fault is not None:
        raise NoKernel(found.fault)
    return found


def untried(real: str, device: torch.device, folders: tuple[Path, ...], added: tuple[str, ...]) -> Kernel:
    """The kernel without a trial: for the trial itself."""
    return Kernel(image(real, device, folders, SOURCE, added), device)


def image(
    real: str, device: torch.device, folders: tuple[Path, ...], source: Path = SOURCE, added: tuple[str, ...] = ()
) -> bytes:
    """The compiled kernel, or another compiled source, kept in the first folder that can keep it."""
    library = nvrtc()
    major, minor = torch.cuda.get_device_capability(device)
    sources = [text_of(source, added), *(path.read_bytes() for path in HEADERS)]
    key = _key(*sources, *options_of(real), library._name, release(library), str(major), str(minor))
    return _kept(folders, key, ".cubin", lambda: build(library, real, 10 * major + minor, source, added))


@functools.cache
def _found(real: str, device: torch.device, folders: tuple[Path, ...], added: tuple[str, ...]) -> Kernel | NoKernel:
    """The kernel, or why there is none."""
    try:
        made = image(real, device, folders, SOURCE, added)
        key = _key(made, torch.cuda.get_device_name(device), driver(), torch.__version__, *_trial_sources())
        verdict = _kept(folders, key, ".tried", lambda: _try(real, device, added))
        said = verdict.decode(errors="replace")
        if not verdict.startswith(PASSED):
            raise NoKernel("the kernel failed its trial on this GPU", found=said)
        if verdict.startswith(ALONE):
            reason = said.removeprefix(ALONE.decode())
            warnings.warn(
                f"large networks are drawn without clusters of blocks: {reason}", RuntimeWarning, stacklevel=3
            )
        return Kernel(made, device, CLUSTER if verdict == CLUSTERED else 1)
    except NoKernel as error:
        return error


def _trial_sources() -> list[bytes]:
    """Sources of the trial beside the kernel: a trial that failed is repeated once they change."""
    return [path.read_bytes() for folder in (SOURCE.parent, HERE) for path in sorted(folder.glob("*.py"))]


def _try(real: str, device: torch.device, added: tuple[str, ...] = ()) -> bytes:
    """Run the trial; return its result if it is due to the kernel. None of its networks has an added instruction.

    Raises:
        NoKernel: if the trial could not be made.
    """
    command = [sys.executable or "python", "-m", "pixkit.execution.cuda.trial", real, str(device.index or 0)]
    # It has the import path of this process, whatever the folder that it is started in.
    paths = os.pathsep.join(path or os.curdir for path in sys.path)
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    try:
        with tempfile.TemporaryDirectory(prefix="pixkit-") as folder:
            verdict = Path(folder) / "verdict"
            ended, last = _ended([*command, str(verdict), *added], env)
            said = verdict.read_bytes() if verdict.exists() else b""
    except OSError as error:
        raise NoKernel("the kernel could not be tried", found=reason(error)) from error
    if ended is None:
        return ALONE + b"their trial did not end" if said == PASSED else b"it did not end"
    if said == PASSED and ended < 0:
        return ALONE + b"their trial ended with %d" % ended
    if said.startswith(PASSED) and not ended:
        return said
    if said.startswith(b"failed: "):
        return said.removeprefix(b"failed: ")
    raise NoKernel("the kernel could not be tried", found=last or f"the trial ended with {ended}")


def _ended(command: list[str], env: dict[str, str]) -> tuple[int | None, str]:
    """The exit code of a trial, None if it did not end, and the last line of its output."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False, env=env
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1][:300]


def _kept(folders: tuple[Path, ...], key: str, suffix: str, make: Callable[[], bytes]) -> bytes:
    """The content kept under the key, or else made now, and kept if possible."""
    for path in filter(None, (find(folder, key, suffix) for folder in folders)):
        with contextlib.suppress(OSError):
            return path.read_bytes()
    made = make()
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="pixkit-") as scratch:
        (Path(scratch) / "made").write_bytes(made)
        for folder in folders:
            with contextlib.suppress(OSError):
                keep(Path(scratch) / "made", folder, key, suffix)
                break
    return made


def _key(*parts: bytes | str) -> str:
    joined = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()[:24]
