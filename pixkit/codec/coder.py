"""Blocks of images to words and back, with a program and one of its two executors."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from pixkit.codec.arithmetic import ARITHMETIC, require, require_unflushed
from pixkit.codec.container import Block, Head, checksum_of
from pixkit.codec.frozen import Array, Frozen
from pixkit.codec.packing import Packer, Unpacker, damaged
from pixkit.codec.part import Part, lost
from pixkit.codec.portable import PortableWalk
from pixkit.codec.strict import StrictWalk
from pixkit.codec.tiles import Size, Tiles
from pixkit.codec.walk import Walk
from pixkit.errors import DataError, message
from pixkit.execution.native.compile import NoCompiler, kernel
from pixkit.memory import check_fits

CPU = torch.device("cpu")

TOGETHER = 64
"""Images coded in lockstep: a batch, on which no result depends."""
BLOCK = 1 << 17
"""The least number of bits in a block, except the last one, or one with MOST sub-pixels."""
MOST = 1 << 24
"""Sub-pixels in a block, except for the images coded last: images that a model is sure of take no bits, and a decoder
has to bound the memory of a block, and the time that a forged one takes."""


class Coder:
    """Encodes and decodes one block at a time; several threads may do so at once.

    Args:
        program: the program to run.
        walk: the class that runs it.
        threads: how many blocks are decoded at a time; one walk more is kept.

    Raises:
        WrongArithmetic: if this machine's arithmetic differs from that of others.
    """

    def __init__(self, program: Frozen, walk: type[Walk], threads: int) -> None:
        require(walk)
        self.program, self.walk, self.threads = program, walk, threads
        self.made: list[Walk] = []
        self._lock = threading.Lock()

    def head(self, sha: str, sizes: tuple[Size, ...]) -> Head:
        """The head of a file of its blocks, given the SHA-256 of the codec file and the sizes of images in tiles."""
        about = self.program.shape, self.program.levels, TOGETHER, ARITHMETIC, self.program.labels
        return Head(bytes.fromhex(sha)[:16], *about, sizes)

    def block(self, images: Array | Tiles, labels: Array | None = None, first: int = 0) -> Block:
        """The block that begins with image `first`."""
        found, words = self._packed(images, labels, first)
        end = first + len(found)
        pixels = found if isinstance(images, Tiles) else images[first:end]
        checksum = checksum_of(pixels, None if labels is None else labels[first:end])
        return Block(first, len(found), np.asarray(words, np.uint32), checksum)

    def verified(self, block: Block) -> tuple[Block, Part]:
        """The block, and its decoded content.

        Raises:
            DataError: if that does not have the block's checksum.
        """
        try:
            return block, self.decoded(block, TOGETHER)
        except DataError as error:
            raise lost(block.first, block.images) from error

    def _packed(self, images: Array | Tiles, labels: Array | None, first: int) -> tuple[Array, list[int]]:
        """The images of a block starting at image `first`, as they will be decoded, and its words."""
        require_unflushed()
        packer, done, each, coded = Packer(), first, math.prod(self.program.shape), []
        while done < len(images) and packer.bits < BLOCK and (done - first) * each < MOST:
            part = images[done : done + TOGETHER]
            with self.walking(len(part)) as walk:
                walk.encode(_by_sites(part), packer, None if labels is None else labels[done : done + TOGETHER])
                coded.append(walk.images())
            done += len(part)
        return np.concatenate(coded), packer.finish()

    def too_many(self, images: int, together: int) -> bool:
        """Whether this is too many images for a block."""
        return (images - together) * math.prod(self.program.shape) >= MOST

    def decoded(self, block: Block, together: int) -> Part:
        """The images of a block that was coded `together` images at a time.

        Raises:
            DataError: if it is damaged.
        """
        require_unflushed()
        if self.too_many(block.images, together):
            raise damaged()
        unpacker, found, labels = Unpacker(block.words.tolist()), [], []
        for start in range(0, block.images, together):
            with self.walking(min(together, block.images - start)) as walk:
                walk.decode(unpacker)
                found.append(walk.images())
                labels.append(walk.labels.copy())
            if unpacker.beyond:  # rather than as many images as a forged number says
                raise damaged()
        part = Part(block.first, np.concatenate(found), np.concatenate(labels) if self.program.labels else None)
        if checksum_of(part.images, part.labels) != block.checksum:
            raise damaged()
        return part

    @contextmanager
    def walking(self, batch: int) -> Iterator[Walk]:
        """A walk for exclusive use; one more than there are threads is kept for other batches."""
        with self._lock:
            walk = next((each for each in self.made if each.batch == batch), None)
            self.made = [each for each in self.made if each is not walk]
        if walk is None:
            program = self.program
            needed = 4 * batch * sum(each.sites * each.row for each in program.memories)
            needed += 8 * batch * (program.levels + program.count * program.shape[0])
            check_fits(needed, CPU, f"{batch} images in lockstep", hint="use a machine with more memory")
            walk = self.walk(self.program, batch)
        yield walk
        with self._lock:
            self.made = [*self.made[-self.threads :], walk]


def _by_sites(images: Array) -> Array:
    """[N, C, H, W] to [S, N, C]."""
    return images.reshape(*images.shape[:2], -1).transpose(2, 0, 1)


def quickest() -> type[Walk]:
    """The executor that runs compiled code; without a compiler numpy's, with a warning."""
    try:
        kernel("strict")
    except NoCompiler as error:
        warnings.warn(
            f"images are coded by numpy, which takes far longer than compiled code: {message(error)}", stacklevel=3
        )
        return PortableWalk
    return StrictWalk
