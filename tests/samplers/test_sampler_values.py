"""Bounds of what samplers take and keep, and what they say, by known values."""

import math
import threading
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.samplers import batch, kept
from pixkit.samplers.auto import Planned, WholePasses
from pixkit.samplers.cached import departure
from pixkit.samplers.known import Known
from pixkit.testing import named

pytestmark = pytest.mark.quick
INF, NAN = math.inf, math.nan


def refused(check, *given):
    try:
        check(*given)
    except UsageError as error:
        return error.where
    return None


@pytest.mark.parametrize(("check", "name", "taken", "not_taken"), [
    (batch.check_temperature, "temperature", [1e-20, 1e20, 1, True], [0.99e-20, 1.01e20, 0, -1.0, NAN, INF, "1", 1j]),
    (batch.check_guidance, "guidance", [0, 1e6, -1e6, 2.5], [1.01e6, -1.01e6, INF, -INF, NAN, "1", None]),
    (batch.check_batch_size, "batch_size", [1, 2, 10**9], [0, -1, 1.0, "1", None]),
    (lambda number: batch.check_count("n", number, 2, 4, "2..4"), "n", [2, 3, 4], [1, 5, 3.0, NAN]),
])  # fmt: skip
def test_numbers_at_the_ends_of_their_range(check, name, taken, not_taken):
    assert [refused(check, number) for number in taken] == [None] * len(taken)
    assert [refused(check, number) for number in not_taken] == [name] * len(not_taken)


@pytest.mark.parametrize(("guidance", "found", "expected"), [
    (2e6, "2000000.0", "finite: -1e+06..1e+06, or such numbers by name"),
    ({"label": 0.5, "vector": True}, "vector=True", "finite: -1e+06..1e+06"),
])  # fmt: skip
def test_which_weight_is_out_of_range(guidance, found, expected):
    with pytest.raises(UsageError) as error:
        batch.check_guidance(guidance)
    assert (error.value.found, error.value.expected) == (found, expected)


def test_any_weight_other_than_0_guides():
    unguided, guided = (0, 0.0, {}, {"a": 0.0, "b": 0}), (1.0, -2, {"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 2.0})
    assert [batch.is_guided(weight) for weight in (*unguided, *guided)] == [False] * 4 + [True] * 4


@pytest.mark.parametrize(("images", "looked"), [(0, []), (64, []), (65, [3]), (1000, [3])])
def test_many_images_at_a_time_are_looked_at_before(images, looked, monkeypatch):
    asked, needed = [], []

    def forecast(work, count, device):
        asked.append(len(work(3)))
        assert count == images
        return SimpleNamespace(taken=7)

    monkeypatch.setattr(batch, "forecast", forecast)
    monkeypatch.setattr(batch, "check_fits", lambda *given, **more: needed.append((given[0], more["where"])))
    network = SimpleNamespace(spec=ImageSpec(1, 2, 2, 2), reference=torch.zeros(1), example_context=lambda count: count)
    calling = type(
        "Network", (), {**vars(network), "__call__": lambda self, x, context: x[: int(context == len(x)) * 9]}
    )
    calling.example_context = staticmethod(network.example_context)
    batch.check_forward(calling(), images)
    assert asked == looked and needed == [(7, "batch_size")] * len(looked)


MASKS = [
    ([1, 1, 0, 0], True, 0), ([0, 0, 1, 1], False, 4), ([1, 0, 1, 0], False, 1), ([0, 0, 0, 0], True, 0),
    ([1, 1, 1, 1], True, 0), ([0, 1, 0, 0], False, 1), ([1, 1, 1, 0], True, 0), ([0, 1, 1, 1], False, 3),
]  # fmt: skip


@pytest.mark.parametrize(("mask", "precedes", "late"), MASKS)
def test_whether_what_is_known_comes_first(mask, precedes, late):
    ordering = named("ordering", "raster").build(ImageSpec(1, 2, 2, 2), "joint")
    known = Known(torch.tensor(mask).bool().view(1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int64))
    assert (known.precede(ordering), known.late(ordering)) == (precedes, late)
    together = named("ordering", "at_once").build(ImageSpec(1, 2, 2, 2), "joint")
    some = 0 < sum(mask) < 4
    assert known.precede(together) is not some and known.late(together) == sum(mask) * (4 - sum(mask))


def test_the_part_of_what_is_known():
    values = torch.arange(12).view(3, 1, 2, 2)
    known = Known(torch.ones(1, 2, 2).bool(), values)
    assert torch.equal(known.part(1, 2).values, values[1:]) and torch.equal(known.part(0, 1).values, values[:1])
    assert Known(known.mask, values[:1]).part(5, 2).values.shape == (1, 1, 2, 2)
    spec = ImageSpec(1, 2, 2, 12)
    for count, fits in ((3, True), (1, False), (2, False), (4, False)):
        assert _fits(known, spec, count) is fits
    assert _fits(Known(known.mask, values[:1]), spec, 5)


def _fits(known, spec, count):
    try:
        return known.check(spec, count) is known
    except UsageError:
        return False


def keeping(*sizes):
    """The sizes that are kept of executors given back one after the other."""
    prepared = object.__new__(kept.Prepared)
    prepared._waiting, prepared._lock = OrderedDict(), threading.Lock()
    for number, size in enumerate(sizes):
        prepared.give_back(number, SimpleNamespace(executor=SimpleNamespace(nbytes=size)))
    return [each.executor.nbytes for each in prepared._waiting.values()]


def test_how_many_executors_are_kept():
    most = kept.LARGEST
    assert keeping(1, 2, 3, 4) == [1, 2, 3, 4] and keeping(1, 2, 3, 4, 5) == [2, 3, 4, 5]
    assert keeping(most - 1, 1) == [most - 1, 1] and keeping(most, 1) == [1] and keeping(5, most - 4) == [most - 4]
    prepared = object.__new__(kept.Prepared)
    prepared._waiting = {
        number: SimpleNamespace(executor=SimpleNamespace(nbytes=size)) for number, size in ((0, 3), (1, 4))
    }
    sizes = []
    for content in (None, SimpleNamespace(nbytes=10)):
        prepared.content = content
        sizes.append(prepared.nbytes)
    assert sizes == [7, 17], "with what is compared"
    assert kept.fits(SimpleNamespace(nbytes=most)) and not kept.fits(SimpleNamespace(nbytes=most + 1))


def test_one_result_that_differs_is_enough_where_foreign_code_takes_part(monkeypatch):
    given, content = [torch.ones(2), torch.ones(3)], SimpleNamespace(foreign=True, holds=lambda network: True)
    monkeypatch.setattr(kept, "_features", lambda network: [each.clone() for each in given])
    found = kept.Found(None, content)
    assert found.holds(None, None)
    for each in given:
        each[0] = 2
        assert not found.holds(None, None)
        content.foreign = False
        assert found.holds(None, None)
        each[0], content.foreign = 1, True


def test_which_refusals_pass():
    def caused(*kinds):
        error = None
        for kind in reversed(kinds):
            error, cause = kind(), error
            error.__cause__ = cause
        return error

    passing = [(MemoryError,), (ValueError, RecursionError), (ValueError, KeyError, torch.OutOfMemoryError)]
    assert all(kept._passes(caused(*kinds)) for kinds in passing)
    assert not any(kept._passes(each) for each in (None, ValueError(), caused(ValueError, KeyError)))


def rounded(own, others, levels=4):
    """What is said of images with these nats of the model's own and of the rounded one."""
    nats = iter((torch.tensor(others), torch.tensor(own)))

    def distribution(params):
        assert len(params) == len(own)
        return SimpleNamespace(log_prob=lambda x: next(nats))

    def call(images, context):
        assert context.tolist() == [*range(len(images))]
        return torch.zeros(len(images), 3, 2, 2)

    head = SimpleNamespace(distribution=distribution)

    network = type("Network", (), {"head": head, "__call__": lambda self, *given: call(*given)})()
    trace = SimpleNamespace(network=network)
    draws = [(torch.tensor([0, 1]), None), (torch.tensor([1]), None)] if levels else [(torch.tensor([]).long(), None)]
    executor = SimpleNamespace(
        plan=SimpleNamespace(trace=trace), draws=draws, params=lambda sites: torch.zeros(9, 3, len(sites))
    )
    return departure(executor, torch.zeros(len(own), 1, 2, 2).long(), torch.arange(9))


def test_the_effect_of_rounded_weights_in_words():
    assert "is +2 +- 1 nats an image (+1.4 bits a sub-pixel) from the model's own, the mean of 2" in rounded(
        [0.0, 0.0], [1.0, 3.0]
    )
    assert "is +0.25 nats an image (+0.18 bits a sub-pixel)" in rounded([1.0], [1.25])
    assert rounded([0.0], [1.0], levels=0) == ""


def test_what_was_drawn_by_whole_passes_is_said_once():
    planned = Planned(lambda request: 1, lambda request: 2)
    assert planned(None) == 1 and planned.summary() == ""
    planned.whole = WholePasses(lambda request: 2, "so\n  it is")
    assert planned.summary() == "so it is" and planned.whole(None) == 2
