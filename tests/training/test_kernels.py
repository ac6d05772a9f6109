"""Deterministic kernels: taken for a while, restored after, and what has none is named."""

import warnings

import pytest
import torch
from torch.utils import deterministic as memory

from pixkit.training.kernels import STRICT, WARN, Kernels

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
MODES = [0, 1, 2]


@pytest.fixture(params=[(mode, fill) for mode in MODES for fill in (True, False)])
def settings(request):
    """What a user has set, and that it is so after."""
    before = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    torch.set_deterministic_debug_mode(request.param[0])
    memory.fill_uninitialized_memory = request.param[1]
    yield request.param
    found = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    torch.set_deterministic_debug_mode(before[0])
    memory.fill_uninitialized_memory = before[1]
    assert found == request.param


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_settings_are_a_users_own_again_however_it_is_left(settings, error):
    mode, fill = settings
    try:
        with Kernels(True).on():
            assert torch.get_deterministic_debug_mode() == STRICT
            assert memory.fill_uninitialized_memory is (fill if mode else False)
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt, SystemExit):
        assert error in (ValueError, KeyboardInterrupt, SystemExit)


def test_what_is_set_meanwhile_does_not_stay(settings):
    mode, fill = settings
    with Kernels(True).on():
        torch.set_deterministic_debug_mode((mode + 1) % 3)
        memory.fill_uninitialized_memory = not fill
    assert (torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory) == settings


def test_without_them_nothing_is_set(settings):
    with Kernels(False).on():
        assert (torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory) == settings


@pytest.mark.parametrize(
    ("device", "lock", "chosen"),
    [
        (CPU, None, False),
        (CUDA, None, True),
        (CUDA, {"steps": {"way": "ahead"}}, True),
        (CUDA, {}, False),
        (CUDA, {"steps": None}, False),
        (CPU, {"steps": {"way": "ahead"}}, False),
    ],
)
def test_a_run_that_is_older_goes_on_without(device, lock, chosen):
    kernels = Kernels.of(device, lock, print)
    assert kernels.chosen is chosen and (kernels.dump() is not None) is chosen


def some_put():
    torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))


def test_an_operation_without_one_is_named_once_and_other_warnings_go_their_way():
    said = []
    kernels = Kernels(True, said.append)
    for _ in range(3):
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            with kernels.heard():
                for _ in range(2):
                    with kernels.on(lenient=True):
                        some_put()
                        torch.nn.functional.max_unpool2d(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1).long(), 2)
                warnings.warn("something else", UserWarning, stacklevel=1)
            assert [str(one.message) for one in shown] == ["something else"]
    assert kernels.without == ["put_", "max_unpooling2d_forward_out"]
    assert said == [
        f"torch has no deterministic kernel for {name}: a resumed run may differ in its last bits"
        for name in kernels.without
    ]
    assert kernels.dump() == {"deterministic": True, "without": kernels.without}
    assert kernels.news() and not kernels.news()


def test_what_is_refused_is_named_tried_again_and_warned_of_from_there_on():
    said, modes = [], []
    kernels = Kernels(True, said.append)

    def work():
        modes.append(torch.get_deterministic_debug_mode())
        some_put()
        return "done"

    with kernels.heard():
        assert kernels.tried(work) == "done" and kernels.tried(work) == "done"
    assert modes == [STRICT, WARN, WARN] and kernels.without == ["put_"] and len(said) == 1
    with pytest.raises(RuntimeError, match="something else"):
        kernels.tried(lambda: fail("something else"))
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        Kernels(False).tried(lambda: fail("put_ does not have a deterministic implementation"))


def fail(text):
    raise RuntimeError(text)


def test_the_way_in_which_attention_is_deterministic_is_taken_first():
    """Of two: where torch would only warn, the backward pass of its kernels adds in any order."""
    with Kernels(True).on():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_a_users_wish_for_an_error_is_kept():
    torch.set_deterministic_debug_mode(2)
    try:
        with Kernels(True).heard(), pytest.raises(RuntimeError, match="put_ does not have"):
            Kernels(True).tried(some_put)
        with Kernels(True).on(lenient=True), pytest.raises(RuntimeError, match="put_ does not have"):
            some_put()
    finally:
        torch.set_deterministic_debug_mode(0)


def test_warnings_are_heard_even_where_they_are_errors():
    kernels = Kernels(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with kernels.heard(), kernels.on(lenient=True):
            some_put()
    assert kernels.without == ["put_"]


def test_nothing_is_refused_where_deterministic_kernels_are_not_chosen():
    error = RuntimeError("histc_cuda does not have a deterministic implementation, but ...")
    for kernels in (Kernels(), Kernels(True)):
        assert kernels.refused(error) == kernels.chosen == bool(kernels.without)
        assert not kernels.refused(RuntimeError("another error"))
    torch.set_deterministic_debug_mode(0)
