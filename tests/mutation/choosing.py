"""The map from files to tests: which tests a fault is tried on, and in what order."""

import collections
import json
import re
from pathlib import Path
from typing import NamedTuple

from recording import digest, qualified

FOLDERS = {
    "pixkit/files.py": ("tests/test_files.py", "tests/faults", "tests/runs"),
    "pixkit/locks.py": ("tests/runs", "tests/faults"),
    "pixkit/runs/": ("tests/runs", "tests/faults"),
    "pixkit/training/": ("tests/training", "tests/faults"),
    "pixkit/ranks/": ("tests/test_ranks.py", "tests/test_ends.py", "tests/training/test_several_ranks.py"),
    "pixkit/optimisers/": ("tests/training/test_optim.py", "tests/golden"),
    "pixkit/data/": ("tests/data", "tests/faults/test_data_faults.py"),
    "pixkit/cli/": ("tests/cli", "tests/faults/test_streams.py", "tests/faults/test_interrupts.py"),
    "pixkit/components/": ("tests/components", "tests/doors"),
    "pixkit/readiness/": ("tests/execution/test_table.py", "tests/execution/test_elementwise.py"),
    "plugins/": ("tests/plugins", "tests/golden"),
    "pixkit/": ("tests/golden/test_limits.py",),
    **{
        f"pixkit/training/{name}.py": ("tests/training/test_several_ranks.py",)
        for name in ("ahead", "buffers", "divided", "exchange", "layout", "shard", "together")
    },
    **dict.fromkeys(("pixkit/models/", "pixkit/heads/", "pixkit/samplers/"), ("tests/golden",)),
    **dict.fromkeys(("pixkit/recipe/", "pixkit/figures/", "pixkit/cli/options.py"), ("tests/golden",)),
}
"""Where files are tested, beside the folder of their name: much of it in processes of which nothing is recorded. Test
files that are named go before folders."""
NATIVE = "pixkit/execution/native/executor.py:NativeExecutor._run"
"""What runs the kernel."""
KERNELS = (
    *("tests/execution/test_elementwise", "tests/execution/test_native", "tests/execution/test_pointwise"),
    *("tests/execution/test_projections", "tests/codec/test_walks"),
)
"""The tests of what is in the kernel, some of which call it by themselves."""
TRAINED = ("tests/execution/test_fused", "tests/training/test_kernels", *KERNELS)
OWN = {
    **{f"pixkit/execution/native/{name}.h": TRAINED for name in ("causal", "fused", "product", "rectified")},
    "pixkit/execution/native/code.h": ("tests/codec/", *KERNELS),
}
"""Those of a file in C that has others."""


TOGETHER = 4
"""So many of the quickest tests of each file go before the next so many, as files test different things."""


class Test(NamedTuple):
    """A test that passes without faults."""

    name: str
    seconds: float
    calls: frozenset

    @property
    def path(self):
        return self.name.partition("::")[0]


class Choice(NamedTuple):
    """Tests to run in turn, and those that there was no time for."""

    rounds: tuple
    left: tuple


def read(path, root):
    """Recorded tests that pass, of files that are as they were; one that failed under tracing was run again without."""
    found, digests = {}, {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    for line in map(json.loads, lines):
        name = line["test"].partition("::")[0]
        if name not in digests:
            digests[name] = digest(root / name) if (root / name).exists() else None
        if digests[name] == line["file"]:
            before = found.get(line["test"], {"calls": []})
            found[line["test"]] = {**line, "calls": sorted({*before["calls"], *line["calls"]})}
    return [
        Test(name, line["seconds"], frozenset(line["calls"]))
        for name, line in found.items()
        if line["outcome"] == "passed"
    ]


def homes(path):
    """Where a file's own tests are."""
    parts = Path(path).parts
    named = f"tests/{parts[1].removesuffix('.py')}" if parts[0] == "pixkit" else f"tests/plugins/test_{plugin(parts)}"
    single = f"tests/test_{parts[1]}" if len(parts) == 2 else f"{named}/"
    return (single, named, *(place for start, places in FOLDERS.items() if path.startswith(start) for place in places))


def plugin(parts):
    return parts[2].removesuffix(".py") if len(parts) > 2 else ""


def concerned(fault, tests):
    """The tests that may notice a fault: those that call its function, or anything of its file if it is in none.

    All that draws by compiled code may notice a fault in C.
    """
    near = homes(fault.path)
    if not fault.path.endswith(".py"):
        near = (*near, *OWN.get(fault.path, ()))
        return [test for test in tests if test.path.startswith(near) or NATIVE in test.calls]
    exact, whole = f"{fault.path}:{qualified(fault.place.scope)}", f"{fault.path}:"
    calling = {test.name for test in tests if exact in test.calls}
    if not calling:
        calling = {test.name for test in tests if any(call.startswith(whole) for call in test.calls)}
    return [test for test in tests if test.name in calling or test.path.startswith(near)]


def choose(fault, tests, first, budget):
    """The tests that call a fault's function first, its own file's before others, and a few of each test file in turn.

    In C, where most call the same, those go first whose names have the operation's, and then the kernel's own.

    Args:
        fault: which.
        tests: all that are recorded.
        first: seconds of the first round; most faults are noticed by then.
        budget: seconds of all rounds.
    """
    near = homes(fault.path)
    in_python = fault.path.endswith(".py")
    exact = f"{fault.path}:{qualified(fault.place.scope)}"
    operation = None if in_python else fault.place.scope.lower()
    kernels = OWN.get(fault.path, KERNELS)
    ranks, seen = {}, collections.Counter()
    for test in sorted(concerned(fault, tests), key=lambda test: test.seconds):
        turn = test.path, exact in test.calls  # those of a file that do not call the function delay none that do
        ranks[test] = seen[turn] // TOGETHER
        seen[turn] += 1

    def unlikely(test):
        named = bool(operation) and bool(re.search(rf"\b{operation}\b", test.name.lower()))
        own = exact in test.calls if in_python else test.path.startswith(kernels)
        return (not named, not own, test.path not in near, not test.path.startswith(near), ranks[test], test.seconds)

    order = sorted(ranks, key=unlikely)
    rounds, left, spent = ([], []), [], 0.0
    for test in order:
        spent += test.seconds
        (left if spent > budget and rounds[0] else rounds[spent > first and bool(rounds[0])]).append(test)
    return Choice(tuple(round_ for round_ in rounds if round_), tuple(left))
