"""Process a sequence with several threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def ahead(work: Callable[[Thing], Result], things: Iterable[Thing], threads: int) -> Iterator[Result]:
    """Results of `work` for each thing, in order; meanwhile, as many of the following are in progress.

    If the consumer stops, or a result is an error, no more work is started.
    """
    if threads < 2:
        yield from map(work, things)
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Result]] = deque()
        try:
            for thing in things:
                begun.append(pool.submit(work, thing))
                if len(begun) > threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
