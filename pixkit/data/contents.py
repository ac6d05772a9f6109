"""Identify a file by its first bytes, whatever its name."""

from __future__ import annotations

import re
from pathlib import Path

from pixkit.errors import DataError, reason
from pixkit.files import open_regular

HEAD = 512
"""Bytes by which a file is identified."""
SAFETENSORS = rb".{3}[\0-\7]\0{4}\{"
"""First bytes of the formats, checked after the length of a header, whose bytes may coincide with them."""
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"MATLAB 7.3 MAT-file", "an HDF5 file"),
    (b"PAR1", "a parquet file"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"MATLAB", "a MATLAB file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"CDF", "a netCDF file"),
    (b"ARROW1", "an Arrow file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"II+\0", "a TIFF picture"),
    (b"MM\0+", "a TIFF picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"\0\0\x01\0", "an icon"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"(\xb5/\xfd", "a zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` fetches the file itself"),
)

PATTERNS: tuple[tuple[bytes, str], ...] = (
    (rb"RIFF....WEBP", "a WebP picture"),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", "a BMP picture"),
    (rb"....ftyp(avif|heic|mif1)", "an AVIF or HEIF picture"),
    (rb".{257}ustar", "a tar archive"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"P[1-7]\s", "a PNM picture"),
    (rb"\0\0[\x08\x09\x0b-\x0e][\x01-\x07]", "an IDX file"),
    (rb"(?i:\s*<(!doctype html|html))", "a web page, perhaps that of a download that failed"),
    (rb"[\t\n\r\f -~]+\Z", "text"),
)
"""Patterns, for formats that are not identified by a fixed prefix."""


def told(head: bytes) -> str | None:
    """Describe a file that begins with these bytes; None if it is unknown."""
    if not head:
        return "an empty file"
    if re.match(SAFETENSORS, head, re.DOTALL):
        return "a safetensors file"
    plain = (name for start, name in BEGINNINGS if head.startswith(start))
    return next(plain, None) or next((name for pattern, name in PATTERNS if re.match(pattern, head, re.DOTALL)), None)


def beginning(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        DataError: if it cannot be read, or is a folder, a pipe or a device, for which it does not wait.
    """
    try:
        with open_regular(path) as file:
            return file.read(HEAD)
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error
