"""Ctrl-C and SIGTERM during training."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from pixkit.training.watch import Interrupt, Interrupted, Quit


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted(number):
    with Interrupt() as interrupt:
        interrupt.check(1, 2)
        os.kill(os.getpid(), number)
        assert interrupt.signal == number
        with pytest.raises(Interrupted):
            interrupt.check()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, Quit), (signal.SIGTERM, SystemExit)])
def test_the_second_one_stops_now(number, error):
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(error) as caught:
            os.kill(os.getpid(), number)
    assert interrupt.signal == signal.SIGINT
    if number == signal.SIGTERM:
        assert caught.value.code == 143


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in Interrupt.HANDLED]
    with pytest.raises(KeyError), Interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
        raise KeyError
    assert [signal.getsignal(number) for number in Interrupt.HANDLED] == before


def test_in_another_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interrupt() as interrupt:
            seen.append(signal.getsignal(signal.SIGINT))
            interrupt.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_to_any_rank_counts_for_all_and_is_no_second_one_to_those_that_get_it_later():
    """Whoever stops one rank usually stops all."""
    told = [None, None, None]
    ranks = SimpleNamespace(gather=lambda own: [own, *told[1:]])
    with Interrupt() as interrupt:
        check = interrupt.watching(ranks)
        check(1, 2)
        assert not interrupt.shared(ranks) and interrupt.signal is None
        told[1:] = [signal.SIGTERM, signal.SIGINT]
        with pytest.raises(Interrupted):
            check(3, 4)
        assert interrupt.shared(ranks) and interrupt.signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Quit):
            os.kill(os.getpid(), signal.SIGINT)
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.shared(ranks) and interrupt.signal == signal.SIGINT
        with pytest.raises(Quit):
            os.kill(os.getpid(), signal.SIGINT)
