"""Work on one thing after the other by several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def ahead(work: Callable[[Thing], Result], things: Iterable[Thing], threads: int) -> Iterator[Result]:
    """What `work` makes of each thing, in their order; meanwhile as many of those that follow are worked on.

    If the block that asks for results ends, or one of them is an error, nothing more is begun.
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
