"""One thread a process, set before torch is imported: tiny tensors gain nothing from more, and shared cores suffer."""

import os
import shlex
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

HERE = Path(__file__).parent
QUICK = (
    *(
        "backbones",
        "components",
        "data",
        "figures",
        "golden",
        "heads",
        "layers",
        "legacy",
        "models",
        "orderings",
        "readiness",
    ),
    *("recipe", "runs", "tasks", "cli/test_main.py", "execution/test_choose.py", "execution/test_eager.py"),
    *("execution/test_graphs.py", "execution/test_native.py"),
    *("samplers/test_ancestral.py", "test_api.py", "test_house.py", "test_image.py", "test_noise.py", "test_style.py"),
)
"""Folders and files of the quick set, which `pytest -m quick` runs."""


def has_compiler():
    """Whether the native executor finds a C compiler, by its own rule."""
    compilers = shlex.split(os.environ.get("CC", ""))[:1] or ["cc", "gcc", "clang"]
    return any(map(shutil.which, compilers))


def pytest_collection_modifyitems(items):
    """Mark the quick set, and skip what needs a compiler where there is none before any test has touched CC."""
    quick = [HERE / name for name in QUICK]
    without = not has_compiler()
    for item in items:
        if without and item.get_closest_marker("needs_compiler"):
            item.add_marker(pytest.mark.skip(reason="there is no C compiler"))
        if not item.get_closest_marker("long") and any(item.path.is_relative_to(place) for place in quick):
            item.add_marker(pytest.mark.quick)


@pytest.fixture(scope="session")
def one_thread():
    """On images this small, threads wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch):
    """For tests that write thousands of small files; whether they outlive a power cut they cannot tell."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
