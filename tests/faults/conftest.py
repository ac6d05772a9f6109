import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from forks import TINY, Nursery, scratch


def _library(folder):
    """disk.c, compiled, which does nothing until it is told to; None where it cannot be."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if sys.platform != "linux" or not shutil.which(compiler[0]):
        return None
    library, source = folder / "disk.so", Path(__file__).with_name("disk.c")
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture(scope="session")
def _nursery(tmp_path_factory):
    if os.name != "posix":
        pytest.skip("needs fork")
    library = _library(tmp_path_factory.mktemp("disk"))
    nursery = Nursery(**({"LD_PRELOAD": str(library)} if library else {}))
    yield nursery
    nursery.close()


@pytest.fixture
def nursery(_nursery):
    """Starts commands; what is left of them is ended after the test."""
    yield _nursery
    _nursery.clear()


@pytest.fixture(scope="module")
def workplace():
    """A folder with tiny.yaml in it."""
    folder = scratch()
    (folder / "tiny.yaml").write_text(TINY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _breakable(_nursery):
    if sys.platform != "linux":
        pytest.skip("needs LD_PRELOAD and /proc")
    return _nursery


@pytest.fixture
def breakable(_breakable, nursery):
    """A nursery whose commands may be told that calls of the file system fail."""
    return nursery
