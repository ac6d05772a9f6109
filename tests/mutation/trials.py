"""Trying a fault: it is written into a copy of the tree, and its tests run there in a process forked from a warm one.

The working tree is never touched. The copy has what commands in processes of their own import as well, so that they
have the fault too.
"""

import compileall
import contextlib
import importlib
import json
import math
import os
import py_compile
import resource
import shutil
import signal
import subprocess
import sys
import time

import c_faults
from sampling import KERNELS, language

WARM = (
    *("torch", "torch.fx", "numpy", "pytest", "hypothesis", "pydantic", "yaml", "PIL.Image", "safetensors.torch"),
    *("click", "rich.progress", "pluggy", "filelock", "_hypothesis_pytestplugin"),
    "torch._dynamo",  # as the first step of an optimiser imports it, and sympy
)
KERNELS_KEPT = "from pixkit.execution.native.compile import kernel; kernel('float'), kernel('double')"
PARTS = ("pixkit", "plugins", "recipes", "tests", ".ci", "findings")
FIRST, BUDGET = 8.0, 60.0
"""Seconds, as recorded, that the first tests of a fault take, and all of them."""
SLOWER, SPARE, IDLE = 4.0, 60.0, 6
"""A round is ended after so many times the seconds that were recorded, and so many more, of the processor's time, as a
loop may have no end. It may wait, or be kept waiting by a busy machine, for so many times as long."""

USAGE, CONFTEST = 4, "ImportError while loading conftest"
"""What pytest returns, and says, if a `conftest.py` cannot be imported."""


class Verdicts:
    """What is said of a fault. All but the last three mean that it was noticed."""

    caught, crashed, late = "caught", "crashed", "timed out"
    survived, equivalent, broken = "survived", "equivalent", "broken"


class Chosen:
    """A pytest plugin: of what is collected, the tests of these names in this order; the first to fail is written."""

    def __init__(self, names, out):
        self._rank = {name: number for number, name in enumerate(names)}
        self._out = out
        self._state = {"passed": 0}

    def pytest_collection_modifyitems(self, items):
        files = {}
        for item in items:
            if item.nodeid in self._rank:
                path = item.nodeid.partition("::")[0]
                files[path] = min(files.get(path, len(self._rank)), self._rank[item.nodeid])
        chosen = [item for item in items if item.nodeid in self._rank]
        # By files, as fixtures of a module would be made anew at every return to it.
        items[:] = sorted(chosen, key=lambda i: (files[i.nodeid.partition("::")[0]], self._rank[i.nodeid]))

    def pytest_runtest_logreport(self, report):
        self._state["passed"] += report.when == "call" and report.outcome != "failed"
        if report.failed and "test" not in self._state:
            crash = getattr(report.longrepr, "reprcrash", None)
            self._state |= {"test": report.nodeid, "said": (crash.message if crash else str(report.longrepr))[:300]}
            self._write()

    def pytest_collectreport(self, report):
        if report.failed and "test" not in self._state:
            self._state |= {"test": report.nodeid, "said": str(report.longrepr).strip().splitlines()[-1][:300]}
            self._write()

    def pytest_sessionfinish(self):
        self._write()

    def _write(self):
        self._out.write_text(json.dumps(self._state), encoding="utf-8")


def copy(root, place):
    """Copy the tree; its compiled modules are valid by their sources' hashes, not by times that may be the same."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for part in PARTS:
        if (root / part).exists():
            shutil.copytree(root / part, place / part, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    for path in root.iterdir():
        if path.is_file() and path.suffix in (".md", ".toml", "") and not path.name.startswith("."):
            shutil.copy(path, place)
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    for part in filter(lambda part: (place / part).is_dir(), ("pixkit", "plugins", "tests")):
        compileall.compile_dir(place / part, quiet=1, invalidation_mode=mode)


class Bench:
    """A copy of the tree, and this process with what takes long to import."""

    def __init__(self, root, place):
        self.tree = place / "tree"
        self.place = place
        copy(root, self.tree)
        self._added = {}
        self._compiler = {"CC": c_faults.quick(place)} if c_faults.compiler() else {}
        command = [sys.executable, "-c", KERNELS_KEPT]  # as each trial would else compile them
        subprocess.run(
            command, cwd=self.tree, env=os.environ | self._variables(place), capture_output=True, check=False
        )
        os.environ["OMP_NUM_THREADS"] = "1"  # as in tests/conftest.py, before torch
        # What a process keeps of modules, it keeps of those without a fault.
        for name in WARM:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        assert "pixkit" not in sys.modules

    def pytest(self, arguments, plugins, limit):
        """Run pytest in the copy. Returns the exit code, -N if signal N ended it, None after `limit` seconds' work."""
        pid = os.fork()
        if pid == 0:
            self._child(arguments, plugins, math.ceil(limit))
        begun = time.monotonic()
        while time.monotonic() < begun + limit * IDLE:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._end(pid)
                code = os.waitstatus_to_exitcode(status)
                return None if code == -signal.SIGXCPU else code
            time.sleep(0.02)
        self._end(pid)
        os.waitpid(pid, 0)
        return None

    def _end(self, pid):
        """End what is left of a run, with what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _child(self, arguments, plugins, limit):
        code = 70
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
            scratch = self.place / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            (scratch / "tmp").mkdir(parents=True)
            if (self.place / "cache").is_dir():
                shutil.copytree(self.place / "cache", scratch / "cache")
            os.environ |= self._variables(scratch)
            sys.path[:0] = [str(self.tree), str(self.tree / "plugins")]
            os.chdir(self.tree)
            with open(self.place / "output.txt", "w") as output, open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), 0)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            import pytest

            usual = ["-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", f"--basetemp={scratch / 'base'}"]
            code = int(pytest.main([*usual, *arguments], plugins=plugins))
        finally:
            os._exit(code)

    def _variables(self, folder):
        """The environment of a trial that writes into a folder."""
        paths = [str(self.tree), str(self.tree / "plugins"), os.environ.get("PYTHONPATH", "")]
        return {
            **{"TMPDIR": str(folder / "tmp"), "PIXKIT_CACHE": str(folder / "cache")},
            **{"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(paths)},
            **{"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")},
            **self._added,
        }

    def try_tests(self, tests):
        """Run tests until one fails. Returns a verdict, and what the failure said."""
        out = self.place / "verdict.json"
        out.unlink(missing_ok=True)
        files = list(dict.fromkeys(test.path for test in tests))
        limit = SPARE + SLOWER * sum(test.seconds for test in tests)
        code = self.pytest(["-x", *files], [Chosen([test.name for test in tests], out)], limit)
        said = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        if code is None:
            return Verdicts.late, said
        if code == USAGE and CONFTEST in (self.place / "output.txt").read_text(encoding="utf-8"):
            return Verdicts.caught, {"test": "a conftest.py, which imports it"}
        if code < 0 or "test" in said or code in (1, 2, 3, 70):
            return Verdicts.crashed if code < 0 or code == 70 else Verdicts.caught, said
        if code != 0 or not said.get("passed"):
            raise RuntimeError(f"pytest ended with {code}: {(self.place / 'output.txt').read_text()[-2000:]}")
        return Verdicts.survived, said

    def try_fault(self, fault, rounds):
        """Plant a fault, run the tests of each round, and take it out again. Returns a verdict and what was said."""
        path = self.tree / fault.path
        path.write_text(fault.mutated, encoding="utf-8")
        in_c = language(fault.path) is c_faults
        self._added = self._compiler if in_c else {}  # as each of its trials compiles the kernels anew
        try:
            if in_c and (verdict := self._compare(fault)):
                return verdict, {}
            for tests in rounds:
                verdict, said = self.try_tests(tests)
                if verdict != Verdicts.survived:
                    return verdict, said
            return Verdicts.survived, {}
        finally:
            path.write_text(fault.text, encoding="utf-8")

    def _compare(self, fault):
        """Whether the compiler refuses a fault, or makes the same code of it in every variant."""
        folder = self.tree / KERNELS
        if not hasattr(self, "_sound"):
            (self.tree / fault.path).write_text(fault.text, encoding="utf-8")
            self._sound = list(c_faults.codes(folder))
            (self.tree / fault.path).write_text(fault.mutated, encoding="utf-8")
        for faulty, sound in zip(c_faults.codes(folder), self._sound, strict=True):
            if faulty != sound:
                return Verdicts.broken if faulty is None else None
        return Verdicts.equivalent
