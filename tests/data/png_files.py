"""PNG files by hand, of depths that Pillow does not write."""

import struct
import zlib

KINDS = {"grey": 0, "colour": 2, "grey, opacity": 4, "colour, opacity": 6}


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, depth, kind, rows, transparent=b"", more=b""):
    """Rows are bytes, not filtered; `transparent` is the content of tRNS."""
    header = struct.pack(">IIBBBBB", width, height, depth, KINDS[kind], 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", transparent) if transparent else b"", more]
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def deep_png(array, transparent=b""):
    """Of uint16 [H, W, 1 to 4]."""
    kind = list(KINDS)[(0, 2, 1, 3)[array.shape[2] - 1]]
    return png(array.shape[1], array.shape[0], 16, kind, [row.astype(">u2").tobytes() for row in array], transparent)
