"""Damages compressed files, and their codec files, in every way that comes to mind, and sees that each is refused.

    python tests/codec/damage.py --count 100000 --seed 1

All in one process: small networks with a softmax and with a mixture of logistics, two of each, whose images are coded
in blocks of a few, once as they are, and once, of another size, as tiles. Bits are flipped, bytes cut off, cut out, put
in, repeated and overwritten; blocks change places, are left out, repeated, or come from another file; files are given
to another model, and to a codec file that is damaged; words are changed and their checksums made right, also those of a
codec file that is changed. A file that is not what it was is refused (exit code 3); of one that was forged, or of which
some images are wanted, those that were there may come back. A line a kind, and exit code 1 if anything else happened,
with what it was.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import torch

import pixkit
from pixkit.codec import coder as coding
from pixkit.codec.codec import Codec
from pixkit.codec.container import Block, Head, Reader, Writer
from pixkit.codec.freezing import freeze
from pixkit.codec.walk import Walk
from pixkit.errors import PixkitError
from pixkit.testing.parts import randomise

TOGETHER, BLOCK, IMAGES = 4, 500, 11
HEADS = {"softmax": (1, 3, 4, 3), "logistic_mixture": (3, 2, 3, 40)}
Chance = random.Random


@dataclass(frozen=True)
class Coded:
    """Images, and the file that a codec made of them."""

    codec: Codec
    images: np.ndarray
    data: bytes

    @property
    def parts(self) -> list[bytes]:
        """Head, blocks, end."""
        file = io.BytesIO(self.data)
        reader = Reader(file)
        places = [0, file.tell(), *(file.tell() for _ in reader.blocks())]
        return [self.data[start:end] for start, end in itertools.pairwise([*places, len(self.data)]) if start < end]


def coded(head: str, seed: int, walk: type[Walk] | None = None) -> list[Coded]:
    """Two files of each of two small models that have this head."""
    found = []
    for number in (seed, seed + 1):
        described = {"type": head} if head == "softmax" else {"type": head, "components": 2}
        backbone = {"type": "pixelcnn", "width": 4, "layers": 1, "first_kernel": 3}
        model = pixkit.build_model({"type": "autoregressive", "backbone": backbone, "head": described}, HEADS[head])
        randomise(model, number)
        codec = Codec(freeze(model.network.float().eval()), walk=walk)
        for file in range(2):
            generator = np.random.default_rng((number, file))
            channels, height, width, levels = HEADS[head]
            images = generator.integers(levels, size=(IMAGES, channels, height, width + file))
            names = [f"{each}.png" for each in range(IMAGES)] if file else []
            with mock.patch.multiple(coding, TOGETHER=TOGETHER, BLOCK=BLOCK):
                found.append(Coded(codec, images, codec.encode(images, names, tiles=file > 0)))
    return found


def flipped(chance: Chance, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 9))):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut_off(chance: Chance, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def cut_out(chance: Chance, data: bytes) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:start] + data[end:]


def put_in(chance: Chance, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.choice((1, 1, 4, 40))) + data[place:]


def repeated(chance: Chance, data: bytes) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:end] + data[start:]


def overwritten(chance: Chance, data: bytes) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:start] + chance.randbytes(end - start) + data[end:]


BYTES = (flipped, cut_off, cut_out, put_in, repeated, overwritten)


def anyhow(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """One kind of damage, or two, one after the other."""
    data = chance.choice(BYTES)(chance, file.data)
    return file.codec, chance.choice(BYTES)(chance, data) if data and not chance.randrange(8) else data


def spliced(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """Heads, blocks and ends of two files in another order, or another number of them."""
    parts = file.parts
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.randrange(len(parts))
        match chance.randrange(4):
            case 0:
                del parts[place]
            case 1:
                parts.insert(place, chance.choice([*file.parts, *other.parts]))
            case 2:
                parts[place] = chance.choice([*file.parts, *other.parts])
            case 3:
                parts.insert(chance.randrange(len(parts)), parts.pop(place))
        if not parts:
            break
    return file.codec, b"".join(parts)


def joined(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """The beginning of one file and the end of another, as long as each was, or not."""
    place = chance.randrange(len(file.data))
    start = chance.choice((place, chance.randrange(len(other.data))))
    return file.codec, file.data[:place] + other.data[start:]


def swapped(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """Another model's file."""
    return other.codec, file.data


def codec_file(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """A codec file that is damaged."""
    content = file.codec.content
    while content == file.codec.content:
        content = chance.choice(BYTES)(chance, content)
    return Codec.from_bytes(content, walk=file.codec.walk), file.data


def forged(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """Words, counts or checksums of images that are others, under checksums that are right."""
    reader = Reader(io.BytesIO(file.data))
    blocks = [*reader.blocks()]
    place = chance.randrange(len(blocks))
    blocks[place] = _changed(chance, blocks[place])
    return file.codec, _written(reader.head, blocks, reader.names)


def _changed(chance: Chance, block: Block) -> Block:
    words = block.words.copy()
    match chance.randrange(5):
        case 0:
            words[chance.randrange(len(words))] ^= np.uint32(1 << chance.randrange(32))
        case 1:
            words = np.frombuffer(chance.randbytes(4 * len(words)), "<u4")
        case 2:
            words = words[: chance.randrange(len(words))]
        case 3:
            return replace(block, images=chance.choice((1, block.images + 1, 1 << 30)))
        case 4:
            return replace(block, checksum=flipped(chance, block.checksum))
    return replace(block, words=words)


def _written(head: Head, blocks: list[Block], names: list[str]) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, head)
    for block in blocks:
        writer.write(block.images, block.words.tolist(), block.checksum)
    writer.end(names)
    return file.getvalue()


def forged_codec(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """A codec file that is changed, and a file that names it."""
    content = file.codec.content
    while content == file.codec.content:
        content = flipped(chance, content)
    codec = Codec.from_bytes(content, walk=file.codec.walk)
    reader = Reader(io.BytesIO(file.data))
    head = replace(reader.head, codec=bytes.fromhex(codec.sha)[:16])
    return codec, _written(head, [*reader.blocks()], reader.names)


def for_some(chance: Chance, file: Coded, other: Coded) -> tuple[Codec, bytes]:
    """Damage that who wants some images may not come by."""
    return file.codec, chance.choice(BYTES)(chance, file.data)


Kind = Callable[[Chance, Coded, Coded], tuple[Codec, bytes]]
KINDS: tuple[Kind, ...] = (anyhow, anyhow, anyhow, spliced, joined, swapped, codec_file, forged, forged_codec, for_some)
HARMLESS = (forged, forged_codec, for_some)


def outcome(kind: Kind, chance: Chance, file: Coded, other: Coded) -> str:
    """What came of it: "refused", "the same file", "the same images", or what should not be."""
    try:
        codec, data = kind(chance, file, other)
        if codec is file.codec and data in (file.data, other.data):
            return "the same file"
        wanted = range(*sorted(chance.sample(range(IMAGES + 1), 2))) if kind is for_some else range(IMAGES)
        found = codec.decode(data, images=wanted if kind is for_some else None)
    except PixkitError as error:
        return "refused" if error.exit_code == 3 or kind is forged_codec else f"exit code {error.exit_code}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    same = kind in HARMLESS and np.array_equal(found, file.images[wanted.start : wanted.stop])
    return "the same images" if same else "WRONG IMAGES"  # the last bits of the last word, say, have no part in them


def trials(files: list[Coded], count: int, seed: int) -> Counter[tuple[str, str]]:
    """How often each kind had which outcome."""
    found: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        kind, file = chance.choice(KINDS), chance.choice(files)
        others = [each for each in files if (each.codec is not file.codec) == (kind is swapped) and each is not file]
        found[kind.__name__, outcome(kind, chance, file, chance.choice(others))] += 1
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    total: Counter[tuple[str, str]] = Counter()
    for head in HEADS:
        total += trials(coded(head, given.seed), given.count // len(HEADS), given.seed)
    for (kind, came), count in sorted(total.items()):
        print(f"{kind}: {count} {came}")
    sys.exit(not {came for _, came in total} <= {"refused", "the same file", "the same images"})


if __name__ == "__main__":
    main()
