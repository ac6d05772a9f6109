"""Processor time of commands that look things up, over that of `pixkit --help`, and of `validate` over torch's import.

    python tests/benchmarks/look_up.py --rounds 7

Each command is a process of its own, in turns; the least of each counts. Before it, the catalogue is made once, which
is told as well, and a run is built and copied. Aims: `ls`, `show` and completion at most 3 times `--help`, `validate`
at most 1.3 times the import.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIXKIT = ("-m", "pixkit")
HELP = "pixkit --help"
RUNS = 8
SHORT = ["train.steps=2", "train.eval_every=2", "train.checkpoint_every=2", "train.eval_images=8", "train.batch_size=8"]
WORDS = {"COMP_WORDS": "pixkit build digits-pixelcnn model.backbone.", "COMP_CWORD": "3"}
COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "python -c pass": (("-c", "pass"), {}),
    "import pixkit": (("-c", "import pixkit"), {}),
    HELP: ((*PIXKIT, "--help"), {}),
    "pixkit ls": ((*PIXKIT, "ls"), {}),
    "pixkit ls backbones": ((*PIXKIT, "ls", "backbones"), {}),
    "pixkit ls runs, of no runs": ((*PIXKIT, "ls", "runs", "empty"), {}),
    f"pixkit ls runs, of {RUNS}": ((*PIXKIT, "ls", "runs"), {}),
    "pixkit show run": ((*PIXKIT, "show", "run", "runs/0"), {}),
    "pixkit show backbone pixelcnn": ((*PIXKIT, "show", "backbone", "pixelcnn"), {}),
    "pixkit show recipe": ((*PIXKIT, "show", "recipe"), {}),
    "pixkit show recipe digits-pixelcnn": ((*PIXKIT, "show", "recipe", "digits-pixelcnn"), {}),
    "completion of a command": (PIXKIT, {**WORDS, "COMP_CWORD": "1", "_PIXKIT_COMPLETE": "bash_complete"}),
    "completion of a key": (PIXKIT, {**WORDS, "_PIXKIT_COMPLETE": "bash_complete"}),
    "import torch": (("-c", "import torch"), {}),
    "pixkit validate digits-pixelcnn": ((*PIXKIT, "validate", "digits-pixelcnn"), {}),
}


def seconds(arguments: tuple[str, ...], environment: dict[str, str], folder: str) -> float:
    """Processor time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_runs(environment: dict[str, str], folder: str) -> None:
    """A run of two steps, and copies of it with other seeds."""
    first = Path(folder) / "runs" / "0"
    command = [sys.executable, *PIXKIT, "build", "digits-pixelcnn", *SHORT, "-q", "-o", str(first)]
    subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for seed in range(1, RUNS):
        lock = shutil.copytree(first, first.with_name(str(seed))) / "recipe.lock.yaml"
        text = lock.read_text(encoding="utf-8")
        lock.write_text(text.replace("\nseed: 0\n", f"\nseed: {seed}\n"), encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        # Bytecode as after an installation: compiled once, and found from then on.
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        variables |= {
            "PYTHONPATH": paths,
            "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
            "PIXKIT_CACHE": f"{folder}/cache",
        }
        (Path(folder) / "empty").mkdir()
        print(f"first call, bytecode and catalogue made  {seconds((*PIXKIT, '--help'), variables, folder):.3f} s")
        for path in (Path(folder) / "cache" / "catalogue").iterdir():
            path.unlink()
        print(f"catalogue made                           {seconds((*PIXKIT, '--help'), variables, folder):.3f} s\n")
        make_runs(variables, folder)
        found: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for turn in range(rounds + 1):
            for name, (arguments, extra) in COMMANDS.items():
                took = seconds(arguments, variables | extra, folder)
                if turn:  # the first compiles what was not yet
                    found[name].append(took)
    least = {name: min(times) for name, times in found.items()}
    print(f"{'command':36} seconds  / --help  / import torch")
    for name, took in least.items():
        print(f"{name:36} {took:7.3f}  {took / least[HELP]:8.2f}  {took / least['import torch']:14.2f}")


if __name__ == "__main__":
    main()
