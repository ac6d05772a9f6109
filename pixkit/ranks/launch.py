"""Ranks as started by a launcher: their environment variables, how they connect, and how they part."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

from pixkit.errors import RankError, UsageError, listed, message
from pixkit.ranks.board import Board, answered
from pixkit.ranks.ends import GRACE, LOOK
from pixkit.ranks.group import ALONE, TIMEOUT, Ranks

_FROM_LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_NUMBERS = (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))


@contextmanager
def launched(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """The ranks started by torchrun, or by another launcher that sets the same variables; a single process otherwise.

    Raises:
        UsageError: if the variables are inconsistent.
        RankError: if the others do not connect, or one of them fails.
    """
    rank, size, local = (_number(environment, name, usual) for name, usual in _NUMBERS)
    if size == 1:
        yield ALONE
        return
    missing = [name for name in _FROM_LAUNCHER if name not in environment]
    if missing or not 0 <= rank < size:
        raise UsageError(
            "incomplete launcher environment",
            found=f"WORLD_SIZE={size}, RANK={rank}" + (f"; without {listed(missing)}" if missing else ""),
            expected=f"all of {listed(_FROM_LAUNCHER)}, as torchrun sets them, RANK from 0 to WORLD_SIZE - 1; "
            "or no WORLD_SIZE",
        )
    timeout = _number(environment, "PIXKIT_RANKS_TIMEOUT", int(TIMEOUT))
    if timeout < 1:
        raise UsageError(
            "not a timeout",
            where="the environment's PIXKIT_RANKS_TIMEOUT",
            found=f"{timeout}",
            expected="seconds, 1 or more",
        )
    try:
        store = answered(
            lambda: next(dist.rendezvous("env://", timeout=timedelta(seconds=timeout)))[0], timeout + GRACE
        )
        met = meeting(store, rank, size, timeout)
    except (RuntimeError, ValueError) as error:
        where = f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
        raise RankError("the ranks could not connect", where=where, found=message(error)) from error
    with joined(Ranks(rank, size, local=local, store=met, timeout=timeout)) as ranks:
        yield ranks


def for_one_process(what: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError if a launcher has started several processes: they would all write the same files."""
    size = _number(environment, "WORLD_SIZE", 1)
    if size != 1:
        found, expected = f"{size} ranks", "no launcher, or WORLD_SIZE=1"
        error = UsageError(f"{what} is for one process", found=found, expected=expected)
        error.told = _number(environment, "RANK", 0) > 0  # every rank raises this; rank 0 reports it
        raise error


@contextmanager
def joined(ranks: Ranks) -> Iterator[Ranks]:
    """Context that leaves the ranks at its end, reporting any error."""
    try:
        yield ranks
    except BaseException as error:
        ranks.leave(error)
        raise
    ranks.leave()


def meeting(store: dist.Store, rank: int, size: int, timeout: float) -> dist.Store:
    """The part of a store that only these ranks know.

    torchrun's store may outlive its ranks, and whatever those of an earlier start left there, including their
    addresses, looks like these ranks'. So rank 0 chooses a word that nobody can have used before, the others repeat it
    with a word of their own, and rank 0 confirms whom it has heard.

    Raises:
        RankError: if they do not all appear in time, or one expects a different number of ranks.
        RuntimeError: if the store does not answer; see `Board`.
    """
    own, until, heard = secrets.token_hex(8), time.monotonic() + timeout, dict[int, str]()
    board = Board(store, timeout)
    if rank == 0:
        board.set("pixkit/word", own)
    while time.monotonic() < until:
        word = _said(board, "pixkit/word")
        if rank == 0:
            heard = {other: _said(board, f"pixkit/said/{other}") for other in range(1, size)}
            counted = {one.split()[-1] for one in heard.values() if one.startswith(f"{word} ")}
            if different := counted - {str(size)}:
                raise RankError(
                    "the ranks could not connect",
                    found=f"one of {listed(different)} ranks",
                    expected=f"of {size} (WORLD_SIZE)",
                )
            if all(one.startswith(f"{word} ") for one in heard.values()):
                board.set(f"pixkit/heard/{word}", json.dumps(list(heard.values())))
                return dist.PrefixStore(word, store)
        elif word:
            board.set(f"pixkit/said/{rank}", f"{word} {own} {size}")
            if f"{word} {own} {size}" in _said(board, f"pixkit/heard/{word}"):
                return dist.PrefixStore(word, store)
        time.sleep(LOOK)
    silent = [other for other, one in heard.items() if not one.startswith(f"{own} ")] or [0]
    raise RankError("the ranks could not connect", found=f"{listed(silent)} did not appear within {timeout:g} seconds")


def _said(board: Board, key: str) -> str:
    return board.get(key) if board.check([key]) else ""


def _number(environment: Mapping[str, str], name: str, usual: int) -> int:
    found = environment.get(name, "")
    try:
        return int(found) if found else usual
    except ValueError:
        raise UsageError("not a number", where=f"the environment's {name}", found=found) from None
