"""Where ranks leave word for one another, which answers in time or is taken to be gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch.distributed as dist

ANSWER = 60.0
"""Seconds in which an answer has to come, if the ranks wait that long for one another."""


class Board:
    """A store of torch's that is never waited for without end.

    A client of a TCPStore waits without limit, whatever the store's timeout, if the process that has the store is
    there and does not answer: stopped, on a machine that hangs, or cut off by the network.

    Raises:
        RuntimeError: from each method, if no answer comes in time; and at once, if none came before.
    """

    def __init__(self, store: dist.Store, timeout: float) -> None:
        """Answers have `timeout` seconds, and no more than `ANSWER`."""
        self._store, self._timeout = store, min(timeout, ANSWER)
        self._silent = False

    def set(self, key: str, text: str) -> None:
        """Leave a text, in place of one that is there."""
        self._asked(self._store.set, key, text)

    def get(self, key: str) -> str:
        """The text that is there, which has to be."""
        return bytes(self._asked(self._store.get, key)).decode(errors="replace")

    def check(self, keys: list[str]) -> bool:
        """Whether there are texts of all these."""
        return bool(self._asked(self._store.check, keys))

    def add(self, key: str, count: int) -> int:
        """Add to a number, which is 0 at first; return what it is then."""
        return int(self._asked(self._store.add, key, count))

    def _asked(self, ask: Callable[..., Any], *given: Any) -> Any:
        if self._silent:
            raise RuntimeError("where the ranks meet did not answer before")
        answer: Future[Any] = Future()

        def asking() -> None:
            try:
                answer.set_result(ask(*given))
            except Exception as error:
                answer.set_exception(error)

        threading.Thread(target=asking, daemon=True).start()
        try:
            return answer.result(self._timeout)
        except TimeoutError:
            self._silent = True
            raise RuntimeError(f"where the ranks meet did not answer for {self._timeout:g} seconds") from None
