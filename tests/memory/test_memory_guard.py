"""What does not fit is refused before the memory is taken."""

import weakref

import pytest
import torch
from torch import nn

from pixkit.errors import UsageError
from pixkit.memory import MemoryGuard, Room, check_fits, guard, memory_errors
from pixkit.memory.guard import device_exhausted, exhausted, is_exhausted, release

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
    with pytest.raises(pytest.fail.Exception, match="asked"):
        check_fits(guard.LITTLE + 1, CPU, "3 images", hint="fewer")


def test_the_guard_takes_what_fits_to_the_byte():
    with MemoryGuard(1024, "smaller", "this"):
        kept = torch.zeros(256)
        kept.add_(1)
        torch.arange(0)
        with pytest.raises(UsageError, match="this would not fit") as caught:
            torch.zeros(1, dtype=torch.uint8)
        assert caught.value.found == "1 KiB so far, and a tensor of 1 bytes"
        assert (caught.value.expected, caught.value.hint) == ("at most 1 KiB", "smaller")
        with pytest.raises(UsageError) as caught:
            torch.zeros(())
        assert caught.value.found == "1 KiB so far, and a tensor of 4 bytes"
        del kept, caught
        torch.zeros(1024, dtype=torch.uint8)


def test_what_is_computed_is_counted_once_it_is_there():
    with MemoryGuard(1500):
        kept = torch.zeros(256)
        with pytest.raises(UsageError, match="would not fit") as caught:
            kept + 1
    assert caught.value.found == "2 KiB so far, and a tensor of 0 bytes"


def test_each_of_several_results_counts_and_what_has_no_memory_does_not():
    with MemoryGuard(4095):
        kept = torch.zeros(256)
        without = [torch.zeros(512, device="meta") for _ in range(9)]
        kept.add_(1)
        with pytest.raises(UsageError, match="would not fit") as caught:
            kept.sort()
    assert caught.value.found == "4 KiB so far, and a tensor of 0 bytes" and len(without) == 9


def test_a_tensor_like_another_is_of_its_type():
    with MemoryGuard(1000):
        like = torch.zeros(1, dtype=torch.float64)
        like.new_zeros(200, dtype=torch.int16)
        with pytest.raises(UsageError) as caught:
            like.new_zeros(200)
    assert "a tensor of 1.56 KiB" in caught.value.found


def test_exhausted_memory_is_a_usage_error():
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")):
        with pytest.raises(UsageError, match="exhausted"), memory_errors():
            raise error
    with pytest.raises(RuntimeError, match="something else"), memory_errors():
        raise RuntimeError("something else")


def raised(error, *, cause=None, context=None):
    """An error that came from others."""
    try:
        try:
            if context is not None:
                raise context
        finally:
            raise error from cause
    except type(error) as found:
        return found


REPORTS = {
    "Python": (MemoryError, True, False),
    "torch": (lambda: torch.OutOfMemoryError("CUDA out of memory"), True, True),
    "CUDA": (lambda: RuntimeError("CUDA error: out of memory"), True, True),
    "cuBLAS": (lambda: RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True, True),
    "a CPU": (lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory"), True, False),
    "another": (lambda: RuntimeError("something else"), False, False),
    "another's words": (lambda: ValueError("CUDA error: out of memory: can't allocate memory"), False, False),
}


@pytest.mark.parametrize(("make", "of_memory", "of_a_device"), REPORTS.values(), ids=REPORTS)
def test_reports_of_exhausted_memory_are_told_from_other_errors(make, of_memory, of_a_device):
    assert is_exhausted(make()) == of_memory
    for error in (make(), raised(ValueError(), cause=make()), raised(ValueError(), context=make())):
        assert (exhausted(error), device_exhausted(error)) == (of_memory, of_a_device)
    assert not is_exhausted(raised(ValueError(), cause=make()))


def test_an_error_that_came_from_itself_ends():
    error = ValueError()
    assert not exhausted(raised(error, cause=error))


class Held:
    """What a function holds when it fails."""


def failing(error, seen):
    held = Held()
    seen.append(weakref.ref(held))
    raise error


@pytest.mark.parametrize("kind", [MemoryError, ValueError])
def test_what_an_error_of_memory_holds_is_let_go(kind):
    seen = []
    try:
        try:
            failing(kind(), seen)
        except kind as error:
            raise RuntimeError("later") from error
    except RuntimeError as error:
        release(error)
        assert (seen[0]() is None) == (kind is MemoryError)


@pytest.mark.parametrize("there", [True, False])
def test_with_an_error_of_memory_a_gpus_unused_memory_is_let_go_where_there_is_one(monkeypatch, there):
    emptied, held = [], Held()
    held.itself, seen = held, weakref.ref(held)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: there)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(seen()))
    del held
    release(ValueError())
    assert emptied == [] and seen() is not None
    release(MemoryError())
    assert emptied == [None] * there and seen() is None, "what refers to itself went before"
