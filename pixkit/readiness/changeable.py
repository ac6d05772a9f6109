"""What a forward computes of nothing and that may be something else in each call: it is no constant of a trace."""

from __future__ import annotations

from typing import Any

from torch import Tag

from pixkit.modes import Mode
from pixkit.readiness.elements.operation import gives_memory
from pixkit.readiness.untraceable import Untraceable

RAW = "memory in which nothing has been written"


class Changeable(Mode):
    """Notes operations that give memory in which nothing has been written, or draw random numbers.

    What is written there later is not looked at: what exports the network, or follows it, does that.

    Attributes:
        found: the first of each kind.
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
        """An array has been made in which nothing has been written."""
        self.found.setdefault(RAW, name)

    def require_none(self, who: str) -> None:
        """Nothing of the kind was seen.

        Raises:
            Untraceable: if something was; `who` made it.
        """
        if self.found:
            found = max(self.found.items())  # where random numbers are drawn, memory is made for them
            raise Untraceable(
                "the network cannot be traced",
                where=who,
                found=f"{found[0]}, something else in each call ({found[1]})",
                expected="a forward without randomness, and zeros in place of what `empty` gives",
            )
