"""The order in which a checkpoint is written, named and told of, and what is not written again."""

import pytest
from toys import Told, Toy, begin, toy_recipe, toy_trainer

from pixkit.runs import checkpoint
from pixkit.runs.metrics import MetricsLog
from pixkit.runs.run import Run
from pixkit.training.resume import LoopState


@pytest.fixture
def saver(tmp_path, monkeypatch):
    """A trainer's saver, the log, and what is done, in order."""
    done = []

    def noting(where, name, say=lambda *given: ()):
        real = getattr(where, name)

        def call(*given, **named):
            done.append((name, *say(*given)))
            return real(*given, **named)

        monkeypatch.setattr(where, name, call)

    trainer = toy_trainer(tmp_path / "run", toy_recipe(Toy, keep=2), reporter=(told := Told()))
    begin(trainer)
    noting(Run, "check")
    noting(MetricsLog, "sync")
    noting(Run, "point", lambda run, which, step: (which, step))
    noting(Run, "forget", lambda run, steps: (steps,))
    for name in ("save", "amend"):
        noting(checkpoint, name, lambda folder, *given: (folder.name,))
    told.saving = lambda: done.append(("saving",))
    told.checkpoint = lambda path: done.append(("told", path.name))
    with MetricsLog(trainer.run.metrics, 0, 0) as log:
        yield trainer, log, done


def test_a_checkpoint_is_written_before_it_is_named_and_told_of_after(saver):
    trainer, log, done = saver
    given = {"nats": 1.0}, trainer.ema, log
    trainer._saver.save(LoopState(), *given)
    assert done == []  # there is nothing of step 0
    trainer._saver.save(state := LoopState(2, best_step=2, best_nats=1.0), *given)
    order = [one for one in done if one != ("check",)]
    assert order == [
        ("sync",), ("saving",), ("save", "step-2"), ("point", "last", 2), ("point", "best", 2), ("forget", []),
        ("told", "step-2"),
    ]  # fmt: skip
    assert done[0] == ("check",) and checkpoint.read_manifest(trainer.run.checkpoint("last")).metrics == given[0]
    done.clear()
    trainer._saver.save(state, *given)
    assert done == []  # it is saved
    trainer._saver.save(LoopState(2, evaluated=2, best_step=2, best_nats=1.0), {"nats": 2.0}, trainer.ema, log)
    assert ("amend", "step-2") in done and not [one for one in done if one[0] == "save"]
    assert checkpoint.read_manifest(trainer.run.checkpoint("last")).state["evaluated"] == 2


def test_the_newest_and_the_best_are_kept_and_none_of_a_later_step_counts(saver):
    trainer, log, done = saver
    for step, best in ((9, None), (2, 2), (3, 2), (4, 2), (5, 2)):
        trainer._saver.save(LoopState(step, best_step=best, best_nats=best and 1.0), {}, trainer.ema, log)
    assert [one[1] for one in done if one[0] == "forget"] == [[], [], [], [], [3]]
    assert trainer.run.steps() == [2, 4, 5, 9]
