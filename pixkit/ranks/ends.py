"""How ranks hear of one another's end, beside what they exchange: what each says where they meet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from pixkit.errors import RankError, listed, message
from pixkit.ranks.board import Board

GRACE = 5.0
"""Seconds in which a rank says that it is still there, once another was found not to answer, or sees rank 0 end."""
SAVING = 60.0
"""Seconds for which a rank that has failed waits for rank 0 to end: launchers end the others when one has failed."""
LOOK = 0.05
"""Seconds between two looks at what another rank says."""
SPEAKING = 0.2
"""Seconds that rank 0 has to say why they end, before a launcher that sees another one end may end it."""
LONGEST = 1500
"""Characters of an error that another rank says."""


class Ends:
    """What this rank says of its end, and hears of the others'.

    Of one failure there is to be one message: rank 0's, which launchers end last, as the others wait for it; it says
    which rank failed, and of what. If rank 0 is gone, that of the first rank which is there. The errors of all others
    are `told`, also that which one of them began with.
    """

    def __init__(self, board: Board, rank: int, size: int, timeout: float) -> None:
        """`board` is where the ranks meet; who gives no sign of life for `timeout` seconds is taken to be gone."""
        self._board, self._rank, self._size, self._timeout = board, rank, size, timeout
        self._silent: Collection[int] = ()
        self._failed: Collection[int] = ()
        self._broken = False

    def lost(self, why: str) -> RankError:
        """Why others do not answer, after a while in which those that are there say so."""
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
        except RuntimeError:  # where the ranks meet is gone: with rank 0, as a rule
            return self._failure({}, [0])

    def leave(self, error: BaseException | None, let_go: Callable[[], None]) -> None:
        """Say that this rank ends, and with what, if that was an error; return when it may, but not before rank 0.

        Launchers end the others when one has failed, and rank 0 may be saving what was made. It waits for the others to
        see that it is done, but not for long: where the ranks meet may be its own.

        Args:
            error: what ended it.
            let_go: lets go of the group, from where others hear of it.

        Raises:
            RankError: if rank 0 has failed, or gives no sign of life, and this rank has not failed.
        """
        ended, said, seen, named_by_it = None, "left", error is None, list[int]()
        if error is not None:
            said = f"failed: {type(error).__name__}: {message(error)}".rstrip(": ")
        with suppress(RuntimeError):  # where the ranks meet was rank 0's, say, which is gone
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
        """Whether another than this rank says why the ranks end, which did not fail itself."""
        if seen:
            return ended != "left"
        return bool(self._failed) or self._rank > min(set(range(1, self._size)).difference(self._silent))

    def _sees_0_go(self, seconds: float) -> bool:
        """Wait for rank 0 to end, but no longer than that, nor if it is known to be gone; return whether it did."""
        if 0 in self._silent or (self._broken and not self._await(["there/0"], GRACE)):
            return False
        return self._await(["gone/0"], seconds)

    def _await(self, said: list[str], seconds: float) -> bool:
        """Wait until the ranks have said all of this where they meet, but for no longer; return whether they have."""
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
            "the ranks cannot go on together",
            found=what,
            hint="start them again: a build with --resume=auto, as torchrun does with --max-restarts"
            + ("" if ended else "; PIXKIT_RANKS_TIMEOUT says for how many seconds they wait for one another"),
        )


def named(ranks: Sequence[int]) -> str:
    """``rank 2 is``, ``ranks 1, 3 are``."""
    return f"rank {ranks[0]} is" if len(ranks) == 1 else f"ranks {listed(ranks)} are"
