"""Whatever stands where a file of a run should: every command answers soon, with an exit code that says what is wrong.

And where it says that all is well, the answer is the sound run's. PIXKIT_LONG=1 tries every mutation.
"""

import itertools
import json
import os
import random
import shutil
from dataclasses import dataclass

import pytest
from forks import LONG, scratch
from mutations import MOVED, mutations

from pixkit.errors import PixkitError
from pixkit.runs.run import Run

MOST = int(os.environ.get("PIXKIT_MUTATIONS", "300"))
"""Of each file and command in the long form: a lock can be changed in a thousand places."""
SECONDS = 60
"""After which a command hangs: the slowest takes one."""
RECIPE = """\
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 16, limit_test: 4}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 2, layers: 1, first_kernel: 3, output_layers: 1}
train:
  {steps: 4, batch_size: 4, eval_every: 2, checkpoint_every: 2, ema: 0.9, precision: fp32, memory_format: contiguous}
sample: {count: 1}
"""
LOCK, GIVEN, MACHINE, TABLE = "recipe.lock.yaml", "recipe.yaml", "env.json", "scores.json"
NEWEST = "checkpoints/step-4"
SHOWN = (LOCK, MACHINE, TABLE, "best", f"{NEWEST}/manifest.json")
WEIGHTS = (LOCK, "best", f"{NEWEST}/manifest.json", f"{NEWEST}/ema.safetensors")
SORTS = ("kind", "bytes", "saying")
GOING_ON = (LOCK, GIVEN, MACHINE, "metrics.jsonl", "last", *WEIGHTS[2:], f"{NEWEST}/optimizer.safetensors")


@dataclass(frozen=True)
class Reading:
    """A command that reads a run, the files that it needs, how many mutations of each are tried, and what it writes.

    `told` is whether what it prints is the same each time.
    """

    arguments: tuple
    needs: tuple
    cases: int = len(SORTS)
    writes: str | None = None
    told: bool = True


COMMANDS = {
    "ls": Reading(("ls", "runs", ".", "--json"), SHOWN),
    "show": Reading(("show", "run", "run", "--json"), SHOWN),
    "show in words": Reading(("show", "run", "run"), SHOWN),
    "compare": Reading(
        ("compare", "run", "sound", "--png", "curves.png"), (*SHOWN, "metrics.jsonl"), cases=2, told=False
    ),
    "report": Reading(
        ("report", "run", "sound", "-o", "page.html", "--no-field"), (*SHOWN, "metrics.jsonl"), cases=1, told=False
    ),
    "sample": Reading(("sample", "run", "-o", "drawn.npz", "-q"), WEIGHTS, writes="drawn.npz"),
    "eval": Reading(("eval", "run", "--limit", 2, "--json", "-q"), WEIGHTS),
    "complete": Reading(
        ("complete", "run", "test:0", "--keep-top", 6, "-n", 1, "-o", "completed.npz", "-q"),
        WEIGHTS,
        writes="completed.npz",
    ),
    "verify": Reading(("verify", "run", "--json", "-q"), WEIGHTS, cases=1),
    "bench": Reading(("bench", "sample", "run", "--batch", 1, "--rounds", 1, "-q"), WEIGHTS, cases=1, told=False),
    "upscale": Reading(("upscale", "run", "test:0", "-o", "larger.png", "-q"), WEIGHTS, cases=1),
    "reconstruct": Reading(("reconstruct", "run", "test:0", "-o", "again.png", "-q"), WEIGHTS, cases=1),
    "start from": Reading(("build", "tiny.yaml", "--dry-run", "train.init_from=run", "-q"), WEIGHTS, told=False),
    "validate": Reading(("validate", "run/recipe.yaml", "--json"), (GIVEN,)),
    "cp": Reading(("cp", "run/recipe.yaml", "copied.yaml", "--force"), (GIVEN,), writes="copied.yaml"),
    "go on": Reading(
        ("build", "run", "--resume", "train.steps=5", "--json", "-q"),
        GOING_ON,
        writes="run/checkpoints/step-5/model.safetensors",
    ),
    "replace": Reading(
        ("build", "tiny.yaml", "-o", "run", "--overwrite", "--json", "-q"),
        (LOCK,),
        cases=6,
        writes="run/checkpoints/step-4/model.safetensors",
    ),
}


class Place:
    """A folder with a sound run, and one that is damaged again and again."""

    def __init__(self, nursery, folder):
        self.nursery = nursery
        self.folder = folder
        self.sound = folder / "sound"
        self.run = folder / "run"
        files = sorted(str(path.relative_to(self.sound)) for path in self.sound.rglob("*") if path.is_file())
        self.mutations = {file: mutations(self.sound, file) for file in files}
        self.expected = {}
        for name, reading in COMMANDS.items():
            self.restore()
            self.expected[name] = self.outcome(reading)
        self.restore()

    def restore(self, file=None):
        """Bring back the whole run, or one file of it."""
        if file is None:
            shutil.rmtree(self.run, ignore_errors=True)
            shutil.copytree(self.sound, self.run)
            return
        for path in (self.run / file, (self.run / file).with_name(MOVED)):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        shutil.copy2(self.sound / file, self.run / file)

    def outcome(self, reading):
        """Exit code, what was printed, the bytes of what was written, and what was said."""
        command = self.nursery.start(self.folder, *reading.arguments, limit=SECONDS)
        code = command.wait()
        self.nursery.started.remove(command)
        written = self.folder / (reading.writes or "nothing")
        content = written.read_bytes() if written.exists() else None
        if not written.is_relative_to(self.run):
            written.unlink(missing_ok=True)
        return code, command.out if reading.told else "", content, command.err

    def cases(self, name):
        """As many mutations of each file that a command needs, and of each sort; some of files that it does not."""
        reading, chance = COMMANDS[name], random.Random(name)
        spare = [one for file, found in self.mutations.items() if file not in reading.needs for one in found]
        count = MOST if LONG else reading.cases
        chosen = chance.sample(spare, count // 2)
        for file in reading.needs:
            sorts = [[one for one in self.mutations[file] if one.sort == sort] for sort in SORTS]
            mixed = [chance.sample(sort, len(sort)) for sort in chance.sample(sorts, len(sorts)) if sort]
            turns = [one for turn in itertools.zip_longest(*mixed) for one in turn if one is not None]
            chosen += turns[:count]
        return chosen

    def settings(self):
        """What the lock of the damaged run says; None if it cannot be read."""
        try:
            return Run.open(self.run).settings()
        except PixkitError:
            return None


@pytest.fixture(scope="module")
def place(_nursery):
    folder = scratch()
    (folder / "tiny.yaml").write_text(RECIPE)
    command = _nursery.start(folder, "build", "tiny.yaml", "-o", "sound", "-q")
    assert command.wait() == 0, command.err
    yield Place(_nursery, folder)
    _nursery.clear()
    shutil.rmtree(folder)


def fault(place, name, mutation):
    """What is wrong with the answer of a command to a damaged run; None if nothing is."""
    mutation.apply(place.run / mutation.file)
    if (place.run / mutation.file).is_file():  # dated as it was: when a run was last written to is shown
        shutil.copystat(place.sound / mutation.file, place.run / mutation.file)
    # A lock with another value in it is another recipe, and `best` may name any checkpoint or none.
    another = mutation.file == LOCK and place.settings() != Run.open(place.sound).settings()
    another = another or (mutation.file in ("best", "last") and mutation.name == "missing")
    code, out, content, err = place.outcome(COMMANDS[name])
    place.restore(None if COMMANDS[name].arguments[0] == "build" else mutation.file)
    if code not in (0, 2, 3, 4) or "Traceback" in err:
        return f"exit code {code}: {err[-400:]}"
    if name == "ls":
        return _listed(place, code, out, tells=another or mutation.file in (MACHINE, TABLE))
    if code and not err.strip() and name != "validate":
        return f"exit code {code} without a word"
    answer, expected = (code, out, content), place.expected[name][:3]
    if mutation.file not in COMMANDS[name].needs and answer != expected:
        return f"has no use for it, and yet: exit code {code}, {err[-400:]}"
    tells = mutation.file in (GIVEN, MACHINE, TABLE)  # what they say is shown, not used
    if code == expected[0] == 0 and not another and not tells and answer != expected:
        return "another answer than the sound run's"
    return None


def _listed(place, code, out, tells):
    """What is wrong with a list of both runs; the damaged one is marked, or listed as before unless it `tells` more."""
    if code:
        return f"exit code {code}"
    before, now = ({row["path"]: row for row in json.loads(text)} for text in (place.expected["ls"][1], out))
    for rows in (before, now):
        rows["sound"].pop("differs")  # from the damaged run
    if now.keys() != before.keys() or now["sound"] != before["sound"]:
        return f"not the runs that are there: {out}"
    return None if tells or "error" in now["run"] or now["run"] == before["run"] else "another run than it was"


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers(place, name):
    cases = place.cases(name)
    found = [(mutation, fault(place, name, mutation)) for mutation in cases]
    faults = [f"{mutation}: {what}" for mutation, what in found if what]
    print(f"{name}: {len(cases)} cases, {len(faults)} faults")
    assert not faults, f"{len(faults)} of {len(cases)}:\n" + "\n".join(faults)
