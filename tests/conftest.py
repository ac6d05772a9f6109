"""One thread a process, set before torch is imported: tiny tensors gain nothing from more, and shared cores suffer."""

import functools
import gc
import logging
import os
import shlex
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

# Without a handler, Python writes warnings of loggers to stderr, which tests read.
logging.getLogger().addHandler(logging.NullHandler())

# An example takes as long as it does: on a busy machine ten times as long as elsewhere.
hypothesis.settings.register_profile("untimed", hypothesis.settings(deadline=None))
hypothesis.settings.load_profile("untimed")

HERE = Path(__file__).parent
QUICK = (
    *(
        "backbones",
        "catalogue",
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
    *("cli/test_shell_completion.py", "execution/test_graphs.py", "execution/test_native.py"),
    *("samplers/test_ancestral.py", "test_api.py", "test_house.py", "test_image.py", "test_noise.py", "test_style.py"),
    "test_torch_modes.py",
)
"""Folders and files of the quick set, which `pytest -m quick` runs."""


LIMIT, LONG_LIMIT = 300, 7200
"""Seconds that a test may take, fixtures included, and one of the long set in full: far more than any does anywhere.

By pytest-timeout's thread, not by its signal: that is SIGALRM, which tests of the fuzzer, of compilers and of killed
builds use themselves, and which Python does not hear while compiled code runs. What takes longer ends the process with
the stacks of all threads; xdist goes on with another one.
"""


@functools.cache
def is_quick(path):
    """Whether a file's tests are of the quick set."""
    return any(path.is_relative_to(HERE / name) for name in QUICK)


def has_compiler():
    """Whether the native executor finds a C compiler, by its own rule."""
    compilers = shlex.split(os.environ.get("CC", ""))[:1] or ["cc", "gcc", "clang"]
    return any(map(shutil.which, compilers))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Python's collector passes over what lasts as long as the process: half a million objects, dozens of times.

    It took a third of the time of collecting tests, and a tenth of that of running them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        gc.enable()


def pytest_ignore_collect(collection_path, config):
    """For the quick set, only its files are imported: those of the whole suite take longer than many a folder."""
    if config.option.markexpr == "quick" and collection_path.name.startswith("test_") and collection_path.is_file():
        return True if not is_quick(collection_path) else None
    return None


def pytest_collection_modifyitems(config, items):
    """Mark the quick set, set limits, and skip what needs a compiler where there is none before tests touch CC."""
    without = not has_compiler()
    in_full = os.environ.get("PIXKIT_LONG") == "1" or "PIXKIT_FUZZ" in os.environ
    limited = config.pluginmanager.hasplugin("timeout") and config.getvalue("timeout") is None
    for item in items:
        if limited and not item.get_closest_marker("timeout"):
            limit = LONG_LIMIT if in_full and item.get_closest_marker("long") else LIMIT
            item.add_marker(pytest.mark.timeout(limit, method="thread"))
        if without and item.get_closest_marker("needs_compiler"):
            item.add_marker(pytest.mark.skip(reason="there is no C compiler"))
        if not item.get_closest_marker("long") and is_quick(item.path):
            item.add_marker(pytest.mark.quick)


ENDED = pytest.StashKey[int]()
TOLD = 0.1
"""Seconds that a fixture takes to be told of: CI lists the slowest of a second and more."""


def pytest_runtest_protocol(item, nextitem):
    """Workers send what became of a test, instead of its beginning, fixtures, and end as well.

    Two processes write and read each message, which took longer than half of the tests. What fails is sent wherever it
    does, and of one test in fifty the end, at which pytest-xdist breaks the lines of dots.
    """
    if not hasattr(item.config, "workerinput"):
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed or report.duration > TOLD:
            item.ihook.pytest_runtest_logreport(report=report)
    item.config.stash[ENDED] = item.config.stash.get(ENDED, 0) + 1
    if item.config.stash[ENDED] % 50 == 0:
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(scope="session")
def one_thread():
    """On images this small, threads wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tmp_path(tmp_path_factory):
    """An empty folder whose name says nothing: what is in a test's name would be in every error about its files."""
    return tmp_path_factory.mktemp("tmp")


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch):
    """For tests that write thousands of small files; whether they outlive a power cut they cannot tell."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def nothing_adopted(monkeypatch):
    """As if torch could export no network, nor its operations be followed: what torch.fx's trace alone comes to."""
    from pixkit.readiness import check, trace
    from pixkit.readiness.untraceable import Untraceable

    def adopted(network, x, context):
        raise Untraceable("nothing is exported here")

    monkeypatch.setattr(trace, "adopted", adopted)
    monkeypatch.setattr(check, "prove_whole", lambda network: None)


@pytest.fixture
def quickly_compiled(monkeypatch):
    """Kernels that are run for a few sites need not be fast."""
    from pixkit.execution.native import compile as compiling
    from pixkit.execution.native import prebuilt

    monkeypatch.setattr(prebuilt, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in prebuilt.FLAGS))
    compiling._found.cache_clear()
    yield
    compiling._found.cache_clear()
