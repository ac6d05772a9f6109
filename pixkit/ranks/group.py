"""The ranks of a build: which parts each takes, and what all of them agree on.

Nothing here is torch's default process group, which a program that calls pixkit may have for itself: the group is an
object, and is handed on. What is agreed on goes over gloo, between CPUs, always; tensors of a GPU over NCCL.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from pixkit.errors import message, shorten
from pixkit.ranks.ends import Ends

T = TypeVar("T")
TIMEOUT = 1800.0
"""Seconds that ranks wait for one another, if the environment's PIXKIT_RANKS_TIMEOUT says nothing else."""
SIGNS = 4
"""In that time rank 0 gives so many signs of life, where the others wait for what it does alone."""
USUAL = 2**12
"""Bytes of plain data that are exchanged at once; more take a second exchange."""


class Ranks:
    """The ranks of a build, 0..size-1, as one of them sees them. What all have to call, all call in one order.

    Where a rank fails, the others are told which and why, and where one neither answers nor fails within the timeout,
    they end with its number: see `RankError`, which every method that waits for others raises.

    Attributes:
        rank: which of them this process is.
        size: how many there are; 1 for a process that is alone, for which nothing is exchanged.
        local: which of those of its machine it is.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, *, local: int = 0, store: dist.Store | None = None, timeout: float = TIMEOUT
    ) -> None:
        """`store` is what the ranks of more than one meet at; they wait `timeout` seconds for one another."""
        self.rank, self.size, self.local = rank, size, local
        self._timeout = timeout
        self._groups: dict[str, Any] = {}
        self._sign: float | None = None
        if store is not None:
            self._store = dist.PrefixStore("pixkit", store)
            self._ends = Ends(self._store, rank, size, timeout)
            with self._hearing():
                self._groups["cpu"] = dist.ProcessGroupGloo(self._store, rank, size, timedelta(seconds=timeout))
            self.wait()  # one that failed before all are connected would have the others try until the timeout

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which decides, and alone writes files and tells how it goes."""
        return self.rank == 0

    def shared(self, parts: Sequence[T]) -> list[T]:
        """Those of some parts that are this rank's."""
        return list(parts[self.rank :: self.size])

    def gather(self, plain: Any) -> list[Any]:
        """What each rank gives, plain data, by rank; floats stay what they are, bit for bit, NaN too."""
        if self.alone:
            return [plain]
        text = json.dumps(plain).encode()
        size = USUAL
        found = self._exchanged(text, size)
        longest = max(int.from_bytes(one[:8], "little") for one in found)
        if longest > size - 8:
            found = self._exchanged(text, longest + 8)
        return [json.loads(one[8 : 8 + int.from_bytes(one[:8], "little")]) for one in found]

    def agreed(self, plain: T) -> T:
        """What rank 0 gives, plain data."""
        return self.decided(lambda: plain)

    def decided(self, decide: Callable[[], T]) -> T:
        """What rank 0 finds, plain data; the others find nothing, and wait for it: see `telling`."""
        if self.alone:
            return decide()
        if self.first:
            with self.waited_for():
                given = [decide()]
            return cast(T, self.gather(given)[0][0])
        while (said := self.gather(None)[0]) is None:
            pass
        return cast(T, said[0])

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """While rank 0 works alone, and the others wait in `decided`, or `agreed`, for what it gives them after."""
        self._sign = None if self.alone else time.monotonic()
        try:
            yield
        finally:
            self._sign = None

    def telling(self, progress: Callable[..., None]) -> Callable[..., None]:
        """A progress callback of rank 0's work that is a sign of life, too: the time that others wait begins anew."""

        def told(*given: Any) -> None:
            if self._sign is not None and time.monotonic() - self._sign > self._timeout / SIGNS:
                self.gather(None)
                self._sign = time.monotonic()
            progress(*given)

        return told

    def wait(self) -> None:
        """Until all ranks have come here."""
        self.gather(None)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Rank 0 does what is within, and then the others do: what it has fetched and kept is there for them."""
        if self.first:
            with self.waited_for():
                yield
        self.agreed(None)
        if not self.first:
            yield

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Give all ranks the values that rank 0's tensors have; they have the same shapes, and are written to."""
        for tensor in () if self.alone else tensors:
            with torch.no_grad(), self._hearing():
                sent = tensor.detach().contiguous()
                self._group(sent).broadcast(_real(sent), 0).wait()
                tensor.copy_(sent)

    def tensors(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of each rank, by rank: they may differ in shape, and have one type and number of dimensions."""
        if self.alone:
            return [tensor]
        sent = tensor.detach().contiguous()
        found = [torch.empty(shape, dtype=sent.dtype, device=sent.device) for shape in self.gather(list(sent.shape))]
        longest = max(one.numel() for one in found)
        padded = sent.new_zeros(longest)
        padded[: sent.numel()] = sent.flatten()
        rows = [torch.empty_like(padded) for _ in found]
        with self._hearing():
            self._group(sent).allgather([[_real(row) for row in rows]], [_real(padded)]).wait()
        return [row[: one.numel()].view_as(one) for row, one in zip(rows, found, strict=True)]

    def lists(self, tensors: Sequence[Tensor], device: torch.device) -> list[list[Tensor]]:
        """Some tensors of each rank, by rank, on a device; of any shapes and types, and they lie in memory as there."""
        about = [[list(one.shape), _strides(one), str(one.dtype).removeprefix("torch.")] for one in tensors]
        found = []
        for rank, rows in enumerate(self.gather(about)):
            own = iter(tensors if rank == self.rank else ())
            made = []
            for shape, stride, dtype in rows:
                sent = torch.empty(shape, dtype=getattr(torch, dtype), device=device)
                if rank == self.rank:
                    sent.copy_(next(own))
                if not self.alone:
                    with self._hearing():
                        self._group(sent).broadcast(_real(sent), rank).wait()
                made.append(torch.empty_strided(shape, stride, dtype=sent.dtype, device=device).copy_(sent))
            found.append(made)
        return found

    def in_order(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of parts that ranks took in turn, [counts[0] + counts[1] + ..., ...]; `rows` are this rank's own."""
        if self.alone:
            return rows
        own = [iter(each.split(list(counts[rank :: self.size]))) for rank, each in enumerate(self.tensors(rows))]
        return torch.cat([rows[:0], *(next(own[part % self.size]) for part in range(len(counts)))])

    def swapped(self, rows: Tensor) -> Tensor:
        """Row r of each rank's [size, n], on rank r; by rank, [size, n]."""
        if self.alone:
            return rows
        found = torch.empty_like(rows)
        with self._hearing():
            self._group(rows).alltoall_base(_real(found), _real(rows), [], []).wait()
        return found

    def joined(self, row: Tensor) -> Tensor:
        """Each rank's [n], by rank: [size, n]."""
        if self.alone:
            return row[None]
        found = row.new_empty(self.size, *row.shape)
        with self._hearing():
            self._group(row).allgather([[_real(one) for one in found]], [_real(row)]).wait()
        return found

    def some(self, count: int) -> Ranks:
        """The first so many, 2 or more, as a group of their own; to be called by these alone, once for a number.

        It is not left: what ends one of them ends this group.
        """
        store = dist.PrefixStore(f"first {count}", self._store)
        return Ranks(self.rank, count, local=self.local, store=store, timeout=self._timeout)

    def leave(self, error: BaseException | None = None) -> None:
        """Let go of the group, with what ended this rank, if that was an error; but not before rank 0: see `Ends`.

        Raises:
            RankError: if rank 0 has failed, or gives no sign of life, and this rank has not failed.
        """
        if not self.alone:
            self._ends.leave(error, self._groups.clear)

    def _exchanged(self, text: bytes, size: int) -> list[bytes]:
        """The beginning of what each rank says, after the eight bytes of its length."""
        row = torch.zeros(size, dtype=torch.uint8)
        whole = (len(text).to_bytes(8, "little") + text)[:size]
        row[: len(whole)] = torch.frombuffer(bytearray(whole), dtype=torch.uint8)
        return [one.numpy().tobytes() for one in self.joined(row)]

    def _group(self, tensor: Tensor) -> Any:
        """What tensors of its device go over."""
        kind = tensor.device.type
        if kind not in self._groups:
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = timedelta(seconds=self._timeout)
            store = dist.PrefixStore(kind, self._store)
            self._groups[kind] = dist.ProcessGroupNCCL(store, self.rank, self.size, options)
        return self._groups[kind]

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        """If others do not answer, say which."""
        try:
            yield
        except RuntimeError as error:
            raise self._ends.lost(shorten(message(error), 300)) from error


ALONE = Ranks()
"""A process that is no rank of several."""


def _strides(tensor: Tensor) -> list[int]:
    """How it lies in memory, gaps included: the order of sums depends on it. Not that several elements are one."""
    dense = torch.empty_like(tensor, device="meta").stride() if 0 in tensor.stride() else tensor.stride()
    return list(dense)


def _real(tensor: Tensor) -> Tensor:
    """The same memory, of numbers that a group can carry."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
