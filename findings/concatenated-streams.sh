#!/usr/bin/env bash
# Of a gzip, Zstandard or LZ4 file of two parts some readers give the first part, and no error.
#
# Expected: gzip (RFC 1952), Zstandard (RFC 8878) and LZ4 files may be several streams in a row, as `cat`, pigz, bgzip
# and append mode make them; whoever decompresses one gets all of it, as Python's gzip does, or an error about the rest.
# Seen with two parts of 1000 bytes: imagecodecs 2026.3.6 gives 1000 of 2000 for gzip and LZ4 and 2000 for Zstandard;
# zstandard 0.25.0 gives 1000 by decompress() and 2000 by open() and stream_reader(); lz4 4.4.5 gives 1000 by
# frame.decompress() and 2000 by frame.open(). numcodecs 0.16.6 and pyarrow 26.0.1 give 2000. In one program, the answer
# is a matter of which call reads the file. A raw image file then ends half-way, and an IDX reader blames the header.
# Compare the length with what the header promises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 imagecodecs==2026.3.6 \
    zstandard==0.25.0 lz4==4.4.5 numcodecs==0.16.6 pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import gzip
import io
import sys

import imagecodecs
import lz4.frame
import numcodecs
import pyarrow
import zstandard

parts = b"a" * 1000, b"b" * 1000
zipped = b"".join(map(gzip.compress, parts))
zstd = b"".join(map(zstandard.ZstdCompressor().compress, parts))
frames = b"".join(map(lz4.frame.compress, parts))
calls = {
    "gzip.decompress": (lambda: gzip.decompress(zipped), 2000),
    "imagecodecs.gzip_decode": (lambda: imagecodecs.gzip_decode(zipped), 1000),
    "numcodecs.GZip": (lambda: numcodecs.GZip().decode(zipped), 2000),
    "pyarrow, gzip": (lambda: pyarrow.input_stream(io.BytesIO(zipped), compression="gzip").read(), 2000),
    "zstandard.decompress": (lambda: zstandard.decompress(zstd), 1000),
    "zstandard's stream_reader": (lambda: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(zstd)).read(), 2000),
    "imagecodecs.zstd_decode": (lambda: imagecodecs.zstd_decode(zstd), 2000),
    "pyarrow, zstd": (lambda: pyarrow.input_stream(io.BytesIO(zstd), compression="zstd").read(), 2000),
    "lz4.frame.decompress": (lambda: lz4.frame.decompress(frames), 1000),
    "lz4.frame.open": (lambda: lz4.frame.open(io.BytesIO(frames)).read(), 2000),
    "imagecodecs.lz4f_decode": (lambda: imagecodecs.lz4f_decode(frames), 1000),
}
as_before = True
for name, (call, before) in calls.items():
    found = len(call())
    print(f"{name}: {found} of 2000 bytes" + ("" if found == before else f" CHANGED, it was {before}"))
    as_before &= found == before
sys.exit(not as_before)
PYTHON
# The output seen:
# gzip.decompress: 2000 of 2000 bytes
# imagecodecs.gzip_decode: 1000 of 2000 bytes
# numcodecs.GZip: 2000 of 2000 bytes
# pyarrow, gzip: 2000 of 2000 bytes
# zstandard.decompress: 1000 of 2000 bytes
# zstandard's stream_reader: 2000 of 2000 bytes
# imagecodecs.zstd_decode: 2000 of 2000 bytes
# pyarrow, zstd: 2000 of 2000 bytes
# lz4.frame.decompress: 1000 of 2000 bytes
# lz4.frame.open: 2000 of 2000 bytes
# imagecodecs.lz4f_decode: 1000 of 2000 bytes
