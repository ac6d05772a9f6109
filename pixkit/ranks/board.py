"""A store through which ranks exchange messages; a rank that does not answer in time is considered gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")
ANSWER = 60.0
"""Seconds within which an answer must come, if the ranks wait that long for one another."""


class Board:
    """A torch store with bounded waiting times.

    A TCPStore client waits without limit, whatever the store's timeout, if the process that hosts the store exists but
    does not answer: because it is stopped, its machine hangs, or the network is cut. So does its constructor.

    Raises:
        RuntimeError: from each method, if no answer comes in time; and at once, if an earlier call got none.
    """

    def __init__(self, store: dist.Store, timeout: float) -> None:
        """Wait for answers for `timeout` seconds, but at most `ANSWER`."""
        self._store, self._timeout = store, min(timeout, ANSWER)
        self._silent = False

    def set(self, key: str, text: str) -> None:
        """Set a key's text, replacing any earlier one."""
        self._asked(self._store.set, key, text)

    def get(self, key: str) -> str:
        """Return a key's text, which must exist."""
        return bytes(self._asked(self._store.get, key)).decode(errors="replace")

    def check(self, keys: list[str]) -> bool:
        """Whether all these keys have texts."""
        return bool(self._asked(self._store.check, keys))

    def add(self, key: str, count: int) -> int:
        """Add to a number, initially 0, and return the sum."""
        return int(self._asked(self._store.add, key, count))

    def _asked(self, ask: Callable[..., T], *given: Any) -> T:
        if self._silent:
            raise RuntimeError("the ranks' store did not answer before")
        try:
            return answered(lambda: ask(*given), self._timeout)
        except Silent:
            self._silent = True
            raise


class Silent(RuntimeError):
    """The store did not answer in time."""


def answered(ask: Callable[[], T], seconds: float) -> T:
    """Return what `ask` returns, or raise what it raises, within some seconds; it is left waiting after that.

    Raises:
        Silent: if it takes longer.
    """
    answer: Future[T] = Future()

    def asking() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=asking, daemon=True).start()
    # Not `result`, whose TimeoutError could be one that `ask` raised.
    if wait([answer], seconds).not_done:
        raise Silent(f"the ranks' store did not answer for {seconds:g} seconds")
    return answer.result()
