"""What does not fit is refused before the memory is taken."""

import pytest
import torch
from torch import nn

from pixkit.errors import UsageError
from pixkit.memory import MemoryGuard, Room, check_fits, guard, memory_errors

CPU = torch.device("cpu")


def test_the_guard_refuses_before_the_memory_is_taken():
    with MemoryGuard(1 << 20):
        torch.zeros(10)
        with pytest.raises(UsageError, match="would not fit") as caught:
            nn.Linear(100_000, 100_000)
    assert "37.3 GiB" in caught.value.found


def test_the_guard_counts_what_is_alive():
    with MemoryGuard(1 << 20):
        for _ in range(50):
            torch.zeros(1 << 16)
        kept = [torch.zeros(1 << 16) for _ in range(3)]
        with pytest.raises(UsageError, match="768 KiB so far"):
            torch.zeros(1 << 17)
        views = [tensor.view(-1) for tensor in kept for _ in range(10)]
        torch.ones(1000)
    assert len(views) == 30


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.empty(n, n),
        lambda n: torch.randn((n, n)),
        lambda n: torch.full((n, n), 1.0),
        lambda n: torch.zeros(n, n, dtype=torch.int64),
        lambda n: torch.arange(n * n),
        lambda n: torch.zeros(1).expand(n, n).clone(),
        lambda n: torch.zeros(1).new_zeros(n, n),
    ],
)
def test_the_guard_knows_every_way_to_ask(make):
    with MemoryGuard(1 << 20):
        make(30)
        with pytest.raises(UsageError, match="would not fit"):
            make(2000)
        make(30)


def test_what_needs_more_than_is_free_is_refused(monkeypatch):
    monkeypatch.setattr(guard, "available", lambda device: Room("the machine", 1 << 30, 4 << 30))
    check_fits(1 << 30, CPU, "3 images", hint="fewer")
    with pytest.raises(UsageError, match="would not fit") as caught:
        check_fits((1 << 30) + 1, CPU, "3 images", where="n", hint="fewer")
    error = caught.value
    assert (error.where, error.found, error.hint) == ("n", "3 images: 1 GiB", "fewer")
    assert error.expected == "at most 1 GiB, free of the 4 GiB of the machine"


def test_nobody_asks_how_much_there_is_for_a_little(monkeypatch):
    monkeypatch.setattr(guard, "available", lambda device: pytest.fail("asked"))
    check_fits(guard.LITTLE, CPU, "3 images", hint="fewer")


def test_exhausted_memory_is_a_usage_error():
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")):
        with pytest.raises(UsageError, match="exhausted"), memory_errors():
            raise error
    with pytest.raises(RuntimeError, match="something else"), memory_errors():
        raise RuntimeError("something else")
