"""Commands that read data or write one file, on a disk of which one call fails: the file is the old one or the new."""

import shutil

import numpy as np
import pytest
from failing import CHANGES, LOOKS, Found, check_end, counting, faults
from forks import TINY, same, scratch, sound
from PIL import Image

from pixkit.runs.run import Run

pytestmark = [pytest.mark.long, pytest.mark.needs_compiler]

OLD = b"what was there before"
COMMANDS = {
    "grid": ("sample", "run", "-n", "2", "-o", "out/a.png"),
    "archive": ("sample", "run", "-n", "2", "-o", "out/a.npz"),
    "pictures": ("sample", "run", "-n", "2", "-o", "out/new"),
    "completion": ("complete", "run", "test:0", "--keep-top", "4", "-n", "1", "-o", "out/a.png"),
    "completed": ("complete", "run", "test:0", "--keep-top", "4", "-n", "1", "-o", "out/a.npz"),
    "recipe": ("cp", "digits-pixelcnn", "out/a.yaml", "--force"),
}
READING = """\
pixkit: 1
name: reading
data: {data}
model: {{type: autoregressive, backbone: {{type: pixelcnn, width: 4, layers: 1, first_kernel: 3, output_layers: 1}}}}
train: {{steps: 1, batch_size: 2}}
sample: {{count: 1}}
"""
DATA = {
    "arrays": "{source: arrays, path: data/a.npz, layout: NHW}",
    "images": "{source: images, path: data, size: 4, channels: 1}",
    "one_image": "{source: one_image, path: data/0.png, size: 4, channels: 1}",
}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def place(_breakable):
    folder = scratch()
    (folder / "tiny.yaml").write_text(TINY)
    done = _breakable.start(folder, "build", "tiny.yaml", "train.steps=1", "-o", "run")
    assert done.wait() == 0, done.err
    (folder / "data").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 4), dtype=np.uint8)
    np.savez(folder / "data" / "a.npz", train=images[:2], test=images[2:])
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / "data" / f"{number}.png")
    for name, data in DATA.items():
        (folder / f"{name}.yaml").write_text(READING.format(data=data))
    yield folder
    shutil.rmtree(folder)


class Writing:
    """A command that writes into a folder; what it replaces was there before."""

    def __init__(self, nursery, place, arguments):
        self._nursery = nursery
        self._place = place
        self._arguments = arguments
        self._out = place / "out"
        self._old = {} if arguments[-1] == "out/new" else {arguments[-1 - ("--force" in arguments)][4:]: OLD}

    def run(self, **options):
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir()
        for name, content in self._old.items():
            (self._out / name).write_bytes(content)
        return self._nursery.start(self._place, *self._arguments, **options)

    def calls(self, kinds):
        command = self.run(fail=counting(self._out, kinds))
        assert command.wait() == 0, command.err
        self._new = contents(self._out)
        return command.calls

    def survives(self, fault, kinds):
        command = self.run(fail=fault.request(self._out, kinds))
        check_end(command, fault, "out")
        found = contents(self._out)
        if command.wait() == 0:
            assert found == self._new
        elif not self._old:
            assert found.items() <= self._new.items()
        else:
            assert found in (self._old, self._new)


@pytest.mark.parametrize("name", COMMANDS)
def test_outputs(place, breakable, name):
    writing, kinds, found = Writing(breakable, place, COMMANDS[name]), [*CHANGES], Found()
    tried = [*faults(writing.calls(kinds), 2)]
    assert tried
    for fault in tried:
        found.check(fault, lambda fault: writing.survives(fault, kinds))
    found.tell()


@pytest.mark.parametrize("name", DATA)
def test_data(place, breakable, name):
    """Images are read whole or not at all: there is a line and no run, or a run that is like any other."""
    runs, kinds, found = place / "runs" / name, [*LOOKS], Found()

    def build(out, **options):
        return breakable.start(place, "build", f"{name}.yaml", "-o", runs / out, **options)

    def survives(fault):
        shutil.rmtree(runs / "cut", ignore_errors=True)
        command = build("cut", fail=fault.request(place / "data", kinds))
        check_end(command, fault, place / "data")
        assert sound(runs / "cut") in (0, 1)
        if command.wait():
            assert not (runs / "cut").exists()
        else:
            same(Run(runs / "cut"), Run(runs / "whole"))

    whole = build("whole", fail=counting(place / "data", kinds))
    assert whole.wait() == 0, whole.err
    for fault in faults(whole.calls, 2):
        found.check(fault, survives)
    found.tell()
