"""Arrays in the files that people have: written by each format's own library, referred to by one rule."""

import contextlib
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from pixkit.data import parquet as parquet_file
from pixkit.data import stored
from pixkit.data.npy import ArrayFile
from pixkit.data.opening import open_arrays
from pixkit.data.parquet import ParquetFile
from pixkit.data.reference import references
from pixkit.data.tensors import Hdf5File, TorchFile
from pixkit.data.unread import Unread
from pixkit.data.values import labels_of, levels_of
from pixkit.errors import DataError
from pixkit.memory import Room
from pixkit.recipe import load_recipe

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 3, 6, 5), dtype=np.uint8)
Y = np.arange(20) % 4
WHOLE = {"validation": 0.0, "test_fraction": 0.0}


def everything(data, split="train"):
    return data.batch(split, torch.arange(data.size(split))).x.numpy()


def labels(data, split="train"):
    return data.batch(split, torch.arange(data.size(split))).labels.tolist()


def written_npz(path):
    np.savez(path.with_suffix(".npz"), x=X, y=Y)
    return path.with_suffix(".npz")


def written_safetensors(path):
    save_file({"x": X, "y": Y}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def written_torch(path):
    torch.save({"x": torch.from_numpy(X), "y": torch.from_numpy(Y), "epoch": 3}, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def written_hdf5(path):
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("x", data=X, compression="gzip", chunks=(3, 3, 6, 5))
        file["y"] = Y
        file["group/inner"] = X[:2]
    return path.with_suffix(".h5")


def written_parquet(path):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"x": pa.array(X.tolist(), pa.list_(pa.list_(pa.list_(pa.uint8())))), "y": Y})
    parquet.write_table(table, path.with_suffix(".parquet"), row_group_size=7)
    return path.with_suffix(".parquet")


WRITERS = [written_npz, written_safetensors, written_torch, written_hdf5, written_parquet]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_format_by_every_way_to_refer(make, tmp_path, write):
    path = write(tmp_path / "set")
    ways = (
        {"path": path.name, "train": "x", "train_labels": "y", "test": None},
        {"train": f"{path.name}:x", "train_labels": f"{path}:y", "test": None},
        {"train": f"{path.name}:x", "train_labels": "y", "test": None},
        {"path": path.name, "train": ["x"], "train_labels": ["y"], "test": None},
    )
    for way in ways:
        data = make("arrays", **way, **WHOLE)
        assert np.array_equal(everything(data), X) and labels(data) == Y.tolist() and data.classes == 4
    both = make(
        "arrays", path=path.name, train=["x", f"{path.name}:x"], train_labels=["y", "y"], test="x", test_labels="y"
    )
    assert both.size("train") + both.size("validation") == 40 and np.array_equal(everything(both, "test"), X)
    with pytest.raises(DataError, match="no such array") as caught:
        make("arrays", path=path.name, train="z", test=None)
    assert "x, y" in caught.value.expected.replace("group/inner, ", "") and caught.value.exit_code == 3
    with pytest.raises(DataError, match="too large") as caught:
        make("arrays", path=path.name, train="x", test=None, max_bytes=100)
    assert caught.value.hint == "data.max_bytes raises the limit"


def test_references_are_taken_apart(tmp_path):
    for text, parts in {
        "train": (None, "train"),
        "group/images": (None, "group/images"),
        "a.npz": ("a.npz", None),
        "a.npz:x": ("a.npz", "x"),
        "folder:1/a.H5:group/x:y": ("folder:1/a.H5", "group/x:y"),
        "a.npzx": (None, "a.npzx"),
        "my.npy.npz:x": ("my.npy.npz", "x"),
    }.items():
        (found,) = references(text, lambda path: tmp_path / path, "train")
        assert (found.file and str(found.file.relative_to(tmp_path)), found.name) == parts


def test_a_pattern_joins_files_in_natural_order(make, tmp_path):
    """ImageNet32 as it is published: flat arrays, labels from 1, batches 1 to 10."""
    flat = RNG.integers(0, 256, (22, 3 * 4 * 5), dtype=np.uint8)
    for number in range(1, 12):
        part = slice(2 * number - 2, 2 * number)
        np.savez(tmp_path / f"train_data_batch_{number}.npz", data=flat[part], labels=[number, 1 + number % 3], mean=0)
    np.savez(tmp_path / "val_data.npz", data=flat[:3], labels=[1, 2, 3])
    keys = {"layout": "NCHW", "shape": [3, 4, 5], "validation": 0.0}
    data = make(
        "arrays",
        train="train_data_batch_*.npz:data",
        train_labels="train_data_batch_*.npz:labels",
        test="val_data.npz:data",
        test_labels="val_data.npz:labels",
        **keys,
    )
    assert np.array_equal(everything(data), flat.reshape(22, 3, 4, 5))
    assert data.class_names[:3] == ("1", "2", "3") and data.classes == 11 and labels(data, "test") == [0, 1, 2]
    assert np.array_equal(everything(data, "test"), flat[:3].reshape(3, 3, 4, 5))
    with pytest.raises(DataError, match="no file matches") as caught:
        make("arrays", train="nothing_*.npz:data", **keys)
    assert caught.value.where == "data.train"
    with pytest.raises(DataError, match="does not fit the layout") as caught:
        make("arrays", train="val_data.npz:data", test=None)
    assert "data.shape" in caught.value.hint
    with pytest.raises(DataError, match="the number of values"):
        make("arrays", train="val_data.npz:data", test=None, layout="NCHW", shape=[3, 4, 4])


def test_flat_arrays_of_either_layout(make, tmp_path):
    np.save(tmp_path / "a.npy", X.transpose(0, 2, 3, 1).reshape(20, -1))
    assert np.array_equal(everything(make("arrays", train="a.npy", shape=[6, 5, 3], **WHOLE)), X)
    np.save(tmp_path / "a.npy", X[:, 0].reshape(20, -1))
    assert np.array_equal(everything(make("arrays", train="a.npy", shape=[6, 5], **WHOLE))[:, 0], X[:, 0])


def test_validation_images_of_their_own(make, tmp_path):
    """MedMNIST's names, labels [N, 1]."""
    np.savez(
        tmp_path / "medmnist.npz",
        **{f"{split}_images": X[rows].transpose(0, 2, 3, 1) for split, rows in MEDICAL.items()},
        **{f"{split}_labels": Y[rows][:, None] for split, rows in MEDICAL.items()},
    )
    data = make(
        "arrays",
        path="medmnist.npz",
        **{"train": "train_images", "validation_set": "val_images", "test": "test_images"},
        **{"train_labels": "train_labels", "validation_labels": "val_labels", "test_labels": "test_labels"},
    )
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert (
            np.array_equal(everything(data, split), X[MEDICAL[name]])
            and labels(data, split) == Y[MEDICAL[name]].tolist()
        )
    assert set(data.hashes()) == {"train", "test", "validation", "split"}
    np.savez(tmp_path / "volumes.npz", train_images=np.zeros((5, 28, 28, 28), np.uint8))
    with pytest.raises(DataError, match="no axis of the array has a possible number of channels") as caught:
        make("arrays", path="volumes.npz", train="train_images", test=None)
    assert "a slice of each" in caught.value.hint
    np.savez(tmp_path / "chest.npz", train_images=X, train_labels=np.eye(20, 14, dtype=np.uint8) + np.eye(20, 14, 1))
    with pytest.raises(DataError, match="several labels per image") as caught:
        make("arrays", path="chest.npz", train="train_images", train_labels="train_labels", test=None)
    assert "to train without them" in caught.value.hint
    with pytest.raises(DataError, match="labels are given for train only, not for validation"):
        make(
            "arrays",
            path="medmnist.npz",
            train="train_images",
            validation_set="val_images",
            test=None,
            train_labels="train_labels",
        )


MEDICAL = {"train": slice(0, 12), "val": slice(12, 16), "test": slice(16, 20)}


def test_labels_in_rows_of_ones_and_zeros(make, tmp_path):
    for kind in (np.float32, np.int64, bool):
        np.savez(tmp_path / "a.npz", train=X, y=np.eye(4, dtype=kind)[Y])
        data = make("arrays", path="a.npz", test=None, train_labels="y", **WHOLE)
        assert labels(data) == Y.tolist() and data.classes == 4


def test_booleans_have_two_levels(make, tmp_path):
    np.save(tmp_path / "a.npy", X > 99)
    data = make("arrays", train="a.npy", **WHOLE)
    assert data.spec.levels == 2 and np.array_equal(everything(data), X > 99)
    assert make("arrays", train="a.npy", source_levels=256, **WHOLE).spec.levels == 256  # as runs of 0.1 say


def test_booleans_are_no_images_of_256_levels(make, tmp_path):
    """Beside bytes true would be level 1, all but black."""
    np.savez(tmp_path / "a.npz", train=X, test=X > 99)
    with pytest.raises(DataError, match="booleans beside") as caught:
        make("arrays", path="a.npz")
    assert caught.value.where == f"{tmp_path / 'a.npz'}: test" and "0..255" in caught.value.expected
    assert "data.source_levels=256" in caught.value.hint
    data = make("arrays", path="a.npz", source_levels=256, validation=0.0)
    assert np.array_equal(everything(data, "test"), X > 99)


def test_labels_that_nothing_reads_are_refused_or_said(make, tmp_path):
    np.savez(tmp_path / "a.npz", train=X, y=Y)
    labelled = {"path": "a.npz", "test": None, "train_labels": "y"}
    note = "data.test_labels is not read"
    assert note in " ".join(make("arrays", test_labels="y", **labelled).notes)
    assert note not in " ".join(make("arrays", **labelled).notes)
    with pytest.raises(ValidationError, match="validation_set, which is not given"):
        make("arrays", validation_labels="y", **labelled)


def test_a_name_in_a_file_whose_array_has_none_is_refused(make, tmp_path):
    np.save(tmp_path / "a.npy", X)
    torch.save(torch.from_numpy(X), tmp_path / "a.pt")
    for file in ("a.npy", "a.pt"):
        with pytest.raises(DataError, match="one array, without a name") as caught:
            make("arrays", train=f"{file}:x")
        assert caught.value.where == "data.train" and caught.value.found == f"x of {tmp_path / file}"
        assert caught.value.expected == file


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (-128, 127), (0, 255)])
def test_floats_over_a_range(make, tmp_path, kind, ends):
    low, high = ends
    np.save(tmp_path / "a.npy", (X / 255 * (high - low) + low).astype(kind))
    data = make("arrays", train="a.npy", value_range=[low, high], **WHOLE)
    assert data.spec.levels == 256 and np.array_equal(everything(data), X)


def test_whole_numbers_as_floats_and_signed_bytes(make, tmp_path):
    np.save(tmp_path / "a.npy", X.astype(np.float32))
    assert np.array_equal(everything(make("arrays", train="a.npy", **WHOLE)), X)
    np.save(tmp_path / "a.npy", (X.astype(int) - 128).astype(np.int8))
    assert np.array_equal(everything(make("arrays", train="a.npy", value_range=[-128, 127], **WHOLE)), X)


@pytest.mark.parametrize(
    ("array", "config", "message"),
    [
        (X / 255, {}, "floats that are not levels"),
        (X / 255, {"value_range": [0, 1], "source_levels": 100}, "between two levels"),
        (X / 255, {"value_range": [-1, 1]}, "between two levels"),
        (X / 255, {"value_range": [0, 0.5]}, "out of range"),
        ((X / 255).astype(np.float16), {"value_range": [0, 1], "source_levels": 65536}, "between two levels"),
        (np.where(X[0, 0, 0, 0] == X, np.nan, X), {}, "not numbers"),
        (X, {"value_range": [0, 254]}, "between two levels"),
    ],
)
def test_what_rounding_would_lose_is_refused(make, tmp_path, array, config, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message) as caught:
        make("arrays", train="a.npy", **config)
    assert caught.value.where == str(tmp_path / "a.npy") and caught.value.exit_code == 3
    if not config and message != "not numbers":
        assert "data.value_range" in caught.value.hint


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int64, torch.float16, torch.float32, torch.float64])
def test_tensors_of_every_type(make, tmp_path, kind):
    path = tmp_path / "a.safetensors"
    save_tensors({"train": torch.from_numpy(X).to(kind)}, path)
    size = X.size * kind.itemsize
    assert np.array_equal(everything(make("arrays", train="a.safetensors", test=None, max_bytes=size, **WHOLE)), X)
    with pytest.raises(DataError, match="too large an array"):
        make("arrays", train="a.safetensors", test=None, max_bytes=size - 1)


def test_what_should_be_in_a_missing_file_is_said(make):
    for config, said in (
        ({}, "images of levels 0..255"),
        ({"layout": "NWH", "source_levels": 9}, "images NWH of levels 0..8"),
    ):
        with pytest.raises(DataError, match="there is no such file") as caught:
            make("arrays", path="a.npz", train_labels="y", **config)
        assert caught.value.expected == f"arrays train, test, y; {said}"


def test_tensors_of_half_precision(make, tmp_path):
    """bfloat16 has 8 bits of significand: 0..255 fit."""
    save_tensors({"train": torch.from_numpy(X).bfloat16()}, tmp_path / "a.safetensors")
    assert np.array_equal(everything(make("arrays", train="a.safetensors", test=None, **WHOLE)), X)
    torch.save(torch.from_numpy(X).half(), tmp_path / "a.pt")
    assert np.array_equal(everything(make("arrays", train="a.pt", **WHOLE)), X)
    torch.save((torch.from_numpy(X), torch.from_numpy(Y)), tmp_path / "a.pt")  # as torchvision saved MNIST
    data = make("arrays", train="a.pt:0", train_labels="a.pt:1", test=None, **WHOLE)
    assert np.array_equal(everything(data), X) and labels(data) == Y.tolist()


class Harmless:
    """An object that a pickle would call something for."""

    def __reduce__(self):
        return print, ("called",)


def test_objects_in_torch_files_are_refused_and_never_called(make, tmp_path, capsys):
    torch.save({"train": Harmless()}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="nothing but tensors") as caught:
        make("arrays", train="a.pt")
    assert "numpy.savez" in caught.value.hint and capsys.readouterr().out == ""
    torch.save(3, tmp_path / "a.pt")
    with pytest.raises(DataError, match="nothing but tensors"):
        make("arrays", train="a.pt")
    torch.save(torch.from_numpy(X), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(DataError, match="not a file of arrays") as caught:
        make("arrays", train="a.pt")
    assert caught.value.found == "a file of torch before 1.6" and "weights_only=True" in caught.value.hint


def test_a_file_that_is_something_else_is_called_by_what_it_is(make, tmp_path):
    picture = io.BytesIO()
    Image.new("L", (2, 2)).save(picture, "PNG")
    for content, name in {
        picture.getvalue(): "a PNG picture",
        b"": "an empty file",
        pickle.dumps([1]): "a pickle",
        b"<!DOCTYPE html><html>": "a web page, perhaps that of a download that failed",
        b"version https://git-lfs.github.com/spec/v1\n": "a pointer of Git LFS: `git lfs pull` fetches the file itself",
        b"MATLAB 5.0 MAT-file, Platform": "a MATLAB file",
        b"0 1 0 1\n": "text",
        b"\x1f\x8b\x08": "a gzip archive",
        b"\0\1\2\3": "bytes 00 01 02 03",
    }.items():
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match="not a file of arrays") as caught:
            make("arrays", path="a.npz")
        assert caught.value.found == name and caught.value.exit_code == 3
        words = {"a pickle": "numpy.savez", "a MATLAB file": "plugins/README.md", "text": "static_mnist"}
        assert (caught.value.hint is None) == (name not in words)
        assert words.get(name, "") in (caught.value.hint or "")


def test_a_name_does_not_decide_what_a_file_is(make, tmp_path):
    written_safetensors(tmp_path / "set").rename(tmp_path / "set.npz")
    assert np.array_equal(everything(make("arrays", path="set.npz", train="x", test=None, **WHOLE)), X)


def test_hdf5_groups_booleans_and_what_is_no_array(make, tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/er/x"] = X > 99
        file["text"] = "words"
        file["none"] = h5py.Empty("u1")
        file["one"] = np.uint8(3)
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("elsewhere", (20, 3, 6, 5), "u1", external=[(str(tmp_path / "raw"), 0, X.size)])
        layout = h5py.VirtualLayout((20, 3, 6, 5), "u1")
        layout[:] = h5py.VirtualSource("other.h5", "x", (20, 3, 6, 5))
        file.create_virtual_dataset("virtual", layout)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = X
    data = make("arrays", train="a.h5:deep/er/x", test=None, **WHOLE)
    assert data.spec.levels == 2 and np.array_equal(everything(data), X > 99)
    for name, message in {
        "text": "not an array of numbers",
        "none": "no values",
        "one": "does not fit the layout",
        "deep": "no such array",
        "elsewhere": "are in other files",
        "link": "are in other files",
        "virtual": "are in other files",
    }.items():
        with pytest.raises(DataError, match=message):
            make("arrays", train=f"a.h5:{name}", test=None)
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:200])
    with pytest.raises(DataError, match="the file is damaged"):
        make("arrays", train="a.h5:deep/er/x", test=None)


def test_parquet_of_pictures_as_the_hub_publishes_them(make, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def files(images):
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            yield {"bytes": buffer.getvalue(), "path": None}

    flat = np.full((20, 64, 64), 7, np.uint8)
    for array, bits in ((flat, 8), (flat * np.uint16(300), 16)):
        parquet.write_table(pa.table({"image": list(files(array))}), tmp_path / "flat.parquet")
        keys = {"train": "flat.parquet:image", "test": None, "source_levels": 2**bits}
        assert make("arrays", **keys, max_bytes=array.nbytes).spec.levels == 2**bits
        with pytest.raises(DataError, match="too large an array"):
            make("arrays", **keys, max_bytes=array.nbytes - 1)

    for array, spec in (
        (X.transpose(0, 2, 3, 1), (3, 6, 5)),
        (X[:, 0], (1, 6, 5)),
        (X[:, 0].astype(np.uint16) * 256, (1, 6, 5)),
    ):
        table = pa.table({"image": list(files(array)), "label": Y})
        parquet.write_table(table, tmp_path / "train-00000-of-00001.parquet")
        keys = {"train": "train-*.parquet:image", "train_labels": "train-*.parquet:label", "test": None}
        data = make("arrays", **keys, source_levels=65536 if array.dtype == np.uint16 else 256, **WHOLE)
        assert data.spec.shape == spec
        assert np.array_equal(everything(data), array.transpose(0, 3, 1, 2) if array.ndim == 4 else array[:, None])
        assert labels(data) == Y.tolist()


def test_parquet_columns_that_are_no_images(make, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    picture = [("bytes", pa.binary()), ("path", pa.string())]
    columns = {
        "ragged": (pa.array([[3], [1, 2]]), "different lengths"),
        "nulls": (pa.array([[1], None]), "values are missing"),
        "inner": (pa.array([[1], [None]]), "values are missing"),
        "text": (pa.array(["a", "b"]), "not a column of numbers"),
        "path": (pa.array([{"bytes": None, "path": "a.png"}] * 2, pa.struct(picture)), "not in the file"),
    }
    parquet.write_table(pa.table({name: column for name, (column, _) in columns.items()}), tmp_path / "a.parquet")
    for name, (_, message) in columns.items():
        with pytest.raises(DataError, match=message):
            make("arrays", train=f"a.parquet:{name}", test=None, shape=[1, 1])
    fixed = pa.FixedSizeListArray.from_arrays(X.ravel(), 90)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(X))
    parquet.write_table(pa.table({"x": tensors, "fixed": fixed}), tmp_path / "a.parquet")
    assert np.array_equal(everything(make("arrays", train="a.parquet:x", test=None, **WHOLE)), X)
    assert np.array_equal(everything(make("arrays", train="a.parquet:fixed", test=None, shape=[3, 6, 5], **WHOLE)), X)


def large_npy(path, array):
    np.save(path.with_suffix(".npy"), array)
    return path.with_suffix(".npy")


def large_fortran_npy(path, array):
    np.save(path.with_suffix(".npy"), np.asfortranarray(array))
    return path.with_suffix(".npy")


def large_npz(path, array):
    np.savez(path.with_suffix(".npz"), labels=Y, train=array)
    return path.with_suffix(".npz")


def large_safetensors(path, array):
    save_file({"labels": Y, "train": np.ascontiguousarray(array)}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def large_torch(path, array):
    torch.save({"labels": torch.from_numpy(Y), "train": torch.from_numpy(array)}, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def large_hdf5(path, array):
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["labels"], file["train"] = Y, array
    return path.with_suffix(".h5")


def large_idx(path, array):
    head = struct.pack(">HBB4I", 0, 8, 4, *array.shape)
    path.with_suffix(".idx").write_bytes(head + array.tobytes())
    return path.with_suffix(".idx").rename(path.with_name("set-ubyte"))


LARGE = [large_npy, large_fortran_npy, large_npz, large_safetensors, large_torch, large_hdf5, large_idx]


def mapped_from(address):
    """The file of which memory at an address is a part, as the system tells; None where it is the process's own."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        ends, *_, name = line.split(maxsplit=5)
        first, last = (int(end, 16) for end in ends.split("-"))
        if first <= address < last:
            return name
    return None


@pytest.mark.parametrize("write", LARGE, ids=lambda write: write.__name__)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_large_file_stays_where_it_is_and_is_not_read_whole(make, tmp_path, monkeypatch, layout, write):
    held = X if layout == "NCHW" else np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    keys = {"train": write(tmp_path / "set", held).name, "test": None}
    plain = make("arrays", **keys)
    monkeypatch.setattr(stored, "available", lambda device: Room("memory", 1000, 2 * X.nbytes - 2))
    monkeypatch.setattr(stored, "_exactly", None)
    data = make("arrays", **keys)
    assert data.size("train") == 16 and data.size("test") == 2 and data.hashes() == plain.hashes()
    for split in data.SPLITS:
        assert np.array_equal(everything(data, split), everything(plain, split))
    pixels = [data.part(split).pixels for split in data.SPLITS]
    if write not in (large_fortran_npy, large_torch):
        assert all(one is pixels[0] for one in pixels) and isinstance(pixels[0], Unread)
        return
    shared = {one.untyped_storage().data_ptr() for one in pixels}
    assert len(shared) == 1, "held-out images are the file's, too"
    if Path("/proc/self/maps").exists():
        assert Path(str(mapped_from(shared.pop()))).name == keys["train"], write.__name__


def test_a_mapped_file_is_not_written_over(make, tmp_path, monkeypatch):
    path = large_npy(tmp_path / "set", X)
    before = path.read_bytes()
    monkeypatch.setattr(stored, "available", lambda device: Room("memory", 1000, 2 * X.nbytes - 2))
    data = make("arrays", train=path.name, test=None, binarise="threshold")
    assert set(np.unique(everything(data))) == {0, 1} and path.read_bytes() == before
    assert int(data.source.load().train.pixels.max()) > 1


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_arrays_are_read_some_rows_at_a_time(make, tmp_path, monkeypatch, write):
    """Blocks of three rows, of twenty: none is left out, and the last is as long as what is left."""
    path = write(tmp_path / "set")
    monkeypatch.setattr(stored, "AT_ONCE", 3 * X[0].nbytes)
    keys = {"path": path.name, "train": ["x", "x"], "train_labels": ["y", "y"], "test": None}
    data = make("arrays", **keys, **WHOLE)
    assert np.array_equal(everything(data), np.concatenate([X, X])) and labels(data) == [*Y, *Y]
    with pytest.raises(DataError, match="out of range") as caught:
        make("arrays", **keys, source_levels=100, **WHOLE)
    assert caught.value.found == f"{X.min()}..{X.max()}"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [[3, 6, 5], None])
def test_columns_first_and_flat_arrays_are_read_some_at_a_time(make, tmp_path, monkeypatch, order, shape):
    monkeypatch.setattr(stored, "AT_ONCE", 64)
    array = X.reshape(20, -1) if shape else X
    np.savez(tmp_path / "a.npz", train=np.asarray(array.astype(np.float32) / 255, order=order))
    data = make("arrays", path="a.npz", layout="NCHW", shape=shape, test=None, value_range=[0, 1], **WHOLE)
    assert np.array_equal(everything(data), X)


def test_an_array_is_mapped_that_is_larger_than_half_of_the_memory(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.asfortranarray(X))
    for memory, mapped in ((2 * X.nbytes, False), (2 * X.nbytes - 1, True)):
        monkeypatch.setattr(stored, "available", lambda device, memory=memory: Room("memory", 1000, memory))
        found = ArrayFile(tmp_path / "a.npy", X.nbytes).read()
        assert isinstance(found, np.memmap) == mapped and np.array_equal(found, X)


@pytest.mark.parametrize(("write", "mapped"), [(np.savez, True), (np.savez_compressed, False)])
def test_of_an_archive_what_is_stored_as_it_is_is_mapped_and_nothing_else(tmp_path, monkeypatch, write, mapped):
    write(tmp_path / "a.npz", x=X)
    monkeypatch.setattr(stored, "available", lambda device: Room("memory", 1000, 2 * X.nbytes - 1))
    found = ArrayFile(tmp_path / "a.npz", X.nbytes).read("x")
    assert isinstance(found, np.memmap) == mapped and np.array_equal(found, X)


def test_references_are_absolute_in_the_lock(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "pixkit: 1\nname: a\n"
        "data: {source: arrays, path: set.h5, train: [x, 'more.npz:x'], test: b.npy, train_labels: y}\n"
        "model: {type: autoregressive, backbone: {type: pixelcnn}}\ntrain: {steps: 1}\n"
    )
    loaded = load_recipe(tmp_path / "recipe.yaml", ["data.test_labels=labels.npz:z"])
    data = loaded.lock()["data"]
    assert data["train"] == ["x", f"{tmp_path}/more.npz:x"] and data["train_labels"] == "y"
    assert data["test"] == f"{tmp_path}/b.npy" and data["test_labels"] == f"{os.getcwd()}/labels.npz:z"


def test_names_mean_nothing_where_the_file_has_one_array_without_one(make, tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", t=X[:3])
    data = make("arrays", train="a.npy", test=["t", "b.npz:t"])
    assert data.size("test") == 2, "held out"
    assert make("arrays", train="a.npy", test="b.npz:t").size("test") == 3
    with pytest.raises(DataError, match=r"a \.npy file has no labels") as caught:
        make("arrays", train="a.npy", train_labels="y")
    assert "data.train_labels=FILE" in caught.value.hint
    np.save(tmp_path / "y.npy", Y)
    assert sorted(labels(make("arrays", train="a.npy", train_labels="y.npy", **WHOLE))) == sorted(Y.tolist())


def test_a_missing_test_array_is_told_with_the_key_that_does_without(make, tmp_path):
    np.savez(tmp_path / "a.npz", train=X, text=np.array(["a"]))
    for config, said in ({"test": "t"}, True), ({"train": "t"}, False), ({"test": "text"}, False):
        with pytest.raises(DataError) as caught:
            make("arrays", path="a.npz", **config)
        assert (caught.value.hint == "data.test=null holds out some of the training images") == said


def test_an_array_of_the_usual_name_is_taken(make, tmp_path):
    np.savez(tmp_path / "a.npz", train=X, validation=X[:4], test=X[:3], other=X)
    data = make("arrays", train="a.npz", validation_set="a.npz", test="a.npz")
    assert [data.size(split) for split in ("train", "validation", "test")] == [20, 4, 3]


def test_a_file_whose_name_reads_as_a_pattern_is_itself(make, tmp_path):
    np.savez(tmp_path / "a[1].npz", train=X)
    np.savez(tmp_path / "a1.npz", train=X[:2])
    assert make("arrays", train="a[1].npz", test=None, **WHOLE).size("train") == 20


@pytest.mark.parametrize(
    ("array", "value_range", "found"),
    [
        ([0, 1.25, 2.5, 1.75, 3], None, "2.5, of float64 in 0.0..3.0"),
        ([0, 0.1, 1], (0, 1), "0.1, of float64 in 0.0..1.0"),
        ([-3, 300, 1], None, "-3..300"),
        ([-3.0, 300.0, 1.0], None, "-3..300"),
        ([0.0, 2.0, 1.0], (0, 1), "0..10, levels over 0..1"),
        ([-0.2, 1.0], (0, 1), "-1..5, levels over 0..1"),
    ],
)
def test_the_worst_value_is_told(array, value_range, found):
    with pytest.raises(DataError) as caught:
        levels_of(np.array(array), 6, value_range, "here")
    assert (caught.value.where, caught.value.found) == ("here", found)


def test_labels_may_be_whole_floats_in_a_row_or_a_column():
    for array in (np.array([2.0, 0.0, 1.0]), np.array([[2.0], [0.0], [1.0]], np.float16), np.eye(3)[[2, 0, 1]]):
        found = labels_of(array, 3, "here")
        assert found.tolist() == [2, 0, 1] and found.dtype == np.int64
    for array in (np.zeros(2), np.zeros((2, 1)), np.zeros((3, 1, 1)), np.zeros(()), np.zeros((2, 3))):
        with pytest.raises(DataError, match="labels do not match the images") as caught:
            labels_of(array, 3, "here")
        assert (caught.value.found, caught.value.expected) == (f"shape {array.shape}", "(3,)")


@pytest.mark.parametrize(
    "rows", [[[1, 0], [1, 1]], [[0, 0], [0, 1]], [[1, 0], [1, 2]], [[1, -1], [0, 1]], [[1, 0.5], [1, 0]]]
)
def test_one_row_of_other_numbers_is_no_row_of_a_label(rows):
    with pytest.raises(DataError, match="several labels per image"):
        labels_of(np.array(rows), 2, "here")


@pytest.mark.parametrize("strange", [torch.zeros(2, 2, 2, dtype=torch.complex64), torch.eye(3).to_sparse()])
def test_tensors_that_are_no_arrays_of_numbers_are_refused(make, tmp_path, strange):
    torch.save({"train": strange, "x": torch.from_numpy(X)}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="not an array of numbers"):
        make("arrays", train="a.pt:train", test=None)
    assert np.array_equal(everything(make("arrays", train="a.pt:x", test=None, **WHOLE)), X)


@pytest.mark.parametrize("write", WRITERS[1:], ids=lambda write: write.__name__)
def test_of_a_file_with_names_none_is_no_array(tmp_path, write):
    with pytest.raises(DataError, match="there is no such array"):
        open_arrays(write(tmp_path / "set"), 2**20, "").read()


@pytest.mark.parametrize(
    ("array", "found"),
    [([0.0, 0.5, np.nan], "0.5, of float64"), ([np.nan, 1.0], "nan, of float64"), ([1.0, np.inf], "inf, of float64")],
)
def test_the_first_label_that_is_no_whole_number_is_told(array, found):
    with pytest.raises(DataError, match="labels must be whole numbers") as caught:
        labels_of(np.array(array), len(array), "here")
    assert (caught.value.where, caught.value.found) == ("here", found)


def test_a_file_without_a_choice_of_array_names_those_there_are(make, tmp_path):
    np.savez(tmp_path / "a.npz", first=X, second=X)
    with pytest.raises(DataError, match="several arrays") as caught:
        make("arrays", train="a.npz", test=None)
    assert "first, second" in caught.value.found and caught.value.expected == "a.npz:NAME"
    np.savez(tmp_path / "b.npz", X)
    np.savez(tmp_path / "c.npz", other=X, train=X)
    for name in ("b.npz", "c.npz"):
        assert np.array_equal(everything(make("arrays", train=name, test=None, **WHOLE)), X)
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(DataError, match="no such array"):
        make("arrays", train="empty.npz:x", test=None)


def test_a_parquet_column_is_bounded_by_what_all_of_its_groups_unpack_to(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"small": [True] * 64, "x": list(range(64))})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=32, compression="none", use_dictionary=False)
    assert len(ParquetFile(tmp_path / "a.parquet", 700).read("x")) == 64
    with pytest.raises(DataError, match="too large an array"):
        ParquetFile(tmp_path / "a.parquet", 500).read("x")


def test_a_parquet_column_without_rows_and_a_row_without_a_picture_are_named(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pool = pa.default_memory_pool()
    parquet.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="the column is empty"):
        ParquetFile(tmp_path / "none.parquet", 100).read("x")
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    rows = [{"bytes": buffer.getvalue()}] * 3 + [{"bytes": None}]
    for column in (rows, [[row] for row in rows]):
        parquet.write_table(pa.table({"x": column}), tmp_path / "lacking.parquet")
        with pytest.raises(DataError, match="not in the file") as caught:
            ParquetFile(tmp_path / "lacking.parquet", 10_000).read("x")
        assert caught.value.where.endswith("x, row 3") and pa.default_memory_pool().backend_name == pool.backend_name


@pytest.mark.parametrize("rows", [1, 2])
def test_as_many_blocks_are_read_as_there_are_rows(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(stored, "AT_ONCE", 1)
    torch.save(torch.from_numpy(X[:rows]), tmp_path / "x.pt")
    np.save(tmp_path / "x.npy", X[:rows])
    files = [TorchFile(tmp_path / "x.pt", 10_000).stored(), ArrayFile(tmp_path / "x.npy", 10_000).stored()]
    with contextlib.suppress(ImportError):
        import h5py

        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["x"] = X[:rows]
        files.append(Hdf5File(tmp_path / "x.h5", 10_000).stored("x"))
    for found in files:
        assert len(list(found.blocks())) == rows and np.array_equal(found.read(), X[:rows])


@pytest.mark.parametrize("order", "CF")  # left in the file, and mapped
@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_each_image_of_a_large_array_is_looked_at(make, tmp_path, monkeypatch, place, order):
    array = np.zeros((5, 2, 2), np.uint8)
    array[place, 1, 1] = 9
    np.save(tmp_path / "a.npy", np.asarray(array, order=order))
    monkeypatch.setattr(stored, "available", lambda device: Room("memory", 1000, 1))
    monkeypatch.setattr("pixkit.data.stored.AT_ONCE", 8)
    assert make("arrays", train="a.npy", test=None, source_levels=10).spec.levels == 10
    with pytest.raises(DataError, match="out of range") as caught:
        make("arrays", train="a.npy", test=None, source_levels=9)
    assert caught.value.found == "0..9" and caught.value.where == str(tmp_path / "a.npy")


def test_columns_of_few_values_and_of_other_orders_and_lengths(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="parquet is an extra: pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    few = pa.array([3, 1, 3, 0]).dictionary_encode()
    turned = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.uint8(), (2, 3), permutation=[1, 0]),
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(24, np.uint8)), 6),
    )
    longer = pa.array([[1, 2], [3, 4], [5, 6, 7], [8, 9, 0]])
    parquet.write_table(pa.table({"few": few, "turned": turned, "longer": longer}), tmp_path / "a.parquet")
    file = ParquetFile(tmp_path / "a.parquet", 1000)
    assert file.read("few").tolist() == [3, 1, 3, 0]
    with pytest.raises(DataError, match="tensors with their axes permuted") as caught:
        file.read("turned")
    assert caught.value.where == f"{tmp_path / 'a.parquet'}: turned"
    monkeypatch.setattr(parquet_file, "rows_at_once", lambda *given: 2)  # lists of one length in each block
    with pytest.raises(DataError, match="different lengths") as caught:
        file.read("longer")
    assert "(2,)" in caught.value.found and "(3,)" in caught.value.found


def test_one_number_of_a_file_of_torch_is_an_array_without_axes(tmp_path):
    torch.save({"a": torch.tensor(3), "b": torch.tensor(0.5, dtype=torch.bfloat16)}, tmp_path / "a.pt")
    file = TorchFile(tmp_path / "a.pt", 100)
    assert (file.read("a").shape, int(file.read("a")), float(file.read("b"))) == ((), 3, 0.5)


def test_a_packed_array_with_more_than_it_announces_is_damaged(make, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=X)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        content = archive.read("x.npy")
    for more, fits in ((b"", True), (b"\0", False)):
        with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content + more)
        if fits:
            assert np.array_equal(everything(make("arrays", path="b.npz", train="x", test=None, **WHOLE)), X)
            continue
        with pytest.raises(DataError, match="not as long as its header says") as caught:
            make("arrays", path="b.npz", train="x", test=None, **WHOLE)
        assert (caught.value.found, caught.value.expected) == ("1801 bytes of values", "1800")


def test_arrays_have_a_name():
    with pytest.raises(DataError, match="no array is named") as caught:
        references([], Path, "train")
    assert (caught.value.where, caught.value.expected) == ("data.train", "NAME, FILE, FILE:NAME or a list of these")
