"""Whether pixkit is right and fast on this machine's GPU: CUDA tests, every recipe, figures beside an older build's.

    tests/device/run [--before WHEEL|FOLDER] [--out FOLDER]  # of an older pixkit: its wheel, or its source tree
    tests/device/run --parts training sampling --minutes 4    # some parts, in a sitting of their own
    tests/device/run --parts nats --mnist FOLDER              # trains on MNIST as long as there is time
    tests/device/run --device cpu                             # the same in a small form, on a CPU

It needs the pixkit that is to be tried, with its extra `test`, in the environment of the Python that runs it, and no
data. Each line is printed as soon as it is known; the folder (--out, else $OUT, else device-report) has all of them at
any time, as report.json and, for README, report.md, and in .txt files what tests, recipes and builds printed, with the
tracebacks. A part that fails, or whose time is up, stops no other.

It exits with 0 if all holds; 1 if something does not; 3 if nothing fails, but figures had nothing to be compared with,
for want of --before; 77 if there is no GPU.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from attempts import cuda_tests, every_recipe, first_looks, nats
from before import python_of
from device_report import Report
from outcomes import FAILED, Row, exit_code
from speed import Speed

from pixkit.distribution import version
from pixkit.recipe import packaged_recipes

NO_GPU = 77
BUDGETS = {"first": 60.0, "training": 140.0, "sampling": 40.0, "tests": 55.0, "recipes": 60.0, "nats": 5.0}
"""Seconds of the parts, in this order; what one leaves, the next ones have."""
MINUTES = {"cuda": 6.0, "cpu": 90.0}


def main(arguments=None):
    """Run the parts and print the table; the exit code."""
    chosen = _arguments(arguments)
    if chosen.device != "cpu" and not torch.cuda.is_available():
        print(
            f"there is no GPU that torch {torch.__version__} can use; nothing was run; --device cpu runs a small form"
        )
        return NO_GPU
    device = "cpu" if chosen.device == "cpu" else "cuda"
    report = Report(chosen.out, about(device))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pixkit-device-") as folder:
        old = _older(chosen, report, Path(folder))
        speed = Speed(Path(folder), device, old, report.log)
        work = {
            "first": lambda end: first_looks(device, end, report.log, chosen.jobs),
            "training": speed.training_rows,
            "sampling": speed.sampling_rows,
            "tests": lambda end: cuda_tests(device, end, report.log("tests")),
            "recipes": lambda end: every_recipe(chosen.recipes, device, end, chosen.jobs, report.log),
            "nats": lambda end: nats(chosen, device, end, report.log("nats")),
        }
        for part, end in ends(chosen.parts, begin, 60 * (chosen.minutes or MINUTES[device])).items():
            print(f"{part} ... (after {time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
            report.take(part, work[part](end))
        speed.close()
    report.about["seconds"] = round(time.monotonic() - begin, 1)
    report.write()
    if chosen.json:
        shutil.copy(report.folder / "report.json", chosen.json)
    print(report.text())
    return exit_code(report.rows)


def about(device):
    """What was tried, and where."""
    found = {"pixkit": version(), "torch": torch.__version__, "device": "cpu"}
    if device == "cuda":
        found |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        found |= {"capability": "{}.{}".format(*torch.cuda.get_device_capability())}
    return found


def ends(parts, begin, seconds):
    """When the time of each part is up; parts that are not chosen leave theirs to the others."""
    parts = [part for part in BUDGETS if part in parts]
    share, passed, found = seconds / sum(BUDGETS[part] for part in parts), 0.0, {}
    for part in parts:
        passed += BUDGETS[part] * share
        found[part] = begin + passed
    return found


def _older(chosen, report, folder):
    """The older build's Python; None, and a row that says why, if it cannot be had."""
    if chosen.before is None:
        return chosen.old
    try:
        return python_of(chosen.before, folder)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        report.log("before").write_text(f"{said}\n", encoding="utf-8")
        report.add(Row("before", str(chosen.before), FAILED, f"no environment with it: {said}"))
        return None


def _arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="tests/device/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--before", metavar="PATH", help="the pixkit to compare with: a wheel, or a source tree")
    parser.add_argument("--old", metavar="PYTHON", help="the same: the Python of an environment that has it")
    parser.add_argument("--out", metavar="FOLDER", default=os.environ.get("OUT") or "device-report")
    parser.add_argument("--json", metavar="FILE", help="write report.json there, too")
    parser.add_argument("--minutes", type=float, help="for all parts together; 6 on a GPU")
    parser.add_argument("--jobs", type=int, default=min(16, os.cpu_count() or 1), help="recipes tried at a time")
    parser.add_argument("--parts", nargs="+", choices=tuple(BUDGETS), default=tuple(BUDGETS))
    parser.add_argument("--recipes", nargs="+", metavar="NAME", default=sorted(packaged_recipes()))
    parser.add_argument("--mnist", metavar="FOLDER", help="MNIST's four files, to train on for the part `nats`")
    parser.add_argument("--nats-recipe", metavar="NAME", default="mnist-gated")
    return parser.parse_args(arguments)
