"""Reading takes the memory of the pixels and little more: nothing is held twice."""

import io
import pickle
import sys
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from pixkit.data import levels, static_mnist, stored
from pixkit.data import parquet as parquet_files
from pixkit.data.arrays import Arrays
from pixkit.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (700, 3, 32, 32), dtype=np.uint8)
FLAT = {"layout": "NCHW", "shape": [3, 32, 32]}


def joined(folder):
    for number, part in enumerate(np.array_split(X.reshape(700, -1), 4)):
        np.savez(folder / f"batch_{number}.npz", data=part)
    return {"name": "arrays", "train": "batch_*.npz:data", "test": None, **FLAT}


def numpy_file(folder, array=X):
    np.save(folder / "a.npy", array)
    return {"name": "arrays", "train": "a.npy", "test": None}


def packed(folder):
    np.savez_compressed(folder / "a.npz", train=X.transpose(0, 2, 3, 1), test=X[:1].transpose(0, 2, 3, 1))
    return {"name": "arrays", "path": "a.npz"}


def floats(folder):
    return {**numpy_file(folder, X.astype(np.float32) / 255), "value_range": [0, 1]}


def tensors(folder):
    save_file({"train": X.astype(np.int32)}, folder / "a.safetensors")
    return {"name": "arrays", "train": "a.safetensors", "test": None}


def hdf5(folder):
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("train", data=X.astype(np.int64), chunks=(10, 3, 32, 32), compression="lzf")
    return {"name": "arrays", "train": "a.h5", "test": None}


def pictures(folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        for number in range(60):
            held = io.BytesIO()
            Image.fromarray(X[10 * number : 10 * number + 10].reshape(96, 320)).save(held, "PNG", compress_level=0)
            file.writestr(f"{number}.png", held.getvalue())
    return {"name": "images", "path": "a.zip", "channels": 1}


def one_pickle(folder):
    """CIFAR-100's version for Python, of which one file has nearly all images."""
    for name, count in (("train", 600), ("test", 100)):
        held = {b"data": X[:count].reshape(count, -1), b"fine_labels": [number % 100 for number in range(count)]}
        (folder / name).write_bytes(pickle.dumps(held, protocol=4))
    return {"name": "cifar100", "root": "."}


def text(folder):
    for split, rows in (("train", 500), ("valid", 100), ("test", 100)):
        (folder / f"binarized_mnist_{split}.amat").write_text(("0 1 " * 392 + "\n") * rows)
    return {"name": "static_mnist", "root": "."}


SETS = {
    "npy": numpy_file,
    "int64": lambda folder: numpy_file(folder, X.astype(np.int64)),
    "columns first": lambda folder: numpy_file(folder, np.asfortranarray(X)),
    "threshold": lambda folder: {**numpy_file(folder), "binarise": "threshold"},
    "static": lambda folder: {**numpy_file(folder), "binarise": "static"},
    "dynamic": lambda folder: {**numpy_file(folder), "binarise": "dynamic"},
    "quantised": lambda folder: {**numpy_file(folder), "levels": 32},
    **{each.__name__: each for each in (joined, packed, floats, tensors, hdf5, pictures, one_pickle, text)},
}


@pytest.mark.parametrize("name", SETS)
def test_at_its_peak_reading_takes_at_most_a_third_more_than_the_pixels(make, tmp_path, monkeypatch, name):
    """Of a large set: here all is small, what is read at a time too."""
    for module in (stored, levels, static_mnist):
        monkeypatch.setattr(module, "AT_ONCE", 2**14)
    keys = SETS[name](tmp_path)
    make(**keys)  # modules, tables and the like
    tracemalloc.start()
    try:
        data = make(**keys)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    held = sum({part.pixels.data_ptr(): part.pixels.nbytes for part in map(data.part, data.SPLITS)}.values())
    assert 500 * 784 <= held < peak < 1.3 * held + 2**18, f"{peak / held:.2f} times the pixels"


@pytest.mark.parametrize("change", [{"binarise": "threshold"}, {"binarise": "static"}, {"levels": 7}])
@pytest.mark.parametrize("deep", [False, True])
def test_levels_that_are_written_over_the_sources_are_those_beside_them(make, tmp_path, monkeypatch, change, deep):
    """Held-out images lie among the training images, and each split takes the noise of its own."""
    array = X[:90].astype(np.uint16) * 117 if deep else X[:90]
    np.save(tmp_path / "a.npy", array)
    keys = {"name": "arrays", "train": "a.npy", "test": None, "validation": 0.2, "limit_train": 50, **change}
    keys |= {"source_levels": 30000 if deep else 256}
    over = make(**keys)
    plain = Arrays.load
    monkeypatch.setattr(Arrays, "load", lambda *given: replace(plain(*given), fresh=False))
    beside = make(**keys)
    assert over.hashes() == beside.hashes() and over.spec == beside.spec and over.values == beside.values
    places = {over.part(split).pixels.data_ptr() for split in over.SPLITS}
    assert len(places) == 1 and len({beside.part(split).pixels.data_ptr() for split in beside.SPLITS}) == 3
    for split in over.SPLITS:
        rows = torch.arange(over.size(split))
        assert torch.equal(over.batch(split, rows).x, beside.batch(split, rows).x) and len(rows) > 8
        assert int(over.batch(split, rows).x.max()) == over.spec.levels - 1


def test_images_that_were_held_out_are_not_copied(make, tmp_path):
    np.save(tmp_path / "a.npy", X[:40])
    images = make("arrays", train="a.npy", test=None).source.load()
    assert images.train.pixels.data_ptr() == images.test.pixels.data_ptr() and len(images.train.pixels) == 40
    rows = torch.cat([images.train.rows, images.test.rows])
    assert rows.sort().values.tolist() == list(range(40)) and len(images.test) == 4
    assert np.array_equal(images.test.levels().numpy(), X[images.test.rows])


def test_of_a_parquet_file_some_rows_are_in_memory_at_a_time(tmp_path, monkeypatch):
    """Though all are of one row group; and a program's own pool for other work with pyarrow stays."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="parquet is an extra: pyarrow")
    pa = sys.modules["pyarrow"]
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(X)
    parquet.write_table(pa.table({"train": column}), tmp_path / "a.parquet")
    for module, name in ((stored, "AT_ONCE"), (parquet_files, "CHUNK")):
        monkeypatch.setattr(module, name, 2**14)
    pools = [pa.default_memory_pool(), pa.system_memory_pool()]
    before = [pool.bytes_allocated() for pool in pools]
    blocks = parquet_files.ParquetFile(tmp_path / "a.parquet", 2**30).stored("train").blocks()
    taken = [sum(pool.bytes_allocated() for pool in pools) - sum(before) for _ in blocks]
    assert len(taken) == 700 and 0 < max(taken) < X.nbytes / 1.5, "a page, of about 1 MB, and not the group"
    assert pa.default_memory_pool().backend_name == pools[0].backend_name


def test_strange_classes_are_refused_before_a_value_is_read(make, tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", train=X[:8], test=X[:2], y=np.arange(8) % 3, z=np.array([1, 7]))
    monkeypatch.setattr("pixkit.data.referred.Files.pixels", None)
    keys = {"path": "a.npz", "train_labels": "y", "test_labels": "z"}
    with pytest.raises(DataError, match="no training image has") as caught:
        make("arrays", **keys)
    assert caught.value.found == "7"
    with pytest.raises(DataError, match="out of range"):
        make("arrays", **keys, classes=5)
    np.savez(tmp_path / "a.npz", train=X[:8], test=X[:2], y=np.arange(7) % 3, z=np.array([1, 2]))
    with pytest.raises(DataError, match="labels do not match the images"):
        make("arrays", **keys)


def test_labels_that_are_names_or_of_more_classes_say_what_to_do(make, tmp_path):
    names = np.array(["ant", "bee"])[np.arange(8) % 2]
    np.savez(tmp_path / "a.npz", train=X[:8], test=X[:8], names=names, two=np.eye(2)[np.arange(8) % 2], more=np.eye(8))
    with pytest.raises(DataError, match="not an array of numbers") as caught:
        make("arrays", path="a.npz", train_labels="names", test_labels="names")
    assert "numpy.unique(labels, return_inverse=True)" in caught.value.hint and "class_names" in caught.value.hint
    for one, other in (("two", "more"), ("more", "two")):
        with pytest.raises(DataError, match="one-hot labels with different numbers of classes") as caught:
            make("arrays", path="a.npz", train_labels=one, test_labels=other)
        widths = {"two": 2, "more": 8}
        assert caught.value.found == f"train_labels: {widths[one]}, test_labels: {widths[other]}"
    assert make("arrays", path="a.npz", train_labels="two", test_labels="two").classes == 2
