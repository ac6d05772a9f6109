"""How ranks learn of one another's end, besides failing exchanges: each announces its own in the ranks' store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from pixkit.errors import RankError, listed, message
from pixkit.ranks.board import Board

GRACE = 5.0
"""Seconds in which a rank confirms that it is alive after another did not answer, or sees rank 0 end."""
SAVING = 60.0
"""Seconds for which a failed rank waits for rank 0 to end, because launchers end all ranks once one has failed."""
LOOK = 0.05
"""Seconds between two checks of another rank's message."""
SPEAKING = 0.2
"""Seconds that rank 0 has to report the cause before a launcher that sees another rank end may kill it."""
LONGEST = 1500
"""The most characters of an error that a rank announces."""


class Ends:
    """Announces this rank's end, and learns of the others'.

    One failure should give one message: rank 0's, which launchers end last because the others wait for it. It says
    which rank failed, and why. If rank 0 is gone, the first rank that is alive reports. The errors of all other ranks
    are marked as `told`, including the one that started it.
    """

    def __init__(self, board: Board, rank: int, size: int, timeout: float) -> None:
        """Announce on `board`; a rank that gives no sign of life for `timeout` seconds is considered gone."""
        self._board, self._rank, self._size, self._timeout = board, rank, size, timeout
        self._silent: Collection[int] = ()
        self._failed: Collection[int] = ()
        self._broken = False

    def lost(self, why: str) -> RankError:
        """The error for ranks that do not answer, after giving those that are alive time to say so."""
        others = [rank for rank in range(self._size) if rank != self._rank]
        self._broken = True
        try:
            self._board.set(f"there/{self._rank}", "")
            until = time.monotonic() + GRACE
            while True:
                ended = {rank: said for rank in others if (said := self._ended(rank))}
                failed = {rank: said for rank, said in ended.items() if said != "left"}
                silent = [one for one in others if one not in ended and not self._board.check([f"there/{one}"])]
                if failed or not silent or time.monotonic() > until:
                    return self._failure(failed or ({} if silent else ended), silent, why)
                time.sleep(LOOK)
        except RuntimeError:  # the store is gone, usually with rank 0
            return self._failure({}, [0])

    def leave(self, error: BaseException | None, let_go: Callable[[], None]) -> None:
        """Announce that this rank ends, and the error if there was one; do not return before rank 0 has ended.

        Launchers end the other ranks once one has failed, and rank 0 may be saving results. Rank 0 waits for the others
        to see that it is done, but not for long: it may host their store.

        Args:
            error: what ended this rank.
            let_go: leaves the group, which the others notice.

        Raises:
            RankError: if rank 0 has failed, or gives no sign of life, and this rank has not failed.
        """
        ended, said, seen, named_by_it = None, "left", error is None, list[int]()
        if error is not None:
            said = f"failed: {type(error).__name__}: {message(error)}".rstrip(": ")
        with suppress(RuntimeError):  # the store may have gone with rank 0
            if not isinstance(error, RankError):
                self._board.set(f"end/{self._rank}", said)
            let_go()
            self._board.set(f"there/{self._rank}", "")
            if self._rank == 0:
                self._board.set("named", json.dumps(list(self._failed)))
            self._board.set(f"gone/{self._rank}", "")
            if self._rank and (seen := self._sees_0_go(self._timeout if error is None else SAVING)):
                ended, named_by_it = self._ended(0), json.loads(self._board.get("named"))
            self._board.set(f"parted/{self._rank}", "")
            if self._rank == 0:
                others = set(range(1, self._size)).difference(self._silent)
                self._await([f"parted/{other}" for other in others], GRACE)
        if self._rank == 0:
            return
        failure = error
        if error is None and ended not in (None, "left"):
            failure = self._failure({0: ended}, [])
        elif error is None and not seen and 0 not in self._silent:
            failure = self._failure({}, [0])
        if failure is not None:
            own = ended == said or self._rank in named_by_it
            failure.__dict__["told"] = self._told(seen, ended) if isinstance(failure, RankError) else own
            time.sleep(SPEAKING)
        if failure is not None and failure is not error:
            raise failure

    def _told(self, seen: bool, ended: str | None) -> bool:
        """Whether another rank, which did not fail itself, reports why the ranks end."""
        if seen:
            return ended != "left"
        return bool(self._failed) or any(rank not in self._silent for rank in range(1, self._rank))

    def _sees_0_go(self, seconds: float) -> bool:
        """Wait up to `seconds` for rank 0 to end, unless it is known to be gone; return whether it did."""
        if 0 in self._silent or (self._broken and not self._await(["there/0"], GRACE)):
            return False
        return self._await(["gone/0"], seconds)

    def _await(self, said: list[str], seconds: float) -> bool:
        """Wait up to `seconds` until the ranks have announced all of this; return whether they have."""
        until = time.monotonic() + seconds
        while not (found := self._board.check(said)) and time.monotonic() < until:
            time.sleep(LOOK)
        return found

    def _ended(self, rank: int) -> str | None:
        key = f"end/{rank}"
        return self._board.get(key) if self._board.check([key]) else None

    def _failure(self, ended: Mapping[int, str], silent: Sequence[int], why: str = "") -> RankError:
        self._failed = ended
        if ended:
            what = listed((f"rank {rank} {said}" for rank, said in ended.items()), "; ", longest=LONGEST)
        elif silent:
            self._silent = silent
            what = f"{named(silent)} gone, or gave no sign of life for {self._timeout:g} seconds"
        else:
            what = f"the connection between them was lost: {why}"
        return RankError(
            "the ranks cannot continue",
            found=what,
            hint="start them again: a build with --resume=auto, as torchrun does with --max-restarts"
            + ("" if ended else "; PIXKIT_RANKS_TIMEOUT sets how many seconds they wait for one another"),
        )


def named(ranks: Sequence[int]) -> str:
    """``rank 2 is``, ``ranks 1, 3 are``."""
    return f"rank {ranks[0]} is" if len(ranks) == 1 else f"ranks {listed(ranks)} are"
