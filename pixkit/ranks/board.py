"""A store through which ranks exchange messages; a rank that does not answer in time is considered gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch.distributed as dist

ANSWER = 60.0
"""Seconds within which an answer must come, if the ranks wait that long for one another."""


class Board:
    """A torch store with bounded waiting times.

    A TCPStore client waits without limit, whatever the store's timeout, if the process that hosts the store exists but
    does not answer: because it is stopped, its machine hangs, or the network is cut.

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

    def _asked(self, ask: Callable[..., Any], *given: Any) -> Any:
        if self._silent:
            raise RuntimeError("the ranks' store did not answer before")
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
            raise RuntimeError(f"the ranks' store did not answer for {self._timeout:g} seconds") from None
