"""Arrays as they lie in files: how much is read at a time, what can be mapped, and where parts belong."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from pixkit.data import stored
from pixkit.data.stored import Stored, from_stream, in_file, rows_at_once, stays


@pytest.mark.parametrize(
    ("shape", "itemsize", "multiple", "rows"),
    [
        ((9, 2, 3), 2, 1, 2), ((9, 2, 3), 2, 2, 2), ((9, 2, 3), 2, 3, 3), ((9, 2, 3), 4, 1, 1), ((9, 5, 5), 4, 1, 1),
        ((9, 5, 5), 4, 4, 4), ((9,), 1, 1, 24), ((9,), 1, 10, 30), ((9, 0), 2, 1, 24), ((9, 24), 1, 1, 1),
    ],
)  # fmt: skip
def test_so_many_rows_are_read_at_a_time(monkeypatch, shape, itemsize, multiple, rows):
    monkeypatch.setattr(stored, "AT_ONCE", 24)
    assert rows_at_once(shape, itemsize, multiple) == rows


@pytest.mark.parametrize(("memory", "largest"), [(2000, 500), (2001, 500), (1000, 500), (998, 499)])
def test_images_stay_in_their_files_from_a_size_on(monkeypatch, memory, largest):
    """Beyond 500 bytes, and beyond half the memory."""
    monkeypatch.setattr(stored, "LARGE", 500)
    monkeypatch.setattr(stored, "available", lambda device: SimpleNamespace(size=memory))
    assert [stays(size) for size in (largest, largest + 1)] == [False, True]
    for size, large in ((memory // 2, False), (memory // 2 + 1, True)):
        assert Stored((1,), np.dtype("u1"), iter, mapped=lambda: None, size=size).large == large
        assert not Stored((1,), np.dtype("u1"), iter, size=size).large


@pytest.mark.parametrize("kind", ["u1", "<u2", ">f8", "<i4"])
@pytest.mark.parametrize("shape", [(), (7,), (7, 3), (5, 2, 3), (1, 4), (0, 3)])
@pytest.mark.parametrize("fortran", [False, True])
def test_a_file_is_read_part_by_part_or_mapped(tmp_path, monkeypatch, kind, shape, fortran):
    monkeypatch.setattr(stored, "AT_ONCE", 24)
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), kind)
    for offset in (8, 9):
        (tmp_path / "a").write_bytes(b"x" * offset + array.tobytes("F" if fortran else "C") + b"more")
        found = in_file(tmp_path / "a", offset, shape, np.dtype(kind), fortran=fortran)
        assert found.size == array.nbytes and np.array_equal(found.read(), array)
        assert (found.mapped is not None) == (shape != () and (offset == 8 or kind == "u1"))
        assert (found.at == (tmp_path / "a", offset)) == (len(shape) == 1 or (shape != () and not fortran))
        if found.mapped is not None and array.size:
            assert np.array_equal(found.mapped(), array)
            monkeypatch.setattr(stored, "_half", lambda: 0)
            assert isinstance(found.read(), np.memmap)
            monkeypatch.setattr(stored, "_half", lambda: 2**40)
        if shape:
            rows = [part.copy() for part in found.rows()]
            assert np.array_equal(np.concatenate([*rows, array[:0]]), array)
            step = rows_at_once(shape, array.itemsize)
            assert len(rows) == (1 if fortran else -(-shape[0] // step))


def test_a_stream_that_ends_too_early_is_told_and_none_is_asked_for_more_than_a_part(monkeypatch):
    monkeypatch.setattr(stored, "AT_ONCE", 4)
    asked = []

    class Slow(io.BytesIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(min(size, 3))

    kind = np.dtype("u1")
    ((place, block),) = from_stream(Slow(bytes(range(9))), (1, 9), kind)
    assert place == (slice(0, 1),) and block.tolist() == [[*range(9)]] and max(asked) == 4
    with pytest.raises(EOFError, match="end too early"):
        list(from_stream(Slow(bytes(8)), (1, 9), kind))
