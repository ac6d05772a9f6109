"""Arrays of parquet files: columns of numbers, of nested lists of them, or of pictures as they are published."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixkit.data.container import Container, library
from pixkit.data.picture import Form, read_content
from pixkit.data.stored import Blocks, Stored, rows_at_once
from pixkit.errors import DataError

CHUNK = 2**20
"""Bytes per read of the file."""
DECODED = 8
"""The least number of bytes per value while decoding: four, and four for the nesting of lists."""
MAX_PIXELS = 16_000_000
"""The most pixels of a picture of a column."""


class ParquetFile(Container):
    """A parquet file, whose columns are its arrays.

    Nested lists must have one length at each depth. A column of pictures, as files (such as PNG) or as the structures
    of bytes and path used on the Hugging Face hub, becomes [N, H, W], or [N, H, W, 3] for colours.
    """

    format = "a parquet file"

    def __init__(self, path: Any, limit: int) -> None:
        super().__init__(path, limit)
        self._pa = library("pyarrow", "parquet", path, "parquet")
        self._parquet = library("pyarrow.parquet", "parquet", path, "parquet")
        self.damage = (self._pa.ArrowException, *Container.damage)

    def names(self) -> list[str]:
        """See Container."""
        with self.faults(), self._parquet.ParquetFile(self.path) as file:
            return list(file.schema_arrow.names)

    def stored(self, name: str | None = None) -> Stored:
        """See Container."""
        if name not in self.names():
            raise self.missing(name)
        with self.faults(name), self._parquet.ParquetFile(self.path) as file:
            self._bound(file.metadata, name)
            rows = int(file.metadata.num_rows)
        forms: list[Form] = []
        with self.faults(name):
            first = next((block for _, block in self._blocks(name, 1, forms, rows)), None)
        if first is None:
            raise DataError("the column is empty", where=self.where(name))
        step = rows_at_once(first.shape, max(first.itemsize, DECODED))
        return Stored((rows, *first.shape[1:]), first.dtype, lambda: self._blocks(name, step, forms, rows))

    def _blocks(self, name: str, step: int, forms: list[Form], rows: int) -> Blocks:
        """A column, a few rows at a time; pictures are brought to the form of the first, which is put into `forms`."""
        done, shape = 0, None
        with self._opened() as file:
            for batch in file.iter_batches(batch_size=step, columns=[name], use_threads=False):
                if not len(batch):
                    continue
                block = self._array(batch.column(0), name, forms, rows, done)
                shape = shape or block.shape[1:]
                if block.shape[1:] != shape:
                    raise self._ragged(name, sorted(map(str, {shape, block.shape[1:]})))
                yield (slice(done, done + len(block)),), block
                done += len(block)

    def _opened(self) -> Any:
        """The file, opened so that data no longer needed take no memory.

        pyarrow's pre-buffering reads a whole row group, whatever the size of the buffer, and often that is the whole
        file. Its default memory pool keeps a third of a data set's size for later.
        """
        pool = self._pa.default_memory_pool()
        self._pa.set_memory_pool(self._pa.system_memory_pool())
        try:
            return self._parquet.ParquetFile(self.path, buffer_size=CHUNK, pre_buffer=False)
        finally:
            self._pa.set_memory_pool(pool)

    def _bound(self, metadata: Any, name: str) -> None:
        """Check a column's announced size against the limit."""
        size = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group)
            columns = (rows.column(index) for index in range(rows.num_columns))
            size += sum(
                part.total_uncompressed_size for part in columns if part.path_in_schema.partition(".")[0] == name
            )
        self.check(name, (size,), "bytes", 1, "u")

    def _array(self, values: Any, name: str, forms: list[Form], rows: int, done: int) -> NDArray[Any]:
        """Some rows of a column, [N, ...]; `done` were read before, of `rows` in all."""
        pa = self._pa
        if values.null_count:
            raise DataError("values are missing", where=self.where(name), found=f"{values.null_count} nulls")
        if isinstance(values, pa.ExtensionArray):
            shape, order = (getattr(values.type, key, None) for key in ("shape", "permutation"))
            if order is not None and list(order) != sorted(order):
                raise DataError("tensors with their axes permuted", where=self.where(name), found=str(values.type))
            flat = self._array(values.storage, name, forms, rows, done)
            return flat if shape is None else flat.reshape(len(flat), *shape)
        kind = values.type
        if pa.types.is_dictionary(kind):
            return self._array(values.dictionary_decode(), name, forms, rows, done)
        if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
            lengths = values.value_lengths().to_numpy(zero_copy_only=False)
            if lengths.min() != lengths.max():
                raise self._ragged(name, [f"{lengths.min()}", f"{lengths.max()}"])
            inner = self._array(values.flatten(), name, forms, rows, done)
            return inner.reshape(len(values), int(lengths[0]), *inner.shape[1:])
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return self._pictures(values.field(kind.get_field_index("bytes")), name, forms, rows, done)
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return self._pictures(values, name, forms, rows, done)
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return np.asarray(values.to_numpy(zero_copy_only=False))
        raise DataError("not a column of numbers or pictures", where=self.where(name), found=str(kind))

    def _pictures(self, files: Any, name: str, forms: list[Form], rows: int, done: int) -> NDArray[Any]:
        """Pictures of one size, grey if the first one is, and with 16 bits if that has more than 8."""
        found = []
        for number, item in enumerate(files, done):
            content, where = item.as_py(), f"{self.where(name)}, row {number}"
            if content is None:
                raise DataError("the picture is not in the file", where=where, found="only a path")
            if not forms:
                form, shape = _form_of(content, where)
                self.check(name, (rows, *shape), "levels", 1 if form.levels == 256 else 2, "u")
                forms.append(form)
            found.append(read_content(content, forms[0], where).pixels)
        pictures = np.stack(found)
        return pictures[:, 0] if pictures.shape[1] == 1 else pictures.transpose(0, 2, 3, 1)

    def _ragged(self, name: str, found: list[str]) -> DataError:
        return DataError(
            "lists of different lengths", where=self.where(name), found=", ".join(found), expected="images of one size"
        )


def _form_of(content: bytes, where: str) -> tuple[Form, tuple[int, ...]]:
    """The form for all pictures of a column, from the first, and its shape [C, H, W]."""
    whole = read_content(content, Form(3, None, "exact", "nearest", MAX_PIXELS), where)
    size = (whole.pixels.shape[1], whole.pixels.shape[2])
    levels = 65536 if whole.bits > 8 else 256
    form = Form(1 if whole.grey else 3, size, "exact", "nearest", MAX_PIXELS, levels)
    return form, (form.channels, *size)
