"""Builds on a disk of which one call fails: every checkpoint is sound, and going on ends as if nothing had happened."""

import shutil

import pytest
from failing import CHANGES, LOOKS, Found, check_end, counting, faults
from forks import LONG, TINY, same, scratch, sound

from pixkit.runs.run import Run

pytestmark = [pytest.mark.long, pytest.mark.needs_compiler]

SHORT = ("train.steps=3", "train.eval_every=2", "train.sample_every=3", "train.keep=1")
PHASES = """\
pixkit: 1
name: phases
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: pixelgan
  backbone: {type: pixelcnn, width: 4, layers: 0, first_kernel: 3, output_layers: 1}
  gaussian: 2
  features: 4
  encoder: {width: 4, hidden: 8}
  discriminator: {hidden: 8, layers: 1}
train: {steps: 3, batch_size: 8, eval_every: 2, checkpoint_every: 1, keep: 1, ema: 0.9}
sample: {count: 2}
"""


class Build:
    """A build into a folder that is prepared anew for each fault; `before` is a build whose run is there first."""

    def __init__(self, nursery, folder, *arguments, before=None, watched="run"):
        self._nursery = nursery
        self._folder = folder
        self._arguments = arguments
        self._before = before and folder / "before"
        self.run = Run(folder / "run")
        self.watched = folder / watched
        if before:
            done = self._build(self._before, before)
            assert done.wait() == 0, done.err
        self.anew()
        done = self._start(fail=counting(self.watched, [*CHANGES, *LOOKS]))
        assert done.wait() == 0, done.err
        self._calls = done.calls
        self.whole = Run(shutil.copytree(self.run.path, folder / "whole"))

    def anew(self):
        shutil.rmtree(self.run.path, ignore_errors=True)
        if self._before:
            shutil.copytree(self._before, self.run.path)

    def _build(self, out, arguments, **options):
        return self._nursery.start(self._folder, "build", *arguments, "-o", out, **options)

    def _start(self, **options):
        return self._build(self.run.path, self._arguments, **options)

    def calls(self, kinds):
        """The calls of these kinds that concern the watched folder when nothing fails."""
        return [call for call in self._calls if call[0] in kinds]

    def survives(self, fault, kinds):
        self.anew()
        command = self._start(fail=fault.request(self.watched, kinds))
        check_end(command, fault, self.watched)
        sound(self.run.path)
        self._go_on()
        same(self.run, self.whole)

    def _go_on(self):
        """What a user does next: resume what is there; where that is the run that was to be replaced, replace it."""
        anew = [argument for argument in self._arguments if not argument.startswith("--")]
        resume = ["--resume"] if self.run.started else []
        command = self._build(self.run.path, [*anew, *resume])
        if command.wait() == 2 and "--overwrite" in self._arguments:
            assert "the recipe is not the one that this run was started with" in command.err, command.err
            command = self._start()
        assert command.wait() == 0, command.err


def new(nursery, folder):
    (folder / "tiny.yaml").write_text(TINY)
    return Build(nursery, folder, "tiny.yaml", *SHORT)


def resumed(nursery, folder):
    (folder / "tiny.yaml").write_text(TINY)
    longer = ("train.steps=5", *SHORT[1:])
    return Build(nursery, folder, "tiny.yaml", *longer, "--resume", before=("tiny.yaml", *SHORT))


def overwriting(nursery, folder):
    (folder / "tiny.yaml").write_text(TINY)
    return Build(nursery, folder, "tiny.yaml", *SHORT, "--overwrite", before=("tiny.yaml", *SHORT, "seed=1"))


def several_phases(nursery, folder):
    (folder / "phases.yaml").write_text(PHASES)
    return Build(nursery, folder, "phases.yaml")


MADE = {make.__name__: make for make in (new, resumed, overwriting, several_phases)}
"""A new build of several phases does what the other does, and is the one that is tried in short."""


@pytest.fixture(scope="module", params=MADE if LONG else [name for name in MADE if name != "new"])
def build(request, _breakable):
    folder = scratch()
    yield MADE[request.param](_breakable, folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("kinds", "lasting", "sample"),
    [(CHANGES, False, 2), (CHANGES, True, 1), (LOOKS, False, 1), (LOOKS, True, 1)],
    ids=["a change fails", "all changes from one on fail", "a look fails", "all looks from one on fail"],
)
def test_survives(build, breakable, kinds, lasting, sample):
    found = Found()
    tried = [*faults(build.calls(kinds), sample, lasting)]
    assert tried
    for fault in tried:
        found.check(fault, lambda fault: build.survives(fault, [*kinds]))
    found.tell()
