"""Which functions each test calls: a pytest plugin, which writes a line of JSON a test."""

import contextlib
import hashlib
import inspect
import json
import os
import re
import sys
import threading
from pathlib import Path

import pytest

INNER = re.compile(r"\.(<locals>|<lambda>|<\w+comp>|<genexpr>)(?=\.|$)")
"""What is left out of a qualified name, so that a lambda belongs to the function that it stands in."""


def qualified(name):
    return INNER.sub("", f".{name}")[1:]


def digest(path):
    """What a test file said when its tests were recorded; they are recorded anew when it changes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def worked():
    """Seconds of the processor's time that this process took, and those it started and waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Recorder:
    """Traces calls, and no lines: a fault's tests are those that call its function, which costs half as much again.

    What a fixture or the import of a test module calls belongs to every test that uses it, whichever came first. A
    test's seconds are the processor's, so that a busy machine leaves no fewer tests within a budget.
    """

    def __init__(self, root, out, tracing=True):
        self.root = Path(root)
        self.out = Path(out)
        self.tracing = tracing
        self._known = {}
        self._stack = [set()]
        self._shared = {}

    def _trace(self, frame, event, argument):
        code = frame.f_code
        known = self._known.get(id(code))
        if known is None:  # the code is kept, or another might get its id
            known = self._known[id(code)] = (code, self._name(code))
        if known[1]:
            self._stack[-1].add(known[1])

    def _name(self, code):
        function = code.co_flags & inspect.CO_OPTIMIZED  # a class and a module are not
        path = Path(code.co_filename)
        if not function or not any(path.is_relative_to(self.root / part) for part in ("pixkit", "plugins")):
            return None
        return f"{path.relative_to(self.root).as_posix()}:{qualified(code.co_qualname)}"

    @contextlib.contextmanager
    def _recording(self):
        self._stack.append(set())
        before = sys.gettrace()
        trace = self._trace if self.tracing else before
        sys.settrace(trace)
        threading.settrace(trace)
        try:
            yield self._stack[-1]
        finally:
            sys.settrace(before)
            threading.settrace(before)
            called = self._stack.pop()
            self._stack[-1] |= called

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        with self._recording() as called:
            report = yield
        self._shared[collector.nodeid] = called
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        with self._recording() as called:
            value = yield
        self._shared[fixturedef] = self._shared.get(fixturedef, set()) | called
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.outcome = "passed"
        begun = worked()
        with self._recording() as called:
            result = yield
        seconds = worked() - begun
        fixtures = [one for several in item._fixtureinfo.name2fixturedefs.values() for one in several]
        for key in (item.parent.nodeid, item.nodeid.partition("::")[0], *fixtures):
            called = called | self._shared.get(key, set())
        line = {"test": item.nodeid, "file": digest(item.path), "seconds": round(seconds, 3)}
        line |= {"outcome": self.outcome, "calls": sorted(called)}
        with self.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return result

    def pytest_runtest_logreport(self, report):
        if report.outcome != "passed":
            self.outcome = report.outcome
