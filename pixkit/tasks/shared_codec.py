"""Compress with several ranks: each codes some blocks, and the file has the same bytes as from one process.

Where a block begins depends on how many bits the images before it took, so it is known once these are coded. Blocks of
similar images have equally many bits, so they also have about equally many images: while one rank codes the next block,
the others code those that will follow if each is as long as the average so far. A block that turns out to begin
elsewhere is coded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zlib import crc32

import numpy as np
import torch

from pixkit.codec.codec import Codec
from pixkit.codec.coder import BLOCK, MOST, TOGETHER
from pixkit.codec.container import Block, checksum_of
from pixkit.codec.frozen import Array
from pixkit.codec.part import Part, lost
from pixkit.codec.tiles import Tiles
from pixkit.errors import RankError
from pixkit.ranks import Ranks, named


class SharedCodec(Codec):
    """A codec whose `write` several ranks call with the same images; each returns the whole file.

    Raises:
        RankError: from `write`, if the images differ between ranks, or one of them fails.
    """

    def __init__(self, codec: Codec, ranks: Ranks) -> None:
        super().__init__(codec.program, codec.content, codec.walk)
        self._ranks = ranks

    def blocks(self, images: Array | Tiles, labels: Array | None, verify: bool) -> Iterator[tuple[Block, Part | None]]:
        """See Codec. The rank that coded a block also decodes it."""
        self._check_alike(images.images if isinstance(images, Tiles) else images, labels)
        done, batches, bits = 0, 0, 0
        while done < len(images):
            start = done + self._ranks.rank * TOGETHER * self._expected(batches, bits)
            for block in self._told(self._coded(images, labels, start, verify) if start < len(images) else None):
                if block.first == done:
                    yield block, None
                    done += block.images
                    batches, bits = batches + -(-block.images // TOGETHER), bits + 32 * len(block.words)

    def _check_alike(self, images: Iterable[Array], labels: Array | None) -> None:
        """Check that all ranks have the same images, labels and weights.

        Raises:
            RankError: naming those that differ from rank 0.
        """
        pixels = crc32(b"".join(map(checksum_of, images)), 0 if labels is None else crc32(labels.tobytes()))
        found = self._ranks.gather([self.sha, pixels])
        if others := [rank for rank, one in enumerate(found) if one != found[0]]:
            raise RankError(
                f"images, labels and weights: {named(others)} not the same as on rank 0",
                hint="the same images and the same run for all ranks",
            )

    def _expected(self, batches: int, bits: int) -> int:
        """The expected number of batches in a block, if `batches` batches took `bits` bits."""
        each = self.program.count * self.program.shape[0]
        return max(min(-(-BLOCK * batches // max(bits, 1)), -(-MOST // (each * TOGETHER))), 1)

    def _coded(self, images: Array | Tiles, labels: Array | None, start: int, verify: bool) -> Block:
        """The block that begins with the image `start`.

        Raises:
            DataError: if decoding gives something else.
        """
        block = self.coder.block(images, labels, start)
        if verify:
            wanted = images[start : start + block.images]
            _, part = self.coder.verified(block)
            if not ((part.images == wanted) | (wanted < 0)).all():
                raise lost(start, block.images)
        return block

    def _told(self, own: Block | None) -> list[Block]:
        """The blocks of all ranks."""
        words = np.zeros(0, np.uint32) if own is None else own.words
        about = None if own is None else [own.first, own.images, own.checksum.hex()]
        told = self._ranks.gather(about)
        each = self._ranks.tensors(torch.from_numpy(words.view(np.uint8)))
        return [
            Block(one[0], one[1], found.numpy().view(np.uint32), bytes.fromhex(one[2]))
            for one, found in zip(told, each, strict=True)
            if one is not None
        ]
