"""Commands forked from a warm process, and what runs are compared by."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from untimed import untimed

from pixkit.runs import checkpoint
from pixkit.runs.run import Run

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("PIXKIT_LONG") == "1"

TINY = """\
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 4, layers: 1, first_kernel: 3, output_layers: 1, dropout: 0.1}
train: {steps: 8, batch_size: 8, eval_every: 3, checkpoint_every: 1, sample_every: 4, keep: 2, ema: 0.9}
sample: {count: 2}
"""
VARIABLES = ("NO_COLOR", "FORCE_COLOR", "PIXKIT_TRACEBACK", "PIXKIT_DISABLE_PLUGINS")


def environment():
    """The environment of commands in processes of their own: one thread, this pixkit."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


class Command:
    """A command that the nursery has started."""

    def __init__(self, nursery, folder, name, pid):
        self._nursery = nursery
        self._files = folder / name
        self.pid = pid
        self._code = None

    def send(self, number):
        os.kill(self.pid, number)

    def wait(self):
        """The exit code, -9 if it was killed."""
        if self._code is None:
            self._code = int(self._nursery.ask({"wait": self.pid}))
        return self._code

    @property
    def running(self):
        """Whether it still runs; a process that ended and was not waited for is a zombie."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    @property
    def out(self):
        return self._said(".out")

    @property
    def err(self):
        return self._said(".err")

    def _said(self, suffix):
        """What is in a file that the new process makes, which may not have come to that."""
        path = self._files.with_suffix(suffix)
        return path.read_text() if path.exists() else ""

    @property
    def calls(self):
        """The calls of the file system that a command with `fail` has made: their kind and the path each."""
        return [tuple(line.split(" ", 2)[1:]) for line in self._said(".calls").splitlines()]

    @property
    def changes(self):
        """How many changes of the file system a command with `die_at` came to."""
        return int(self._files.with_suffix(".changes").read_text() or 0)


class Nursery:
    """Starts commands in processes forked from one that has torch in memory already."""

    def __init__(self, **variables):
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("nursery.py")],
            env={**environment(), **variables},
            stderr=subprocess.DEVNULL,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"
        self._count = 0
        self.started = []

    def ask(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def start(self, folder, *arguments, **options):
        """Start `pixkit ARGUMENTS...` in a folder; the nursery says what the options mean."""
        self._count += 1
        name = f"command-{self._count}"
        request = {"run": [str(argument) for argument in arguments], "folder": str(folder), "name": name}
        usual = {"die_at": None, "fail": None, "close": (), "unread": (), "lease": None, "limit": 0}
        pid = int(self.ask({**request, **usual, **options}))
        self.started.append(Command(self, folder, name, pid))
        return self.started[-1]

    def clear(self):
        """End what is left of the commands that were started."""
        for command in self.started:
            if command._code is None:
                command.send(signal.SIGKILL)
                command.wait()
        self.started = []

    def close(self):
        self.clear()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Moments:
    """Random moments of a build; how long one takes is learnt from those that ended before theirs came."""

    def __init__(self, seed):
        self._choose = random.Random(seed)
        self._seconds = 1.0

    def wait(self):
        time.sleep(self._choose.uniform(0, self._seconds))

    def missed(self):
        self._seconds *= 0.8


class Runs:
    """Builds of one recipe in one folder."""

    def __init__(self, nursery, folder, name, *overrides):
        self.nursery = nursery
        self.folder = folder
        self.path = folder / name
        self.overrides = overrides

    def start(self, **options):
        """Begin the run, or go on with it."""
        resume = ["--resume"] if Run(self.path).started else []
        return self.nursery.start(
            self.folder, "build", "tiny.yaml", *self.overrides, "-o", self.path, *resume, **options
        )

    def finish(self, **options):
        """The run, ended properly, and the command that ended it."""
        command = self.start(**options)
        assert command.wait() == 0, command.err
        return Run(self.path), command

    def anew(self):
        shutil.rmtree(self.path, ignore_errors=True)


def until(condition):
    """Wait for something that another process does."""
    for _ in range(20_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for minutes")


def scratch():
    """A new folder, in memory where there is a place for that: a killed process tests no disk."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="pixkit-", dir=memory if os.access(memory, os.W_OK) else None))


def sound(folder):
    """Check every byte of every checkpoint in a folder that may hold a run; return how many there are."""
    run = Run(folder)
    if not run.started:
        return 0
    for step in run.steps():
        checkpoint.verify(run.checkpoint_folder(step))
    for which in ("last", "best"):
        if (run.path / which).exists():
            checkpoint.verify(run.checkpoint(which))
    list(run.rows())
    run.settings()
    return len(run.steps())


def files(run):
    """Paths of a run's files; what it holds while a build is writing aside."""
    return sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file())


def same(left, right):
    """Whether two runs came to the same bytes, but for times and the names of the folders."""
    assert files(left) == files(right)
    assert untimed(left.rows()) == untimed(right.rows())
    for name in files(left):
        if name not in ("metrics.jsonl", "recipe.lock.yaml", "env.json") and not name.endswith("manifest.json"):
            assert (left.path / name).read_bytes() == (right.path / name).read_bytes(), name
    for step in left.steps():
        states = [checkpoint.verify(run.checkpoint_folder(step)) for run in (left, right)]
        assert states[0] == states[1]
