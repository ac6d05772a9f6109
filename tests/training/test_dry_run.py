"""How long a step takes, of the few that a dry run makes, and in which settings it makes them."""

from types import SimpleNamespace

import pytest
from toys import within

from pixkit.training import build, dryrun


@pytest.mark.parametrize(
    ("steps", "made", "seconds"), [(1, 1, 9.0), (2, 2, 1.0), (3, 3, 1.5), (4, 4, 2.0), (9, 4, 2.0)]
)
def test_a_few_steps_are_made_and_the_first_does_not_count_where_there_are_others(monkeypatch, steps, made, seconds):
    now, asked, takes = [0.0], [], [9.0, 1.0, 2.0, 5.0]

    def make(step):
        now[0] += takes[step - 1]
        asked.append(step)
        return {"loss": float(step)}

    monkeypatch.setattr(dryrun, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert dryrun._time(SimpleNamespace(make=make), steps) == ({"loss": 1.0}, seconds)
    assert asked == list(range(1, made + 1))


class Stop(Exception):
    """Once everything is set."""


@pytest.mark.parametrize("module", [build, dryrun])
def test_a_dry_run_computes_in_the_settings_of_a_build(monkeypatch, tmp_path, module):
    """With float32 products, repeatable kernels, kept memory, and generators that are the caller's again after it."""
    held, seen = [], []

    def stop(*given, **named):
        seen.extend(sorted(held))
        raise Stop

    names = ["float32_products", "isolated_rng", "keeping", "memory_errors", "repeatable"]
    for name in names:
        monkeypatch.setattr(module, name, lambda *given, name=name: within(held, name))
    monkeypatch.setattr(module, "prepare_training", stop)
    work, more = (build.build, (tmp_path / "run",)) if module is build else (dryrun.dry_run, ())
    with pytest.raises(Stop):
        work("digits-pixelcnn", *more, device="cpu")
    assert seen == names and held == []


def test_its_steps_are_fed_and_warnings_of_kernels_are_heard(monkeypatch):
    held, seen = [], []

    def stop(*given):
        seen.extend(held)
        raise Stop

    source, kernels = (SimpleNamespace(**{name: lambda name=name: within(held, name)}) for name in ("feeding", "heard"))
    prepared = SimpleNamespace(stepper=SimpleNamespace(source=source, kernels=kernels), ahead=None)
    monkeypatch.setattr(dryrun, "prepare_training", lambda *given, **named: prepared)
    monkeypatch.setattr(dryrun, "_time", stop)
    with pytest.raises(Stop):
        dryrun.dry_run("digits-pixelcnn", "cpu")
    assert seen == ["feeding", "heard"] and held == []
