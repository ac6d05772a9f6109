import shlex
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "readiness"))


@pytest.fixture
def watch_arrays(monkeypatch):
    """watch_arrays() has kernels compiled so that they end the process where they leave an array of known size."""
    from pixkit.execution.native import compile as compiling
    from pixkit.execution.native import prebuilt

    def _watch():
        compiler = shlex.join(compiling._compiler())
        monkeypatch.setenv("CC", f"{compiler} -fsanitize=bounds -fsanitize-undefined-trap-on-error")
        monkeypatch.setattr(prebuilt, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in prebuilt.FLAGS))
        for real in ("float", "double"):  # now, so that processes forked from this one have them
            compiling.kernel(real)

    return _watch
