"""CIFAR-10's version for Python, CIFAR-100 in both, and the reader that runs no pickle."""

import codecs
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torch

from pixkit.data import cifar10, pickled
from pixkit.data.pickled import NotPlain, plain
from pixkit.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 3072), dtype=np.uint8)
FINE, COARSE = list(range(88, 100)), [number % 20 for number in range(12)]


def batch(data, protocol=2, **labels):
    """As published: keys and names of files are bytes."""
    held = {b"data": data, b"filenames": [b"a.png"] * len(data), b"batch_label": b"training batch 1 of 5"}
    return pickle.dumps({**held, **{name.encode(): value for name, value in labels.items()}}, protocol)


class Python2(pickle._Pickler):
    """Writes texts and bytes alike, as Python 2 did its str and as is published: the bytes, and not which it was."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_old(self, text):
        content = text.encode("latin-1") if isinstance(text, str) else text
        short = len(content) < 256
        self.write((b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content))) + content)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_old


def by_python_2(held):
    file = io.BytesIO()
    Python2(file, 2).dump(held)
    return file.getvalue()


@pytest.fixture
def ten(tmp_path):
    """torchvision's layout: cifar-10-batches-py in the root."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"data_batch_{number + 1}").write_bytes(batch(X[2 * number : 2 * number + 2], labels=[number, 9]))
    (folder / "test_batch").write_bytes(batch(X[10:], labels=[1, 2]))
    return folder


def check_ten(data):
    train = data.batch("train", torch.arange(10))
    assert np.array_equal(train.x.numpy().reshape(10, -1), X[:10]) and data.spec.shape == (3, 32, 32)
    assert train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9] and data.class_names[9] == "truck"
    assert np.array_equal(data.batch("test", torch.arange(2)).x.numpy().reshape(2, -1), X[10:])


def test_the_version_for_python_in_a_folder_and_packed(make, ten, tmp_path):
    for root in ("data", "data/cifar-10-batches-py"):
        check_ten(make("cifar10", root=root, validation=0.0))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(ten, "cifar-10-batches-py")
    check_ten(make("cifar10", root=".", validation=0.0))


def test_the_version_for_python_in_the_cache_is_not_downloaded_in_the_other(make, ten, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("PIXKIT_OFFLINE", "1")
    (tmp_path / "cifar10").mkdir()
    with tarfile.open(tmp_path / "cifar10" / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(ten, "cifar-10-batches-py")
    check_ten(make("cifar10", validation=0.0))


PUBLISHED = {"cifar10": 31_035_999, "cifar100": 155_249_918}
"""Bytes of the largest file in any version."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_in_an_archive_may_have_as_many_bytes_as_a_published_one_and_a_few(make, tmp_path, monkeypatch, name):
    asked = []

    def members(archive, wanted, largest):
        asked.append(largest)
        raise DataError("enough")

    monkeypatch.setattr(cifar10, "members", members)
    (tmp_path / f"cifar-{name.removeprefix('cifar')}-binary.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match="enough"):
        make(name, root=".")
    assert PUBLISHED[name] <= asked[0] < 1.02 * PUBLISHED[name]


@pytest.mark.parametrize("kind", ["binary", "python", "packed"])
@pytest.mark.parametrize(("labels", "expected", "count"), [("fine", FINE, 100), ("coarse", COARSE, 20)])
def test_cifar_100(make, tmp_path, kind, labels, expected, count):
    folder = tmp_path / ("cifar-100-binary" if kind == "binary" else "cifar-100-python")
    folder.mkdir()
    for name, rows in (("train", slice(0, 8)), ("test", slice(8, 12))):
        if kind == "binary":
            pairs = np.array([COARSE[rows], FINE[rows]], np.uint8).T
            (folder / f"{name}.bin").write_bytes(np.concatenate([pairs, X[rows]], 1).tobytes())
        else:
            (folder / name).write_bytes(batch(X[rows], fine_labels=FINE[rows], coarse_labels=COARSE[rows]))
    if kind == "packed":
        with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as archive:
            archive.add(folder, folder.name)
        for path in folder.iterdir():
            path.unlink()
    data = make("cifar100", root=".", labels=labels, validation=0.0)
    assert data.classes == len(data.class_names) == len(set(data.class_names)) == count
    for split, rows in (("train", slice(0, 8)), ("test", slice(8, 12))):
        found = data.batch(split, torch.arange(data.size(split)))
        assert np.array_equal(found.x.numpy().reshape(-1, 3072), X[rows]) and found.labels.tolist() == expected[rows]
    assert data.notes[0] == f"train{'.bin' if kind == 'binary' else ''} holds 8 images, the published one 50000"


class Harmless:
    """An object for which pickle.load would call something."""

    def __reduce__(self):
        return print, ("called",)


def test_a_pickle_is_not_run(make, ten, capsys):
    (ten / "test_batch").write_bytes(pickle.dumps({b"data": Harmless()}, 2))
    with pytest.raises(DataError, match="refused to read this pickle") as caught:
        make("cifar10", root="data")
    assert "print" in caught.value.found and caught.value.exit_code == 3 and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the pickle is damaged"),
        (batch(X)[:-100], "the pickle is damaged"),
        (pickle.dumps([1], 2), "no images in the pickle"),
        (batch(X[:, :9], labels=[0] * 12), "no images in the pickle"),
        (batch(X.astype(np.int64), labels=[0] * 12), "no images in the pickle"),
        (batch(X), "no labels in the pickle"),
        (batch(X, labels=[0] * 11), "no labels in the pickle"),
        (batch(X, labels=[0.5] * 12), "no labels in the pickle"),
        (batch(X, labels=[0] * 11 + [True]), "no labels in the pickle"),
        (batch(X, labels=tuple([0] * 12)), "no labels in the pickle"),
        (batch(X[:0], labels=[]), "there are no images"),
        (batch(X.ravel(), labels=[0] * 12), "no images in the pickle"),
        (batch(X, labels=[10] * 12), "a label is out of range"),
        (batch(X, labels=[-1] * 12), "a label is out of range"),
    ],
)
def test_pickles_that_are_no_batches(make, ten, content, message):
    (ten / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        make("cifar10", root="data")
    assert "test_batch" in caught.value.where


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_data_of_any_protocol(protocol):
    held = {
        "a": [1, -70000, 2**40, 0.5, None, True, "text", b"bytes"],
        b"b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    }
    assert plain(pickle.dumps(held, protocol)) == held
    for array in (X, np.asfortranarray(X), np.array([1, 2, 3]), X[:0]):
        assert np.array_equal(plain(pickle.dumps(array, protocol)), array)
    for strange in (Harmless(), np.array([None]), np.dtype("u1"), {1}, 1j):
        with pytest.raises(NotPlain):
            plain(pickle.dumps(strange, protocol))


def test_a_batch_that_python_2_wrote(make, ten):
    written = by_python_2({"data": X[10:], "labels": [1, 2], "batch_label": "testing batch 1 of 1"})
    assert pickle.loads(written, encoding="bytes")[b"labels"] == [1, 2]
    (ten / "test_batch").write_bytes(written)
    check_ten(make("cifar10", root="data", validation=0.0))
    assert np.array_equal(plain(by_python_2(np.array([3, -70000], np.int64))), [3, -70000])
    with pytest.raises(NotPlain, match="an array of i4"):
        plain(by_python_2(np.array([3], ">i4")))


def test_a_pickle_has_so_many_steps(monkeypatch):
    content = pickle.dumps(3, 2)  # PROTO, BININT1 and STOP, from 0 on
    monkeypatch.setattr(pickled, "MOST", 2)
    assert plain(content) == 3
    monkeypatch.setattr(pickled, "MOST", 1)
    with pytest.raises(NotPlain, match="more than 1 steps"):
        plain(content)


def _reconstruct(*arguments):
    """A namesake of what NumPy makes arrays with."""


class Made:
    """What is written as a call of something, with a state."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


RECONSTRUCT = np.array([1, 2], np.uint8).__reduce__()[0]


def as_array(kind="u1", values=b"ab"):
    """As NumPy writes an array, of other parts."""
    kind = np.dtype(kind) if isinstance(kind, str) else kind
    return Made(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (2,), kind, False, values))


def test_an_array_of_ones_own_making_is_read():
    assert plain(pickle.dumps(as_array(), 2)).tolist() == [97, 98]
    assert plain(pickle.dumps(np.array([3, -4], "<i4"), 2)).tolist() == [3, -4]


@pytest.mark.parametrize(
    ("strange", "found"),
    [
        (Made(codecs.encode, ("a", "ascii")), "a call of _codecs encode"),
        (Made(print, ("a", "latin1")), "a call of __builtin__ print"),
        (Made(_reconstruct, (1,)), "_reconstruct"),
        (np.float64(1), "multiarray scalar"),
        (as_array(Made(print, ("u1", False, True))), "an array of an unknown type"),
        (as_array(3), "an array of an unknown type"),
        (as_array("f8"), "an array of f8"),
        (as_array(values="ab"), "an array of u1"),
        (np.array([1], ">i4"), "an array of i4"),
    ],
)
def test_calls_that_are_nearly_those_of_an_array_are_refused(strange, found):
    with pytest.raises(NotPlain) as caught:
        plain(pickle.dumps(strange, 2))
    assert found in caught.value.args[0]


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"\x80\x02\xff.", ValueError, r"there is no opcode b'\\xff'"),
        (b"\x80\x02U\x05abc", ValueError, "SHORT_BINSTRING: 3 bytes of 5"),
        (b"\x80\x02a.", ValueError, "APPEND at step 1: "),
        (b"\x80\x02h\x07.", ValueError, "BINGET at step 1: 7"),
        (b"\x80\x02K\x01", ValueError, "the pickle has no end"),
        (b"\x80\x02cos\nsystem\n.", NotPlain, "the name os system"),
        (b"\x80\x02.", ValueError, "STOP at step 1: pop from empty list"),
        (b"\x80\x02c_codecs\nencode\n(K\x01X\x06\0\0\0latin1tR.", ValueError, "STOP at step 7: 'int' object has no"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.", ValueError, "STOP at step 4: cannot unpack"),
        (b"\x80\x02]q\0h\0a.", NotPlain, "values too deep within others"),
    ],
)
def test_damaged_pickles_are_told_from_those_that_name_something(content, error, text):
    with pytest.raises(error, match=text):
        plain(content)
