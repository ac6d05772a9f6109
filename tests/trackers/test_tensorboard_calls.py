"""What TensorBoard's writer is told; with a writer that only remembers it, as TensorBoard is an extra."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pixkit.errors import UsageError
from pixkit.testing import named
from pixkit.trackers import TRACKERS, Tracker


@pytest.fixture
def told(monkeypatch):
    """The calls of the writer, in order."""
    calls = []

    class Writer:
        def __init__(self, folder, **options):
            calls.append(("open", folder, options))
            self.file_writer = SimpleNamespace(add_summary=lambda summary: calls.append(("summary", summary)))

        def __getattr__(self, name):
            return lambda *given, **named: calls.append((name, *given, *sorted(named.items())))

    board, summary = ModuleType("torch.utils.tensorboard"), ModuleType("torch.utils.tensorboard.summary")
    board.SummaryWriter = Writer
    summary.hparams = lambda given, compared: (given, compared, "end")
    monkeypatch.setitem(sys.modules, board.__name__, board)
    monkeypatch.setitem(sys.modules, summary.__name__, summary)
    return calls


def begun(told, tmp_path, step=0):
    tracker = named("tracker", "tensorboard", flush_secs=7).build()
    tracker.start(tmp_path, {"seed": 1}, step)
    assert told.pop() == ("open", str(tmp_path / "tensorboard"), {"purge_step": step + 1, "flush_secs": 7})
    return tracker


def test_numbers_are_scalars_of_their_step_and_the_recipe_is_told_once_with_the_first_scores(told, tmp_path):
    tracker = begun(told, tmp_path, 4)
    tracker.log(5, {"train/loss": 2.0, "train/lr": 0.5})
    assert told == [("add_scalar", "train/loss", 2.0, 5), ("add_scalar", "train/lr", 0.5, 5)]
    told.clear()
    for step in (6, 7):
        tracker.log(step, {"validation/nats": 3.0, "other": 1.0})
    scalars = [("add_scalar", name, value, 6) for name, value in (("validation/nats", 3.0), ("other", 1.0))]
    summaries = [("summary", one) for one in ({"seed": 1}, {"validation/nats": 0.0}, "end")]
    assert told == [*scalars, *summaries, *((*one[:3], 7) for one in scalars)]
    told.clear()
    tracker.save()
    tracker.finish()
    assert told == [("flush",), ("close",)]


def test_without_scores_the_recipe_is_told_at_the_end(told, tmp_path):
    begun(told, tmp_path).finish()
    assert told == [("summary", {"seed": 1}), ("summary", {}), ("summary", "end"), ("close",)]


def test_a_picture_is_told_in_colour_as_it_is(told, tmp_path):
    tracker, path = begun(told, tmp_path), tmp_path / "step-3.png"
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40).save(path)
    tracker.image(3, path)
    ((call, name, pixels, *rest),) = told
    assert (call, name, rest) == ("add_image", "samples", [3, ("dataformats", "HWC")])
    assert pixels.dtype == np.uint8 and pixels[..., 2].tolist() == [[0, 40, 80], [120, 160, 200]]


def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch):
    class Needy(Tracker):
        packages = {"pixkit": "there", "no_such_module": "such[extra]"}  # noqa: RUF012
        start = log = None

    with pytest.raises(UsageError, match="Needy needs no_such_module, which is not installed") as caught:
        Needy(None).check()
    assert caught.value.where == "train.log" and "no_such_module" in caught.value.found
    assert caught.value.hint == "pip install 'such[extra]', or leave it out of train.log"
    Needy.packages = {"pixkit": "there"}
    Needy(None).check()
    assert repr(Needy(None)) == "<Needy tracker>" and TRACKERS["tensorboard"].packages.keys() == {"tensorboard"}
