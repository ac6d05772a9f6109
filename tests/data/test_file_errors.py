"""What is wrong with an array of a file of torch, HDF5 or parquet is said whole: where, what was found, what to do."""

import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pixkit.data.parquet import ParquetFile
from pixkit.data.tensors import Hdf5File, SafetensorsFile, TorchFile
from pixkit.errors import DataError


def said_of(call, *given):
    with pytest.raises(DataError) as caught:
        call(*given)
    error = caught.value
    return error.message, error.where, error.found, error.expected, error.hint


TRUSTED = "if you trust it: x = torch.load(FILE, weights_only=False); numpy.savez('images.npz', train=...)"
ONLY = "a torch file is read only if it contains nothing but tensors"
TENSORS = "a tensor, or a dictionary or list of tensors"


def test_files_of_torch_with_anything_else_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    for held, found in ((3, "int"), (object, "objects other than tensors, which could run code when they are read")):
        torch.save(held, path)
        assert said_of(TorchFile, path, 10**6) == (ONLY, str(path), found, TENSORS, TRUSTED)


@pytest.mark.parametrize("program", [b"h\x07.", b"a.", b"K\x01Q.", b"}K\x01K\x02s\x85R.", b"J\x01", b".", b""])
def test_damaged_files_of_torch_are_told_whatever_its_unpickler_raises(tmp_path, program):
    """An unknown place of its memo, an empty stack, a number for a tensor's storage, no end ..."""
    path, damaged = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save([torch.zeros(3)], path)
    with zipfile.ZipFile(path) as sound, zipfile.ZipFile(damaged, "w") as archive:
        for info in sound.infolist():
            content = b"\x80\x02" + program if info.filename.endswith("data.pkl") else sound.read(info)
            archive.writestr(info.filename, content)
    message, where, _, expected, _ = said_of(TorchFile, damaged, 10**6)
    assert message in ("the file is damaged", ONLY) and where == str(damaged)
    assert expected in ("a file of torch", TENSORS)


def test_a_file_of_torch_may_unpack_to_four_times_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    torch.save([torch.zeros(3), "no tensor", torch.ones(2)], path)
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    assert TorchFile(path, -(-size // 4)).names() == ["0", "2"]
    assert said_of(TorchFile, path, (size - 1) // 4) == (
        "the file unpacks to arrays that are too large", str(path), f"{size} bytes",
        f"at most {4 * ((size - 1) // 4)}", "data.max_bytes raises the limit",
    )  # fmt: skip


@pytest.mark.parametrize("tensor", [torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse()])
def test_tensors_of_torch_that_are_no_plain_numbers_are_refused(tmp_path, tensor):
    path = tmp_path / "a.pt"
    torch.save({"x": tensor, "y": torch.zeros(3)}, path)
    file = TorchFile(path, 1000)
    assert said_of(file.stored, "x")[:3] == ("not an array of numbers", f"{path}: x", str(tensor.dtype))
    assert [file.stored("y").shape, file.stored("y").dtype] == [(3,), np.float32]
    for missing in ("z", None):
        assert said_of(file.stored, missing)[0] == "there is no such array"


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (torch.bool, np.bool_), (torch.bfloat16, np.float32), (torch.float16, np.float16), (torch.float64, np.float64),
        (torch.uint8, np.uint8), (torch.int8, np.int8), (torch.int32, np.int32), (torch.int64, np.int64),
    ],
)  # fmt: skip
def test_tensors_keep_their_types_and_the_limit_is_of_their_bytes(tmp_path, kind, dtype):
    values = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(kind)
    save_file({"x": values}, tmp_path / "a.safetensors")
    torch.save(values, tmp_path / "a.pt")
    size = 6 * kind.itemsize
    bounded, torchs = SafetensorsFile(tmp_path / "a.safetensors", size), TorchFile(tmp_path / "a.pt", 10**4)
    for found in (bounded.stored("x"), torchs.stored()):
        assert (found.shape, found.dtype) == ((3, 2), dtype)
        assert np.array_equal(np.concatenate([block for _, block in found.blocks()]), values.double().numpy())
    less = SafetensorsFile(tmp_path / "a.safetensors", size - 1)
    assert said_of(less.stored, "x")[0] == "the header announces too large an array"


def test_values_of_hdf5_that_are_elsewhere_or_nowhere_are_told(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["none"] = h5py.Empty("u1")
        file.create_dataset("far", (2,), "u1", external=[(str(tmp_path / "raw"), 0, 2)])
    file = Hdf5File(path, 100)
    assert file.names() == ["far", "none"]
    assert said_of(file.stored, "none") == ("the array has no values", f"{path}: none", None, None, None)
    assert said_of(file.stored, "far") == (
        "the array's values are in other files", f"{path}: far", None, None,
        "name these files: a list, or a pattern of names, joins them",
    )  # fmt: skip


def test_columns_of_parquet_that_are_no_arrays_are_told(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "ragged": pa.array([[3], [1, 2]]),
        "nulls": pa.array([[1], None]),
        "text": pa.array(["a", "b"]),
        "path": pa.array([{"bytes": None, "path": "a.png"}] * 2, picture),
        "whole": pa.array([3, 4]),
    }
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table(columns), path)
    file = ParquetFile(path, 1000)
    assert file.names() == list(columns)
    for name, where, message, found, expected in (
        ("ragged", "", "lists of different lengths", "1, 2", "images of one size"),
        ("nulls", "", "values are missing", "1 nulls", None),
        ("text", "", "not a column of numbers or pictures", "string", None),
        ("path", ", row 0", "the picture is not in the file", "only a path", None),
    ):
        assert said_of(lambda name=name: [*file.stored(name).blocks()]) == (
            message, f"{path}: {name}{where}", found, expected, None
        )  # fmt: skip
    stored = file.stored("whole")
    assert (stored.shape, stored.dtype, [block.tolist() for _, block in stored.blocks()]) == ((2,), np.int64, [[3, 4]])
    parquet.write_table(pa.table(columns)[:0], path)
    assert said_of(file.stored, "whole")[:2] == ("the column is empty", f"{path}: whole")
