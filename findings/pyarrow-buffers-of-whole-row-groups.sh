#!/usr/bin/env bash
# A parquet file read by batches through a small buffer is in memory as a whole.
#
# Expected: ParquetFile(path, buffer_size=2**20).iter_batches() holds about the buffer, as the docstring of buffer_size
# says (buffered reading of column chunks), so that sets larger than memory can be read.
# Seen with pyarrow 26.0.1: pre_buffer, which is on by default, takes precedence without a word: the compressed
# row group is fetched at once, which in a file of one row group, as writers that are given one table make it, is the
# file. With pre_buffer=False the buffer is what it says. pixkit reads so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pyarrow==26.0.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

values = np.random.default_rng(0).integers(0, 2**31, 2**24)
pq.write_table(pa.table({"pixels": values}), "set.parquet", use_dictionary=False, row_group_size=2**24)
size = Path("set.parquet").stat().st_size >> 20
found = {}
for options in ({}, {"pre_buffer": False}):
    batches = pq.ParquetFile("set.parquet", buffer_size=2**20, **options).iter_batches(batch_size=1000, use_threads=False)
    next(batches)
    held = pa.total_allocated_bytes() >> 20
    found[str(options)] = "a quarter of the file or more" if held >= size / 4 else "the buffer, a few MiB" if held < 8 else "else"
    print(f"file of {size} MiB, buffer of 1 MiB, {options}: {held} MiB held after the first batch: {found[str(options)]}")
    del batches
before = {"{}": "a quarter of the file or more", "{'pre_buffer': False}": "the buffer, a few MiB"}
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# file of 98 MiB, buffer of 1 MiB, {}: 98 MiB held after the first batch: a quarter of the file or more
# file of 98 MiB, buffer of 1 MiB, {'pre_buffer': False}: 1 MiB held after the first batch: the buffer, a few MiB
# as before
