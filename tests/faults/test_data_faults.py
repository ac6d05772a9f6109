"""Damaged and odd data through the command line: exit code 3 and a reason, or a build; never a traceback."""

import gzip
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from pixkit.cli.main import main

RECIPE = """\
pixkit: 1
name: faults
data: {data}
model: {{type: autoregressive, backbone: {{type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}}}}
train: {{steps: 1, batch_size: 2}}
"""
IMAGES = np.arange(12 * 4 * 3).reshape(12, 4, 3) % 256
MNIST = "{source: mnist, root: .}"
CIFAR = "{source: cifar10, root: .}"
CIFAR_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
ARRAYS = "{source: arrays, path: a.npz, layout: NHW}"
FOLDER = "{source: images, path: pictures, size: 4}"


def idx(array, kind=8, shape=None):
    array = np.asarray(array, dtype=np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *(shape or array.shape)) + array.tobytes()


def mnist(change="", content=b""):
    """The four files of a tiny MNIST; one replaced."""
    contents = {}
    for part in ("train", "t10k"):
        contents[f"{part}-images-idx3-ubyte"] = idx(IMAGES)
        contents[f"{part}-labels-idx1-ubyte"] = idx(np.arange(12) % 10)
    return contents | ({change: content} if change else {})


def cifar(content, name="data_batch_3.bin"):
    """The six files of a tiny CIFAR-10; one replaced."""
    return {file: bytes([3]) + bytes(3072) for file in CIFAR_FILES} | {name: content}


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def announcing(shape):
    """A compressed .npz whose header announces far more than there is."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train", "test"):
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(10_000))
    return file.getvalue()


def picture(mode="RGB", size=(5, 4), kind="PNG"):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind)
    return file.getvalue()


def bomb(side):
    """A PNG of a few bytes that unpacks to side x side pixels."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def pictures(*odd):
    """A folder of ten good pictures and some odd ones."""
    good = {f"pictures/{number}.png": picture() for number in range(10)}
    return good | {f"pictures/odd-{number}.png": content for number, content in enumerate(odd)}


LABELLED = "{source: arrays, path: a.npz, layout: NHW, train_labels: tl, test_labels: sl, classes: 3}"
LABELS = np.arange(12) % 3
REFUSED = {
    "idx-truncated": (MNIST, mnist("train-images-idx3-ubyte", idx(IMAGES)[:-5])),
    "idx-truncated-header": (MNIST, mnist("train-images-idx3-ubyte", idx(IMAGES)[:9])),
    "idx-empty": (MNIST, mnist("train-images-idx3-ubyte", b"")),
    "idx-magic": (MNIST, mnist("train-images-idx3-ubyte", b"\1" + idx(IMAGES)[1:])),
    "idx-floats": (MNIST, mnist("train-images-idx3-ubyte", idx(IMAGES, kind=13))),
    "idx-labels-for-images": (MNIST, mnist("train-images-idx3-ubyte", idx(np.arange(12)))),
    "idx-count-too-large": (MNIST, mnist("train-images-idx3-ubyte", idx(IMAGES, shape=(13, 4, 3)))),
    "idx-count-too-small": (MNIST, mnist("train-images-idx3-ubyte", idx(IMAGES, shape=(11, 4, 3)))),
    "idx-count-absurd": (MNIST, mnist("train-images-idx3-ubyte", idx(IMAGES, shape=(2**32 - 1, 2**31, 3)))),
    "idx-fewer-labels": (MNIST, mnist("train-labels-idx1-ubyte", idx(np.arange(11) % 10))),
    "idx-label-out-of-range": (MNIST, mnist("train-labels-idx1-ubyte", idx(np.arange(12)))),
    "idx-gzip-damaged": (MNIST, mnist("train-images-idx3-ubyte", gzip.compress(idx(IMAGES))[:-9])),
    "idx-missing": (MNIST, {}),
    "cifar-truncated": (CIFAR, cifar(bytes(3072))),
    "cifar-empty": (CIFAR, cifar(b"")),
    "cifar-label-out-of-range": (CIFAR, cifar(bytes([10]) + bytes(3072))),
    "cifar-one-missing": (CIFAR, {name: bytes(3073) for name in CIFAR_FILES[:-1]}),
    "cifar-none": (CIFAR, {}),
    "cifar-archive-damaged": (CIFAR, {"cifar-10-binary.tar.gz": gzip.compress(b"no tar at all" * 99)}),
    "npz-objects": (ARRAYS, {"a.npz": npz(train=np.array([{}, "x"], dtype=object), test=IMAGES)}),
    "npz-floats": (ARRAYS, {"a.npz": npz(train=IMAGES / 2, test=IMAGES)}),
    "npz-truncated": (ARRAYS, {"a.npz": npz(train=IMAGES, test=IMAGES)[:-30]}),
    "npz-bomb": (ARRAYS, {"a.npz": announcing((10_000_000, 1000, 1000))}),
    "npz-longer-than-it-is": (ARRAYS, {"a.npz": announcing((1000, 100, 100))}),
    "npz-lacks-an-array": (ARRAYS, {"a.npz": npz(train=IMAGES)}),
    "npz-shape": (ARRAYS, {"a.npz": npz(train=IMAGES[0], test=IMAGES)}),
    "npz-value-not-below-k": (ARRAYS, {"a.npz": npz(train=IMAGES + 200, test=IMAGES)}),
    "npz-value-negative": (ARRAYS, {"a.npz": npz(train=IMAGES - 1, test=IMAGES)}),
    "npz-label-out-of-range": (LABELLED, {"a.npz": npz(train=IMAGES, test=IMAGES, tl=LABELS + 1, sl=LABELS)}),
    "npz-empty": (ARRAYS, {"a.npz": npz(train=IMAGES[:0], test=IMAGES)}),
    "npz-nothing": (ARRAYS, {"a.npz": b""}),
    "images-empty-folder": (FOLDER, {"pictures/.keep": b""}),
    "images-no-folder": (FOLDER, {}),
    "images-one-bad": (FOLDER, pictures(b"not a picture")),
    "images-one-cut": (FOLDER, pictures(picture(size=(300, 300))[:200])),
    "images-bomb": (FOLDER, pictures(bomb(2**31 - 1))),
    "images-large": (FOLDER, pictures(bomb(5000))),
    "images-floats": (FOLDER, pictures(picture("F", kind="TIFF"))),
    "images-unlike-sizes": ("{source: images, path: pictures}", pictures(picture(size=(6, 6)))),
}
READ = {
    "images-one-bad-skipped": (FOLDER[:-1] + ", on_bad: skip}", pictures(b"not a picture", bomb(5000))),
    "images-1x1": ("{source: images, path: pictures, size: 1}", pictures(picture(size=(1, 1)))),
    "images-1x1-enlarged": (FOLDER, pictures(picture(size=(1, 1)))),
    "images-rgba": (FOLDER, pictures(picture("RGBA"))),
    "images-palette": (FOLDER, pictures(picture("P"))),
    "images-cmyk": (FOLDER, pictures(picture("CMYK", kind="TIFF"))),
    "images-16-bit": (FOLDER, pictures(picture("I;16"))),
    "images-grey": (FOLDER[:-1] + ", channels: 1}", pictures(picture("1"), picture("L"))),
    "idx": (MNIST, mnist()),
    "idx-gzip": (MNIST, mnist("train-images-idx3-ubyte", gzip.compress(idx(IMAGES)))),
    "cifar": (CIFAR, cifar(bytes(2 * 3073))),
    "npz": (ARRAYS, {"a.npz": npz(train=IMAGES, test=IMAGES)}),
}


def build(folder, monkeypatch, case):
    data, files = case
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "recipe.yaml").write_text(RECIPE.format(data=data))
    monkeypatch.delenv("PIXKIT_TRACEBACK", raising=False)
    return main(["build", str(folder / "recipe.yaml"), "--dry-run", "-q"])


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, monkeypatch, capfd, name):
    assert build(tmp_path, monkeypatch, REFUSED[name]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert str(tmp_path) in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", READ)
def test_read(tmp_path, monkeypatch, capfd, name):
    assert build(tmp_path, monkeypatch, READ[name]) == 0, capfd.readouterr().err
