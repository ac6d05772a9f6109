"""Plant faults one at a time and see which of them the tests notice; README.md here says more.

    python tests/mutation/run.py --seed 1 --count 200 --jobs 2
    python tests/mutation/run.py --only pixkit/heads --kind "off by one" --seed 3 --count 50
    python tests/mutation/run.py --seed 1 --count 200 --confirm
    python tests/mutation/run.py --seed 1 --count 200 --report

A run that was ended goes on where it was when the command is given again. Its tests are recorded first, those of files
that have changed since the last time: half an hour on one core at first.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import choosing
import report
import sampling
from recording import Recorder
from trials import BUDGET, FIRST, Bench, Verdicts

ROOT = Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200, help="how many faults, those in C among them")
    parser.add_argument("--c-share", type=float, default=0.2, help="the share of faults in C")
    parser.add_argument("--only", action="append", default=[], metavar="PATH", help="beginning of the paths to mutate")
    parser.add_argument("--kind", action="append", default=[], metavar="KIND", help='such as "off by one"; else all')
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds of tests for a fault, as recorded")
    parser.add_argument("--confirm", action="store_true", help="run survivors with the tests that the budget left out")
    parser.add_argument("--report", action="store_true", help="print what is known, and run nothing")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "tmp" / "mutation", help="where copies and results are kept"
    )
    return parser.parse_args()


def in_turn(jobs, bench, work, items):
    """Call `work(bench, item)` for each item, in as many processes as there are jobs."""
    items = list(items)
    following = multiprocessing.get_context("fork").Value("i", 0)

    def worker(number):
        made = bench(number)
        while True:
            with following.get_lock():
                index, following.value = following.value, following.value + 1
            if index >= len(items):
                return
            work(made, items[index])

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=worker, args=(number,)) for number in range(min(jobs, len(items)))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a process of the harness failed; what it said is above")


def record(bench, path, calls):
    """Record the tests of a file; once more without tracing if some do not pass, as tracing may be why."""
    for tracing in (True, False):
        out = bench.place / "calls.jsonl"
        out.unlink(missing_ok=True)
        bench.pytest([path], [Recorder(bench.tree, out, tracing)], limit=3600)
        lines = out.read_text(encoding="utf-8") if out.exists() else ""
        append(calls, lines)
        if all(json.loads(line)["outcome"] == "passed" for line in lines.splitlines()):
            return


def append(path, text):
    """In one write, as other processes append too."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def unrecorded(tests):
    """Test files of which nothing is recorded as they are now; a file with no test that passes is among them."""
    known = {test.path for test in tests}
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py"))
    return [path for path in files if path not in known and not path.startswith("tests/mutation")]


def faults(options):
    """The faults of a run, Python's first."""
    in_c = round(options.count * options.c_share)
    files = (sampling.python_files(ROOT), options.count - in_c), (sampling.c_files(ROOT), in_c)
    confined = options.only, options.kind
    return [fault for group, count in files for fault in sampling.draw(ROOT, options.seed, count, group, *confined)]


def main():
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    calls, results = options.work / "tests.jsonl", options.work / "results.jsonl"
    drawn = faults(options)
    known = report.read(results)
    if options.report:
        print(report.text([known[fault.key] for fault in drawn if fault.key in known], len(drawn)))
        return

    def bench(number):
        return Bench(ROOT, options.work / f"job-{number}")

    tests = choosing.read(calls, ROOT)
    in_turn(options.jobs, bench, lambda made, path: record(made, path, calls), unrecorded(tests))
    tests = choosing.read(calls, ROOT)

    def attempt(made, fault):
        choice = choosing.choose(fault, tests, FIRST, options.budget)
        if options.confirm:
            choice = choosing.Choice((choice.left,), ())
        verdict, said = made.try_fault(fault, choice.rounds)
        line = report.line(fault, verdict, said, choice)
        append(results, json.dumps(line) + "\n")
        print(report.short(line), flush=True)

    if options.confirm:
        todo = [f for f in drawn if known.get(f.key, {}).get("verdict") == Verdicts.survived and known[f.key]["left"]]
    else:
        todo = [fault for fault in drawn if fault.key not in known]
    in_turn(options.jobs, bench, attempt, todo)
    known = report.read(results)
    print(report.text([known[fault.key] for fault in drawn if fault.key in known], len(drawn)))


if __name__ == "__main__":
    main()
