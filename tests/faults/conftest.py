import os
import shutil

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
