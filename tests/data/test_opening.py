"""Files of arrays are told by their contents, and what is none of them is called by what it is."""

import gzip
import io
import zipfile

import pytest
import torch

from pixkit.data.idx import IdxFile
from pixkit.data.npy import ArrayFile
from pixkit.data.opening import EXPECTED, HINTS, OLD_TORCH, open_arrays
from pixkit.data.parquet import ParquetFile
from pixkit.data.tensors import Hdf5File, SafetensorsFile, TorchFile
from pixkit.errors import DataError

IDX = b"\0\0\x08\1\0\0\0\1x"


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return file.getvalue()


def saved():
    file = io.BytesIO()
    torch.save({"x": torch.zeros(2)}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x93NUMPY\1\0", ArrayFile), (zipped("a.npy"), ArrayFile), (zipped(), ArrayFile), (IDX, IdxFile),
        (gzip.compress(IDX, mtime=0), IdxFile), (b"\x89HDF\r\n\x1a\n", Hdf5File), (b"PAR1", ParquetFile),
        (b"\2\0\0\0\0\0\0\0{}", SafetensorsFile), (saved(), TorchFile),
    ],
)  # fmt: skip
def test_a_file_is_read_by_what_is_in_it(tmp_path, content, kind):
    if kind is ParquetFile:
        pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    (tmp_path / "any.name").write_bytes(content)
    assert type(open_arrays(tmp_path / "any.name", 100, "")) is kind


@pytest.mark.parametrize(
    ("content", "found", "hint"),
    [
        (b"", "an empty file", None), (bytes(range(1, 12)), "bytes 01 02 03 04 05 06 07 08", None),
        (b"words", "text", HINTS["text"]), (b"\x80\4abc", "a pickle", HINTS["a pickle"]),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file", HINTS["a MATLAB file"]),
        (gzip.compress(b"words", mtime=0), "a gzip archive", None),
        (gzip.compress(IDX, mtime=0)[:12], "a gzip archive", None),
        (gzip.compress(IDX[:3], mtime=0), "a gzip archive", None),
        (OLD_TORCH + b"x", "a file of torch before 1.6",
         "torch.save(torch.load(FILE, weights_only=True), FILE) saves its tensors again"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_arrays_is_called_by_its_name(tmp_path, content, found, hint):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="not a file of arrays") as caught:
        open_arrays(tmp_path / "a.npz", 100, "")
    error = caught.value
    assert (error.found, error.hint, error.expected, error.where) == (found, hint, EXPECTED, str(tmp_path / "a.npz"))


def test_a_file_that_is_not_there_is_asked_for_by_its_key(tmp_path):
    with pytest.raises(DataError, match="there is no such file") as caught:
        open_arrays(tmp_path / "none", 100, "an array", "data.train")
    assert (caught.value.expected, caught.value.hint) == ("an array", "data.train=FILE names yours")
