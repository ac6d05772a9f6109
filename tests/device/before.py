"""An environment with another build of pixkit, and all else as in this one; nothing is downloaded."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import torch

OURS = re.compile(r"pixkit|_?_editable_|.*\.pth$", re.IGNORECASE)
"""What is not taken over from this environment."""


def python_of(given, folder):
    """The Python of an environment made in a folder, with the pixkit of a wheel or of a source tree.

    Raises:
        OSError, ValueError: if there is none.
        CalledProcessError: if a wheel cannot be built of it.
    """
    wheel = Path(given).resolve()
    if wheel.is_dir():
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel")]
        subprocess.run(command, cwd=wheel, check=True, capture_output=True, text=True)
        (wheel,) = (folder / "wheel").glob("*.whl")
    venv.create(folder / "before", symlinks=True)
    (site,) = (folder / "before").glob("lib/python*/site-packages")
    others = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")} | {Path(torch.__file__).parents[1]}
    for entry in (entry for other in sorted(others) for entry in sorted(other.iterdir())):
        if not OURS.match(entry.name) and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return str(folder / "before" / "bin" / "python")
