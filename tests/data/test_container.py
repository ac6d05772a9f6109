"""What is said of files of arrays that are damaged, too large, or take a library that is not there."""

import errno
import sys

import pytest

from pixkit.data import container, tensors
from pixkit.data.container import Container, library
from pixkit.errors import DataError


class Box(Container):
    """A format of no file."""

    format = "a box"

    def names(self):
        return ["a", "b"]

    def stored(self, name=None):
        raise NotImplementedError


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path / "x.box", 12)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (OSError("a library's words"), "a library's words"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_a_library_raises_is_damage(box, error, found):
    for name, where in ((None, str(box.path)), ("a", f"{box.path}: a")):
        with pytest.raises(DataError, match="the file is damaged") as caught, box.faults(name):
            raise error
        assert (caught.value.where, caught.value.found, caught.value.expected) == (where, found, "a box")


def test_a_disk_that_fails_is_no_damage_nor_is_what_pixkit_says(box):
    disk = OSError(errno.EIO, "Input/output error")
    with pytest.raises(DataError, match="cannot be read") as caught, box.faults("a"):
        raise disk
    assert caught.value.found == "Input/output error"
    damaged = ValueError("as zipfile calls a disk that fails")
    damaged.__context__ = disk
    with pytest.raises(DataError, match="cannot be read") as caught, box.faults("a"):
        raise damaged
    assert caught.value.found == "Input/output error"
    with pytest.raises(DataError, match="as it is"), box.faults():
        raise DataError("as it is")
    with pytest.raises(ZeroDivisionError), box.faults():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("shape", "itemsize", "fits"), [((3, 2), 2, True), ((13,), 1, False), ((3, 5), 1, False), ((), 8, True)]
)
def test_an_array_may_have_as_many_bytes_as_the_limit(box, shape, itemsize, fits):
    if fits:
        box.check("a", shape, "numbers", itemsize, "u")
        return
    with pytest.raises(DataError, match="too large an array") as caught:
        box.check("a", shape, "numbers", itemsize, "u")
    assert caught.value.found == f"{'x'.join(map(str, shape))} numbers: {[13, 15][len(shape) - 1]} bytes"


def test_numbers_are_integers_booleans_and_floats(box):
    for kind in "iubf":
        box.check(None, (1,), "x", 1, kind)
    for kind in "cOSUVMm?":
        with pytest.raises(DataError, match="not an array of numbers"):
            box.check(None, (1,), "x", 1, kind)


def test_a_missing_array_is_told_with_those_there_are(box):
    assert box.missing("c").expected == "one of a, b"
    box.names = list
    assert box.missing("c").expected == "one of (none)"


def test_a_library_that_is_not_there_is_named_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError) as caught:
        tensors.Hdf5File(tmp_path / "x.h5", 1)
    assert caught.value.message == "reading HDF5 takes h5py, which is not installed"
    assert (caught.value.where, caught.value.hint) == (str(tmp_path / "x.h5"), "pip install 'pixkit-models[hdf5]'")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError) as caught:
        library("pyarrow.parquet", "parquet", tmp_path, "parquet")
    assert caught.value.message == "reading parquet takes pyarrow, which is not installed"


def test_so_many_arrays_of_a_file_are_looked_at(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in "abcd":
            file[f"group/{name}"] = 1
    monkeypatch.setattr(tensors, "MOST_NAMES", 3)
    assert len(tensors.Hdf5File(tmp_path / "x.h5", 1).names()) == 3
    assert container.MOST_NAMES >= 1000
