"""pixkit 0.1 as it was used: two of its runs, and a plugin that was written for it."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from pixkit.cli.main import main
from pixkit.components.plugins import plugins

HERE = Path(__file__).parent


@pytest.fixture
def vintage(monkeypatch):
    """The plugin vintage-pixels, installed."""
    monkeypatch.syspath_prepend(HERE / "site")
    plugins.cache_clear()
    yield
    monkeypatch.undo()
    plugins.cache_clear()
    sys.modules.pop("vintage_pixels", None)


@pytest.fixture
def old_run(tmp_path):
    """old_run(name): a copy of a run, and what 0.1 made of it."""

    def _old_run(name):
        folder = shutil.copytree(HERE / "runs" / name, tmp_path / name)
        with np.load(HERE / "runs" / f"{name}.npz") as arrays:
            return folder, dict(arrays)

    return _old_run


@pytest.fixture
def command(capsys):
    """command(*arguments): its exit code, stdout and stderr."""

    def _command(*arguments):
        capsys.readouterr()
        code = main([str(word) for word in arguments])
        return code, *capsys.readouterr()

    return _command
