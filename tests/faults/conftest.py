import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from forks import TINY, Nursery, scratch


@pytest.fixture(scope="session")
def _nursery():
    if os.name != "posix":
        pytest.skip("needs fork")
    nursery = Nursery()
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
def _breakable(tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("needs LD_PRELOAD and /proc")
    library = tmp_path_factory.mktemp("disk") / "disk.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = Path(__file__).with_name("disk.c")
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    nursery = Nursery(LD_PRELOAD=str(library))
    yield nursery
    nursery.close()


@pytest.fixture
def breakable(_breakable):
    """A nursery whose commands may be told that calls of the file system fail."""
    yield _breakable
    _breakable.clear()
