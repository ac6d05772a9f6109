"""What is tried in processes of its own, each with a limit, so that no failure and no hang stops the rest."""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from first_look import LOOKS
from outcomes import FAILED, OK, UNCOMPARED, Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ONE_TEST = 45
"""Seconds that one of the CUDA tests may take."""


def cuda_tests(device, end, log):
    """The tests that need a CUDA device. If time is up, those that were over count."""
    if device == "cpu":
        yield Row("tests", "pytest -m cuda", UNCOMPARED, "needs a GPU", needed=False)
        return
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text("utf-8"))
    report = log.with_suffix(".xml")
    report.unlink(missing_ok=True)
    options = ["-vv", "-m", "cuda", "-p", "no:cacheprovider", f"--timeout={ONE_TEST}", f"--junitxml={report}"]
    limit = max(end - time.monotonic(), 1)
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, stdout=out, stderr=out)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            yield from _cut_off(log, limit)
            return
    if report.exists():
        yield from read_report(report)
    else:
        yield Row("tests", "pytest -m cuda", FAILED, f"exit {process.returncode}: {_end(log)}")


def _cut_off(log, limit):
    """What is known of tests that did not end."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    passed = sum(" PASSED" in line for line in lines)
    last = next((line for line in reversed(lines) if "::" in line), "")
    note = f"did not end within {limit:.0f} s; {passed} passed; the last line is: {last}"
    yield Row("tests", "pytest -m cuda", FAILED, note)
    for line in lines:
        if " FAILED" in line or " ERROR" in line:
            yield Row("tests", line.split()[0], FAILED, f"see {log.name}")


def read_report(report):
    """A row for the tests together, and one for each that failed; tests that were left out have not held."""
    suite = ET.parse(report).getroot().find("testsuite")
    count = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    passed = count["tests"] - sum(count[key] for key in ("failures", "errors", "skipped"))
    good = passed > 0 and passed == count["tests"]
    note = ", ".join(f"{number} {name}" for name, number in {**count, "passed": passed}.items() if number)
    yield Row("tests", "pytest -m cuda", OK if good else FAILED, note)
    for case in suite.iter("testcase"):
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                said = (found.get("message") or kind).split("\n")[0]
                yield Row("tests", case.get("name"), FAILED, said if kind != "skipped" else f"left out: {said}")


def every_recipe(names, device, end, jobs, log):
    """Each in a process of its own: what one of them does to the device, the others do not meet."""
    script = HERE / "every_recipe.py"
    yield from _all({name: [script, name, device] for name in names}, "recipes", end, jobs, log)


def first_looks(device, end, log, jobs):
    """What is most likely to be wrong, with all that is needed to mend it."""
    script = HERE / "first_look.py"
    yield from _all({name: [script, name, device] for name in LOOKS}, "first", end, min(jobs, 3), log)


def _all(commands, part, end, jobs, log):
    with ThreadPoolExecutor(jobs) as pool:
        futures = [
            pool.submit(answer, part, name, command, end, log(f"{part}/{name}")) for name, command in commands.items()
        ]
        for future in as_completed(futures):
            yield future.result()


def answer(part, what, command, end, log):
    """The row that a script's last line on stdout gives: [verdict, note, figures]; its stderr is logged."""
    limit = end - time.monotonic()
    if limit <= 0:
        return Row(part, what, FAILED, "not begun: time was up")
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONFAULTHANDLER": "1"}
    out = log.with_suffix(".out")
    with open(log, "w", encoding="utf-8") as errors, open(out, "w", encoding="utf-8") as stdout:
        process = subprocess.Popen([sys.executable, *map(str, command)], stdout=stdout, stderr=errors, env=env)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return Row(part, what, FAILED, f"did not end within {limit:.0f} s: {_end(log)}")
    try:
        row = Row(part, what, *json.loads(out.read_text("utf-8").splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        return Row(part, what, FAILED, f"exit {process.returncode}: {_end(log)}")
    finally:
        out.unlink(missing_ok=True)
    return row if row.verdict != UNCOMPARED else Row(part, what, UNCOMPARED, row.note, row.figures, needed=False)


def _end(log):
    """The last of what was printed."""
    return f"{' '.join(log.read_text('utf-8', errors='replace').split())[-300:]} (see {log.parent.name}/{log.name})"


def nats(chosen, device, end, log):
    """A recipe trained as long as there is time."""
    data = {} if chosen.mnist is None else {"data.root": str(Path(chosen.mnist).resolve())}
    if device == "cpu":
        recipe, data = "digits-pixelcnn", {"model.backbone.width": 8, "data.limit_train": 100, "data.limit_test": 20}
    elif chosen.mnist is None:
        yield Row("nats", chosen.nats_recipe, UNCOMPARED, "no images were given (--mnist)", needed=False)
        return
    else:
        recipe = chosen.nats_recipe
    seconds = end - time.monotonic()
    if device == "cpu":
        seconds = min(seconds, 20.0)
    asked = {"recipe": recipe, "device": device, "seconds": seconds}
    asked["options"] = [f"{key}={value}" for key, value in data.items()]
    yield answer("nats", recipe, [HERE / "nats.py", json.dumps(asked)], end + seconds * 0.1, log)
