"""Exchange of plain data and tensors between ranks.

Plain data always go over gloo, between CPUs; tensors of a GPU go over NCCL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pixkit.errors import message, shorten
from pixkit.ranks.board import Board
from pixkit.ranks.ends import Ends

USUAL = 2**12
"""Bytes of plain data per exchange; more take a second exchange."""


class Connection:
    """The connection of one rank in 0..size-1 with the others. All must call collective methods in the same order.

    Attributes:
        rank: number of this process.
        size: number of ranks; 1 for a single process, for which nothing is exchanged.
        local: number of this process on its machine.
    """

    def __init__(self, rank: int, size: int, local: int, store: dist.Store | None, timeout: float) -> None:
        self.rank, self.size, self.local = rank, size, local
        self._timeout = timeout
        self._groups: dict[str, Any] = {}
        if store is not None:
            self._store = dist.PrefixStore("pixkit", store)
            self._board = Board(self._store, timeout)
            self._ends = Ends(self._board, rank, size, timeout)
            with self._hearing():
                self._groups["cpu"] = dist.ProcessGroupGloo(self._store, rank, size, timedelta(seconds=timeout))
            self.gather(None)  # if one failed before all are connected, the others would try until the timeout

    @property
    def alone(self) -> bool:
        """Whether there are no other ranks."""
        return self.size == 1

    def gather(self, plain: Any) -> list[Any]:
        """Return each rank's plain data, by rank; floats keep every bit, including NaN."""
        if self.alone:
            return [plain]
        text = json.dumps(plain).encode()
        size = USUAL
        found = self._exchanged(text, size)
        longest = max(int.from_bytes(one[:8], "little") for one in found)
        if longest > size - 8:
            found = self._exchanged(text, longest + 8)
        return [json.loads(one[8 : 8 + int.from_bytes(one[:8], "little")]) for one in found]

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite all ranks' tensors with the values of rank 0's, which have the same shapes."""
        for tensor in () if self.alone else tensors:
            with torch.no_grad(), self._hearing():
                sent = tensor.detach().contiguous()
                self._group(sent).broadcast(_real(sent), 0).wait()
                tensor.copy_(sent)

    def tensors(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each rank, by rank: shapes may differ; type and number of dimensions must agree."""
        if self.alone:
            return [tensor]
        sent = tensor.detach().contiguous()
        found = [torch.empty(shape, dtype=sent.dtype, device=sent.device) for shape in self.gather(list(sent.shape))]
        longest = max(one.numel() for one in found)
        padded = sent.new_zeros(longest)
        padded[: sent.numel()] = sent.flatten()
        return [row[: one.numel()].view_as(one) for row, one in zip(self.joined(padded), found, strict=True)]

    def lists(self, tensors: Sequence[Tensor], device: torch.device) -> list[list[Tensor]]:
        """Return the tensors of each rank, by rank, on a device, with any shapes and types; strides are preserved."""
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
        """Merge the rows of parts taken by turns, [counts[0] + counts[1] + ..., ...]; `rows` are this rank's."""
        if self.alone:
            return rows
        own = [iter(each.split(list(counts[rank :: self.size]))) for rank, each in enumerate(self.tensors(rows))]
        return torch.cat([rows[:0], *(next(own[part % self.size]) for part in range(len(counts)))])

    def swapped(self, rows: Tensor) -> Tensor:
        """Send row r of each rank's [size, n] to rank r; return what arrives, by rank, [size, n]."""
        if self.alone:
            return rows
        found = torch.empty_like(rows)
        with self._hearing():
            self._group(rows).alltoall_base(_real(found), _real(rows), [], []).wait()
        return found

    def joined(self, row: Tensor) -> Tensor:
        """Stack each rank's [n], by rank: [size, n]."""
        if self.alone:
            return row[None]
        found = row.new_empty(self.size, *row.shape)
        # Unlike `allgather`, this takes no second copy on a GPU.
        with self._hearing():
            self._group(row)._allgather_base(_real(found), _real(row[None])).wait()
        return found

    def _exchanged(self, text: bytes, size: int) -> list[bytes]:
        """The first bytes of each rank's text, after eight bytes for its length."""
        row = torch.zeros(size, dtype=torch.uint8)
        whole = (len(text).to_bytes(8, "little") + text)[:size]
        row[: len(whole)] = torch.frombuffer(bytearray(whole), dtype=torch.uint8)
        return [one.numpy().tobytes() for one in self.joined(row)]

    def _group(self, tensor: Tensor) -> Any:
        """The group for tensors of this device."""
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


def _strides(tensor: Tensor) -> list[int]:
    """Its strides, gaps included, on which the order of sums depends; expanded dimensions are not preserved."""
    dense = torch.empty_like(tensor, device="meta").stride() if 0 in tensor.stride() else tensor.stride()
    return list(dense)


def _real(tensor: Tensor) -> Tensor:
    """The same memory viewed as a number type that a group can carry."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
