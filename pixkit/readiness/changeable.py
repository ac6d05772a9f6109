"""Values that a forward computes from nothing and that may change from call to call: not constants of a trace."""

from __future__ import annotations

from typing import Any

from torch import Tag

from pixkit.modes import Mode
from pixkit.readiness.elements.operation import gives_memory
from pixkit.readiness.untraceable import Untraceable

RAW = "contents of uninitialised memory"


class Changeable(Mode):
    """Notes operations that return uninitialised memory or draw random numbers.

    What is written to that memory later is not examined; exporting or following the network does that.

    Attributes:
        found: the first operation of each kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See torch."""
        result = func(*args, **(kwargs or {}))
        if Tag.nondeterministic_seeded in getattr(func, "tags", ()):
            self.found.setdefault("random numbers", str(func))
        elif gives_memory(func) and result.numel():
            self.raw(str(func))
        return result

    def raw(self, name: str) -> None:
        """Note an uninitialised array."""
        self.found.setdefault(RAW, name)

    def require_none(self, who: str) -> None:
        """Require that nothing was noted.

        Raises:
            Untraceable: if something was, naming `who`.
        """
        if self.found:
            found = max(self.found.items())  # random draws allocate memory, too: name the draw
            raise Untraceable(
                "the network cannot be traced",
                where=who,
                found=f"{found[0]}, which differs from call to call ({found[1]})",
                expected="a forward without randomness, and `zeros` in place of `empty`",
            )
