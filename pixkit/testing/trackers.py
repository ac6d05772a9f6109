"""The contract of trackers."""

from __future__ import annotations

import math
import os
import random
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pixkit.components.spec import ComponentSpec
from pixkit.testing.configs import check_config
from pixkit.trackers import Hyperparameter, Tracker

HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "name": "checked", "seed": 0, "train.optimizer.lr": 1e-3, "train.fuse": True, "train.clip": None, "train.log": "[]"
}  # fmt: skip


def check_tracker(tracker: ComponentSpec) -> None:
    """Check everything that pixkit requires of a tracker, with a short training that is killed and resumed.

    It accepts numbers that are not finite, rows of two kinds for one step, pictures, and steps that it was told before.
    It leaves random number generators, torch's default dtype, the working directory and signal handlers unchanged, and
    in the run's folder everything that it did not write.
    """
    check_config(tracker)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "checked"
        run.mkdir()
        kept, picture = run / "metrics.jsonl", run / "step-2.png"
        kept.write_text("{}\n", encoding="utf-8")
        Image.new("L", (8, 6), 128).save(picture)
        before = {path: path.read_bytes() for path in (kept, picture)}
        with _unchanged():
            _follow(tracker.build(), run, picture, first=0)
            _follow(tracker.build(), run, picture, first=1)
        for path, content in before.items():
            assert path.is_file() and path.read_bytes() == content, f"{path.name} of the run was changed"


def _follow(tracker: Tracker, run: Path, picture: Path, first: int) -> None:
    """Steps up to 3; the first tracker is not finished, as when a build is killed."""
    tracker.check()
    tracker.start(run, dict(HYPERPARAMETERS), first)
    for step in range(first + 1, 4):
        tracker.log(step, {"train/loss": 1.0 / step, "train/lr": 1e-3, "train/grad_norm": math.inf})
        if step == 2:
            tracker.log(step, {"validation/nats": math.nan, "validation/bits_per_dim": 1.5})
            tracker.image(step, picture)
            tracker.save()
    tracker.finish()


@contextmanager
def _unchanged() -> Iterator[None]:
    before = _state()
    yield
    for name, value in _state().items():
        assert value == before[name], f"{name} was changed"


def _state() -> dict[str, object]:
    """Process-wide state that training or its caller may depend on."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch's generator": torch.random.get_rng_state().tolist(),
        "Python's generator": random.getstate(),
        "numpy's generator": (kind, np.asarray(keys).tolist(), *rest),
        "torch's default type": torch.get_default_dtype(),
        "whether gradients are recorded": torch.is_grad_enabled(),
        "the working directory": os.getcwd(),
        "the handler of SIGINT": signal.getsignal(signal.SIGINT),
        "the handler of SIGTERM": signal.getsignal(signal.SIGTERM),
    }
