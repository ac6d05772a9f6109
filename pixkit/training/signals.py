"""Ctrl-C and SIGTERM during training: the first asks to stop, the second stops."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):
    """Raised where work that will be done again can be left; the loop catches it and saves."""


class Interrupt:
    """While entered, SIGINT and SIGTERM set `signal`; a second one raises KeyboardInterrupt or SystemExit(143).

    Python delivers signals to the main thread only: entered in another, it leaves them alone.
    """

    HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self.HANDLED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self, *_: int) -> None:
        """Raise Interrupted if a signal came; takes and ignores what progress callbacks are given."""
        if self.signal is not None:
            raise Interrupted

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + number)
        self.signal = number
