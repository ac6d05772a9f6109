"""HDF5 arrays of which parts were never written, and those of MATLAB, whose axes stand in the reverse order."""

import numpy as np
import pytest
import torch

from pixkit.data.tensors import Hdf5File
from pixkit.errors import DataError

h5py = pytest.importorskip("h5py", reason="HDF5 is an extra: h5py")

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)


def everything(data, split="train"):
    return data.batch(split, torch.arange(data.size(split)))


@pytest.mark.quick
def test_an_array_whose_values_were_not_all_written_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    chunked = {"shape": (10, 4, 5), "chunks": (3, 4, 2), "dtype": "u1", "fillvalue": 7}  # 4 x 1 x 3 chunks
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("begun", **chunked)[:5] = 1
        file.create_dataset("whole", **chunked, compression="gzip")[:] = 7
        file.create_dataset("grown", **chunked, maxshape=(None, 4, 5))[:5] = 1
        file["grown"].resize(5, axis=0)
        file.create_dataset("nothing", **chunked)
        file.create_dataset("plain", (10, 4, 5), "u1")
        file.create_dataset("number", (), "u1")
        file["fine"], file["one"], file["empty"] = X, 3, X[:0]
    for name, found, expected, hint in (
        (
            "begun",
            "6 of 12 chunks written; elsewhere 7, the fill value,",
            "all of 12 chunks",
            "['begun'].resize(N, axis=0)",
        ),
        ("nothing", "none of 12 chunks written; elsewhere 7, the fill value,", "all of 12 chunks", "write the images"),
        ("plain", "none of the values written; elsewhere 0, the fill value,", "all of the values", "write the images"),
        ("number", "none of the values written; elsewhere 0, the fill value,", "all of the values", "write the images"),
    ):
        with pytest.raises(DataError, match="were never written") as caught:
            Hdf5File(path, 1000).stored(name)
        assert caught.value.where == f"{path}: {name}" and caught.value.exit_code == 3
        assert caught.value.found.startswith(found) and caught.value.expected == expected
        assert hint in caught.value.hint
    read = Hdf5File(path, 1000).read
    assert (read("whole") == 7).all() and (read("grown") == 1).all() and read("one") == 3
    assert np.array_equal(read("fine"), X) and read("empty").shape == (0, 3, 4, 5)


def of_matlab(path, **arrays):
    """As MATLAB's save(..., '-v7.3') stores what has these axes there."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            logical = array.dtype == bool
            file.create_dataset(name, data=array.T.astype("u1") if logical else array.T, chunks=array.T.shape)
            file[name].attrs["MATLAB_class"] = np.bytes_("logical" if logical else str(array.dtype))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def test_pictures_of_matlab_stand_upright(make, tmp_path):
    """In MATLAB colours are height x width x channels x number, and greys height x width x number."""
    labels = np.arange(6) % 2
    of_matlab(
        tmp_path / "x.mat",
        x=X.transpose(2, 3, 1, 0),
        flat=X.transpose(0, 1, 3, 2).reshape(6, -1).T,
        bits=X[:, 0].transpose(1, 2, 0) > 99,
        **{"row": labels[None], "column": labels[:, None], "ones": np.eye(2)[labels]},
    )
    keys = {"path": "x.mat", "layout": "NCWH", "test": "flat", "validation_set": "x", "shape": [3, 5, 4]}
    named = {"train_labels": "row", "test_labels": "column", "validation_labels": "ones"}
    data = make("arrays", train="x", **keys, **named)
    for split in data.SPLITS:
        found = everything(data, split)
        assert np.array_equal(found.x, X) and found.labels.tolist() == labels.tolist()
    keys = {"path": "x.mat", "test": None, "validation": 0.0, "test_fraction": 0.0}
    data = make("arrays", train="bits", layout="NWH", **keys)
    assert np.array_equal(everything(data).x, X[:, :1] > 99) and data.spec.levels == 2
    for name, found, hint, config in (
        ("x", "(6, 3, 5, 4), in MATLAB 4x5x3x6", "data.layout=NCWH if it is height x width x channels x number", {}),
        ("bits", "(6, 5, 4), in MATLAB 4x5x6", "data.layout=NWH if it is height x width x number in MATLAB, NHW", {}),
        ("flat", "(6, 3, 5, 4), in MATLAB 4x5x3x6", "data.layout=NCWH if", {"shape": [3, 5, 4]}),
    ):
        with pytest.raises(DataError, match="MATLAB stores an array's axes in the reverse") as caught:
            make("arrays", train=name, **config, **keys)
        assert caught.value.where == f"{tmp_path / 'x.mat'}: {name}" and caught.value.exit_code == 3
        assert caught.value.found == found and caught.value.hint.startswith(hint)
    with pytest.raises(DataError, match="does not fit the layout"):
        make("arrays", train="row", **keys)
