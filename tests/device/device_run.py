"""Whether pixkit is right and fast on this machine's GPU: CUDA tests, every recipe, figures beside an older build's.

    tests/device/run [--old PYTHON] [--json FILE]   # PYTHON: of an environment with the older pixkit
    tests/device/run --device cpu                   # the same in a small form, on a CPU

It needs the pixkit that is to be tried, with its extra `test`, in the environment of the Python that runs it, and no
data. It exits with 0 if all holds; 1 if something does not; 3 if nothing fails, but figures had nothing to be compared
with, for want of --old; 77 if there is no GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from outcomes import FAILED, OK, UNCOMPARED, Row, exit_code, table
from speed import Speed

from pixkit.distribution import version
from pixkit.recipe import packaged_recipes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NO_GPU = 77
PARTS = ("tests", "recipes", "speed")
MINUTES = {"cuda": 6.0, "cpu": 90.0}
TESTS = 100.0
"""Seconds that the CUDA tests may take."""


def main(arguments=None):
    """Run the parts and print the table; the exit code."""
    chosen = _arguments(arguments)
    if chosen.device != "cpu" and not torch.cuda.is_available():
        print(
            f"there is no GPU that torch {torch.__version__} can use; nothing was run; --device cpu runs a small form"
        )
        return NO_GPU
    device = "cpu" if chosen.device == "cpu" else "cuda"
    started = time.monotonic()
    end = started + 60 * (chosen.minutes or MINUTES[device])
    rows = []
    with tempfile.TemporaryDirectory(prefix="pixkit-device-") as folder:
        work = {
            "tests": lambda: cuda_tests(Path(folder), device, end),
            "recipes": lambda: every_recipe(chosen.recipes, device, end, chosen.jobs),
            "speed": lambda: Speed(Path(folder), device, chosen.old, end).rows(),
        }
        for part in chosen.parts:
            print(f"{part} ...", file=sys.stderr, flush=True)
            rows += work[part]()
    about = {
        "pixkit": version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "seconds": round(time.monotonic() - started, 1),
    }
    print(table(rows, about))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({**about, "rows": [row.dump() for row in rows]}, indent=1) + "\n")
    return exit_code(rows)


def _arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="tests/device/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--old", metavar="PYTHON", help="of an environment with the pixkit to compare with")
    parser.add_argument("--json", metavar="FILE", help="write the table there, too")
    parser.add_argument("--minutes", type=float, help="what has not begun by then counts as failed")
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1), help="recipes tried at a time")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--recipes", nargs="+", metavar="NAME", default=sorted(packaged_recipes()))
    return parser.parse_args(arguments)


def cuda_tests(folder, device, end):
    """The tests that need a CUDA device."""
    if device == "cpu":
        return [Row("tests", "pytest -m cuda", UNCOMPARED, "needs a GPU", needed=False)]
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text("utf-8"))
    report = folder / "cuda.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "cuda",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        *files,
    ]
    limit = max(min(TESTS, end - time.monotonic()), 1)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return [Row("tests", "pytest -m cuda", FAILED, f"did not end within {limit:.0f} s")]
    if not report.exists():
        return [Row("tests", "pytest -m cuda", FAILED, (done.stdout + done.stderr).strip()[-300:])]
    return list(read_report(report))


def read_report(report):
    """A row for the tests together, and one for each that failed; tests that were left out have not held."""
    suite = ET.parse(report).getroot().find("testsuite")
    count = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    passed = count["tests"] - sum(count[key] for key in ("failures", "errors", "skipped"))
    good = passed > 0 and passed == count["tests"]
    note = ", ".join(f"{number} {name}" for name, number in {**count, "passed": passed}.items() if number)
    yield Row("tests", "pytest -m cuda", OK if good else FAILED, note)
    for case in suite.iter("testcase"):
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                yield Row("tests", case.get("name"), FAILED, (found.get("message") or kind).split("\n")[0])


def every_recipe(names, device, end, jobs):
    """Each in a process of its own: what one of them does to the device, the others do not meet."""
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda name: one_recipe(name, device, end), names))


def one_recipe(name, device, end):
    """What `every_recipe.py` finds of one."""
    command = [sys.executable, str(HERE / "every_recipe.py"), name, device]
    threads = {} if device == "cpu" else {"OMP_NUM_THREADS": "2"}
    limit = end - time.monotonic()
    if limit <= 0:
        return Row("recipes", name, FAILED, "not begun: time was up")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False, env={**os.environ, **threads}
        )
        return Row("recipes", name, *json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return Row("recipes", name, FAILED, f"did not end within {limit:.0f} s")
    except (IndexError, ValueError):
        return Row("recipes", name, FAILED, f"exit {done.returncode}: {done.stderr.strip()[-300:]}")
