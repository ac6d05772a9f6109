import errno
import io
import math
import os
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pixkit.data.arrays import Arrays
from pixkit.data.classes import MOST
from pixkit.data.layout import axes_of
from pixkit.data.npy import ArrayFile
from pixkit.errors import DataError
from pixkit.image import ImageSpec

RNG = np.random.default_rng(0)
NHWC = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def save(tmp_path):
    def saving(compressed=False, **arrays):
        (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", **arrays)

    return saving


def everything(data, split="train"):
    return data.batch(split, torch.arange(data.size(split))).x.numpy()


@pytest.mark.parametrize("compressed", [False, True])
def test_named_arrays(make, save, compressed):
    save(compressed, train=NHWC, test=NHWC[:7] // 2, l=np.arange(20) % 4, m=np.zeros(7, np.int16))
    data = make("arrays", path="a.npz", validation=0.0, train_labels="l", test_labels="m")
    assert data.spec == ImageSpec(3, 6, 5, 256) and data.classes == 4 and data.notes == ()
    assert np.array_equal(everything(data), NHWC.transpose(0, 3, 1, 2))
    assert np.array_equal(everything(data, "test"), NHWC[:7].transpose(0, 3, 1, 2) // 2)
    assert data.batch("train", torch.arange(20)).labels.tolist() == [number % 4 for number in range(20)]


def test_layouts_mean_the_same_images(make, tmp_path):
    nchw = NHWC.transpose(0, 3, 1, 2)
    for layout, array in (("NHWC", NHWC), ("NCHW", nchw), ("NCHW", np.asfortranarray(nchw))):
        np.save(tmp_path / "a.npy", array)
        for said in (layout, "auto"):
            data = make("arrays", path="a.npy", layout=said, validation=0.0, test_fraction=0.0)
            assert np.array_equal(everything(data), nchw)
    np.save(tmp_path / "a.npy", NHWC[..., 0])
    data = make("arrays", path="a.npy", validation=0.0, test_fraction=0.0)
    assert data.spec.shape == (1, 6, 5) and np.array_equal(everything(data)[:, 0], NHWC[..., 0])


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((400, 1, 28, 28), (1, 28, 28)),
        ((9, 28, 28, 1), (1, 28, 28)),
        ((9, 3, 32, 32), (3, 32, 32)),
        ((9, 2, 5, 4), (4, 2, 5)),
        ((9, 4, 2, 2), (4, 2, 2)),
        ((9, 3, 5), (1, 3, 5)),
    ],
)
def test_the_axis_of_one_three_or_four_is_the_channels(make, tmp_path, shape, spec):
    """(400, 1, 28, 28) read as NHWC would be images of 28 channels and 1 x 28 pixels."""
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    data = make("arrays", path="a.npy", validation=0.0, test_fraction=0.0)
    assert data.spec.shape == spec
    channel = array[:, None] if array.ndim == 3 else array if spec == shape[1:] else array.transpose(0, 3, 1, 2)
    assert np.array_equal(everything(data), channel)


@pytest.mark.parametrize(
    ("shape", "readings"),
    [
        ((5, 1, 28, 3), "NHWC has 3 channels of 1x28; NCHW has 1 channel of 28x3"),
        ((5, 4, 6, 4), "NHWC has 4 channels of 4x6; NCHW has 4 channels of 6x4"),
        ((5, 2, 6, 7), "NHWC has 7 channels of 2x6; NCHW has 2 channels of 6x7"),
    ],
)
def test_arrays_of_two_readings_are_refused_with_both(make, tmp_path, shape, readings):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="no axis of" if shape[1] == 2 else "in two ways") as caught:
        make("arrays", path="a.npy")
    assert readings in caught.value.found and "data.layout=NCHW" in caught.value.hint and caught.value.exit_code == 3
    assert ("from volumes" in caught.value.hint) == (shape[1] == 2)
    for layout, channels in (("NHWC", shape[3]), ("NCHW", shape[1])):
        assert make("arrays", path="a.npy", layout=layout).spec.channels == channels


def test_the_levels_that_occur_are_said(make, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(17, dtype=np.uint8).reshape(17, 1, 1).repeat(2, 1))
    part = make("arrays", path="a.npy", test_fraction=0.0, levels=64)
    assert part.values == "values 0..16 of 0..255" and part.description == "arrays, 64 levels, quantised from 256"
    assert make("arrays", path="a.npy", test_fraction=0.0, source_levels=17).values == "values 0..16"


@pytest.mark.parametrize("dtype", ["bool", "u1", "<i2", ">u2", "<u4", ">i8", "<u8"])
@pytest.mark.parametrize("levels", [2, 300, 40000])
def test_codes_of_any_type_and_number_of_levels(make, tmp_path, dtype, levels):
    highest = min(levels, 2 if dtype == "bool" else 256 if dtype == "u1" else 2**15) - 1
    array = np.array([0, 1, highest] * 8).reshape(4, 3, 2).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    data = make("arrays", path="a.npy", layout="NHW", source_levels=levels, validation=0.0, test_fraction=0.0)
    assert data.spec.levels == levels
    assert np.array_equal(everything(data)[:, 0], array.astype(np.int64))


def test_without_test_images_some_are_held_out(make, save, tmp_path):
    np.save(tmp_path / "a.npy", NHWC)
    data = make("arrays", path="a.npy", validation=0.0, test_fraction=0.3)
    assert (data.size("train"), data.size("test")) == (14, 6)
    both = np.concatenate([everything(data), everything(data, "test")]).transpose(0, 2, 3, 1)
    assert np.array_equal(np.unique(both, axis=0), np.unique(NHWC, axis=0))
    other = make("arrays", path="a.npy", validation=0.0, test_fraction=0.3, split_seed=1)
    assert other.hashes()["test"] != data.hashes()["test"]
    save(train=NHWC, y=np.arange(20))
    labelled = make("arrays", path="a.npz", test=None, train_labels="y", test_fraction=0.3)
    assert labelled.hashes()["test"] != data.hashes()["test"] and labelled.classes == 20
    batch = labelled.batch("test", torch.arange(6))
    assert np.array_equal(batch.x.numpy(), NHWC[batch.labels].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("array", "config", "message"),
    [
        (NHWC.astype(np.float32) / 255, {}, "floats that are not levels"),
        (np.full((3, 2, 2, 1), np.nan), {}, "values that are not numbers"),
        (NHWC.astype(complex), {}, "not an array of numbers"),
        (NHWC.astype("S3"), {}, "not an array of numbers"),
        (np.array([[1, None]], dtype=object), {}, "not an array of numbers"),
        (np.zeros(3, dtype=[("a", "u1")]), {}, "not an array of numbers"),
        (NHWC, {"layout": "NHW"}, "does not fit the layout"),
        (NHWC[..., 0], {"layout": "NHWC"}, "does not fit the layout"),
        (NHWC[..., 0, 0], {}, "does not fit the layout"),
        (NHWC[:0], {}, "does not fit the layout"),
        (np.uint8(3), {}, "does not fit the layout"),
        (np.float32(3), {}, "does not fit the layout"),
        (NHWC[:, :0], {}, "does not fit the layout"),
        (NHWC, {"source_levels": 200}, "out of range"),
        (NHWC.astype(np.int16) - 1, {}, "out of range"),
        (np.full((2, 2, 2, 1), 2**64 - 1, np.uint64), {}, "out of range"),
        (NHWC, {"max_bytes": NHWC.size - 1}, "too large"),
        (NHWC, {"train_labels": "y"}, "no labels"),
        (NHWC[:1], {}, "too few images"),
    ],
)
def test_arrays_that_cannot_be_images_are_refused(make, tmp_path, array, config, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message) as caught:
        make("arrays", path="a.npy", **config)
    assert caught.value.where.startswith(str(tmp_path / "a.npy")) and caught.value.exit_code == 3


@pytest.mark.parametrize(("shape", "said"), [
    ((3, 4), "data.shape="), ((3, 0), "data.layout is"), ((3,), "data.layout is"), ((3, 0, 4), "data.layout is"),
    ((1, 1, 1, 1, 3), "data.layout is"), ((0, 3, 2, 2), "data.layout is"),
])  # fmt: skip
def test_what_is_missing_of_a_shape_is_said(shape, said):
    with pytest.raises(DataError, match="does not fit the layout") as caught:
        axes_of(shape, "auto", "here")
    assert caught.value.hint.startswith(said)
    assert (caught.value.where, caught.value.found) == ("here", str(shape))
    assert caught.value.expected == "NHW, 3 non-empty axes"


@pytest.mark.parametrize(
    ("arrays", "config", "message"),
    [
        ({"x": NHWC}, {}, "no such array"),
        ({"train": NHWC}, {}, "no such array"),
        ({"train": NHWC, "test": NHWC}, {"train_labels": "y"}, "no such array"),
        ({"train": NHWC, "test": NHWC, "y": np.zeros(20, int)}, {"train_labels": "y"}, "for train only, not for test"),
        ({"train": NHWC, "y": np.zeros(19, int)}, {"train_labels": "y"}, "do not match the images"),
        ({"train": NHWC, "y": np.zeros((20, 2), int)}, {"train_labels": "y"}, "several labels per image"),
        ({"train": NHWC, "y": np.zeros((20, 1, 2), int)}, {"train_labels": "y"}, "do not match the images"),
        ({"train": NHWC, "y": np.full(20, -1)}, {"train_labels": "y"}, "out of range"),
        ({"train": NHWC, "y": np.full(20, 3)}, {"train_labels": "y", "classes": 3}, "out of range"),
        ({"train": NHWC, "y": np.full(20, 0.5)}, {"train_labels": "y"}, "labels must be whole numbers"),
        ({"train": NHWC, "test": NHWC[:, :5]}, {}, "different shapes"),
        ({"train": NHWC, "more": NHWC[:, :5]}, {"train": ["train", "more"], "test": None}, "of different shapes"),
        (
            {"train": NHWC, "test": NHWC[:2], "l": np.eye(20), "m": np.zeros((2, 3))},
            {"train_labels": "l", "test_labels": ["m", "l"]},
            "labels of different shapes",
        ),
    ],
)
def test_archives_that_do_not_fit_are_refused(make, save, arrays, config, message):
    save(**arrays)
    with pytest.raises(DataError, match=message) as caught:
        make("arrays", path="a.npz", **config)
    if message == "no such array":
        assert all(name in caught.value.expected for name in arrays)


@pytest.mark.parametrize(
    ("arrays", "config", "hint"),
    [
        (["x", "y"], {}, "data.train=x names one"),
        (["y_test", "x_train", "y_train"], {}, "data.train=x_train names one"),
        (["train", "a"], {}, "data.test=null holds out some of the training images"),
        (["train", "x_test", "y_test"], {}, "data.test=x_test names one"),
        (["train", "Val", "test"], {"validation_set": "v"}, "data.validation_set=Val names one"),
        (["train", "test", "y"], {"train_labels": "l", "test_labels": "y"}, "data.train_labels=y names one"),
        (["train", "test"], {"train_labels": "l"}, "data.train_labels=NAME names one"),
    ],
)
def test_a_missing_array_may_be_one_of_another_name(make, save, arrays, config, hint):
    save(**dict.fromkeys(arrays, NHWC))
    with pytest.raises(DataError, match="no such array") as caught:
        make("arrays", path="a.npz", **config)
    assert caught.value.hint == hint


def test_one_hot_labels_beside_numbers(make, save):
    save(train=NHWC, test=NHWC[:2], l=np.eye(4, dtype=int)[np.arange(20) % 4], m=np.array([3, 0]))
    data = make("arrays", path="a.npz", train_labels="l", test_labels="m")
    assert data.classes == 4 and data.labels("test").tolist() == [3, 0]


def test_classes_are_known_from_labels_or_by_their_number(save, tmp_path):
    save(train=NHWC, y=np.arange(20) % 2 * 5)

    def known(**config):
        return Arrays(Arrays.Config(path="a.npz", test=None, **config), tmp_path).known_classes()

    assert known(train_labels="y") == ("0", "5") and known() is None is known(classes=7)
    assert known(train_labels="y", classes=7) == tuple("0123456")
    assert len(known(train_labels="y", classes=MOST // 16)) == MOST // 16
    assert known(train_labels="y", classes=MOST // 16 + 1) is None


def test_the_number_of_classes_may_exceed_the_largest_label(make, save):
    save(train=NHWC, y=np.zeros(20, int))
    assert make("arrays", path="a.npz", test=None, train_labels="y", classes=7).classes == 7


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def lying(shape, descr="|u1", version=(1, 0)):
    """A .npy whose header announces `shape`, with no values behind it."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text.encode()


@pytest.mark.parametrize("zipped", [False, True])
def test_sizes_are_judged_from_the_header(make, tmp_path, zipped):
    for shape, message in (("(200000, 200, 200, 3)", "too large"), ("(2, 2, 2, 1)", "not as long")):
        content, name = lying(shape), "a.npy"
        if zipped:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("train.npy", content)
            content, name = buffer.getvalue(), "a.npz"
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            make("arrays", path=name)


def test_a_bomb_is_refused_from_its_header(make, save, tmp_path):
    save(True, train=np.zeros((60, 100, 100, 3), np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(DataError, match="too large") as caught:
        make("arrays", path="a.npz", max_bytes=10**6)
    assert "1800000 bytes" in caught.value.found and "data.max_bytes" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"PK\x03\x04" + bytes(100),
        b"\x93NUMPY",
        npy(NHWC)[:60],
        lying("(2,)", version=(9, 9)),
        lying("(-1, -2)"),
        lying("(2.5,)"),
        lying("(0, " + "9" * 30 + ", 1, 1)"),
        lying("(2,", "|u1"),
        lying("(2,)", "nonsense"),
        lying("(2,)", "|u1")[:-1] + b"(",
    ],
)
def test_damaged_files_are_refused(make, tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError):
        make("arrays", path="a.npz")


def test_a_missing_file_and_a_folder_are_refused(make):
    with pytest.raises(DataError, match=r"no file is named(.|\n)*data\.path=FILE"):
        make("arrays")
    for path, words in (("none.npy", r"there is no such file(.|\n)*data\.path=FILE"), (".", "cannot be read")):
        with pytest.raises(DataError, match=words):
            make("arrays", path=path)


def test_a_damaged_member_is_found_by_its_checksum(make, save, tmp_path):
    save(train=NHWC, test=NHWC)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.find(NHWC.tobytes()) + 5] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="the file is damaged"):
        make("arrays", path="a.npz")


def test_the_format_versions_of_numpy(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        (tmp_path / "a.npy").write_bytes(lying("(2, 2)", version=version) + b"\1\2\3\4")
        assert ArrayFile(tmp_path / "a.npy", 100).read().tolist() == [[1, 2], [3, 4]]


def test_configuration_is_checked():
    for config in (
        {"path": "a", "layout": "CHW"},
        {"path": "a", "value_range": [1, 0]},
        {"path": "a", "value_range": [1, 1]},
        {"path": "a", "shape": [3]},
        {"path": "a", "source_levels": 1},
        {"path": "a", "max_bytes": 0},
    ):
        with pytest.raises(ValidationError):
            Arrays.Config(**config)
    assert math.isclose(Arrays.Config(path="a").test_fraction, 0.1)


def seeds():
    zipped = io.BytesIO()
    np.savez_compressed(zipped, train=NHWC[:2, :2, :2], test=NHWC[:1, :2, :2])
    return [npy(NHWC[:2, :2, :2]), zipped.getvalue()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.data())
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning", "ignore:Duplicate name:UserWarning")
def test_bytes_are_read_or_refused(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(seeds())))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    (tmp_path / "a.npz").write_bytes(content)
    try:
        images = Arrays(Arrays.Config(path="a.npz"), tmp_path).load()
    except DataError:
        return
    assert images.train.pixels.dtype == torch.uint8 and images.train.pixels.ndim == 4


def test_a_missing_array_of_many_is_not_told_with_all_their_names(make, tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(3000):
            archive.writestr(f"array{number}.npy", b"")
    with pytest.raises(DataError, match="there is no such array") as caught:
        make("arrays", path="many.npz")
    assert len(str(caught.value)) < 1500 and "more" in caught.value.expected


def test_a_disk_that_fails_is_not_taken_for_a_damaged_file(save, tmp_path, monkeypatch):
    """zipfile says that this is no zip file."""
    save(train=NHWC)

    def failing(self, *arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = ArrayFile(tmp_path / "a.npz", 10**6)
    monkeypatch.setattr(zipfile, "_EndRecData", failing)
    with pytest.raises(DataError, match=r"(?s)a.npz: train: cannot be read.*Input/output error"):
        file.read("train")
