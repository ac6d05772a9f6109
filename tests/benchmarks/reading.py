"""What reading a data set takes of memory at its peak, over its pixels as they are kept.

Each set is made up, written by its format's own library, and prepared in a process of its own. Found is the peak of the
resident memory above that before (VmHWM in /proc/self/status), which counts pages of mapped files, too. "Own" leaves
these out, as far as one can see by looking every two milliseconds: the system takes them back as soon as it needs them,
without writing anything. What is marked has more of its own than it may. Linux alone.

    python tests/benchmarks/reading.py [--mib 96] [--most 1.3] [SET ...]
"""

import argparse
import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
from memory import MIB, forget, peak
from PIL import Image

SIDE = 32
LIBRARIES = ("h5py", "pyarrow.parquet")


def pixels(mib, *shape):
    count = mib * MIB // int(np.prod(shape))
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def npy(folder, mib, kind=np.uint8, order="C"):
    np.save(folder / "a.npy", np.asarray(pixels(mib, 3, SIDE, SIDE).astype(kind), order=order))
    return {"source": "arrays", "train": "a.npy", "test": None}


def npz(folder, mib, write=np.savez):
    x = pixels(mib, SIDE, SIDE, 3)
    write(folder / "a.npz", train=x[1000:], test=x[:1000], y=np.arange(len(x) - 1000) % 9, z=np.arange(1000) % 9)
    return {"source": "arrays", "path": "a.npz", "train_labels": "y", "test_labels": "z"}


def joined(folder, mib):
    for number, part in enumerate(np.array_split(pixels(mib, 3 * SIDE * SIDE), 5)):
        np.savez(folder / f"batch_{number}.npz", data=part)
    return {"source": "arrays", "train": "batch_*.npz:data", "test": None, "layout": "NCHW", "shape": [3, SIDE, SIDE]}


def floats(folder, mib):
    np.save(folder / "a.npy", pixels(mib, SIDE, SIDE).astype(np.float32) / 255)
    return {"source": "arrays", "train": "a.npy", "test": None, "value_range": [0, 1]}


def safetensors(folder, mib, kind=np.uint8):
    from safetensors.numpy import save_file

    save_file({"train": pixels(mib, 3, SIDE, SIDE).astype(kind)}, folder / "a.safetensors")
    return {"source": "arrays", "train": "a.safetensors", "test": None}


def torch_file(folder, mib, kind=np.uint8):
    import torch

    torch.save({"train": torch.from_numpy(pixels(mib, 3, SIDE, SIDE).astype(kind))}, folder / "a.pt")
    return {"source": "arrays", "train": "a.pt", "test": None}


def hdf5(folder, mib, **options):
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("train", data=pixels(mib, SIDE, SIDE, 3), **options)
    return {"source": "arrays", "train": "a.h5", "test": None}


def parquet(folder, mib, pictures=False):
    import pyarrow as pa
    from pyarrow import parquet as format

    x = pixels(mib, SIDE, SIDE, 3)
    if pictures:
        column = pa.array([{"bytes": _png(image), "path": None} for image in x])
    else:
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(x)
    format.write_table(pa.table({"train": column}), folder / "a.parquet")
    return {"source": "arrays", "train": "a.parquet", "test": None}


def _png(image):
    held = io.BytesIO()
    Image.fromarray(image).save(held, "PNG", compress_level=1)
    return held.getvalue()


def idx(folder, mib):
    import gzip

    x = pixels(mib, 28, 28)
    for stem, array in (("images-idx3", x), ("labels-idx1", np.arange(len(x), dtype=np.uint8) % 10)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        with gzip.open(folder / f"train-{stem}-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(head + array.tobytes())
    return {"source": "idx", "root": "."}


def folder_of(folder, mib, side=128):
    for number, image in enumerate(pixels(mib, side, side, 3)):
        (folder / f"pictures/{number % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"pictures/{number % 3}/{number}.png").write_bytes(_png(image))
    return {"source": "images", "path": "pictures", "labels": True}


def zipped(folder, mib):
    folder_of(folder, mib)
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        for path in (folder / "pictures").rglob("*.png"):
            file.write(path, path.relative_to(folder / "pictures"))
    return {"source": "images", "path": "a.zip", "labels": True}


def frames(folder, mib):
    (folder / "stacks").mkdir()
    some = [Image.fromarray(image) for image in pixels(mib, 128, 128)]
    for number in range(2):
        some[number].save(folder / f"stacks/{number}.tif", save_all=True, append_images=some[2 + number :: 2])
    return {"source": "images", "path": "stacks", "channels": 1, "frames": "all", "validation": 0, "test_fraction": 0}


def amat(folder, mib):
    for split, share in (("train", 5), ("valid", 1), ("test", 1)):
        np.savetxt(folder / f"binarized_mnist_{split}.amat", pixels(mib * share // 7, 784) & 1, fmt="%d")
    return {"source": "static_mnist", "root": "."}


def cifar(folder, mib, python=False):
    for number in range(6):
        x, y = pixels(30, 3072)[:10_000], list(np.arange(10_000) % 10)
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        if python:
            (folder / name).write_bytes(pickle.dumps({b"data": x, b"labels": [int(label) for label in y]}, protocol=4))
        else:
            (folder / f"{name}.bin").write_bytes(np.concatenate([np.array(y, np.uint8)[:, None], x], 1).tobytes())
    return {"source": "cifar10", "root": "."}


def cifar100(folder, mib, python=False):
    for name, count in (("train", 50_000), ("test", 10_000)):
        x, y = pixels(180, 3072)[:count], np.arange(count) % 20
        if python:  # bytes as they are, as Python 2 wrote the published ones
            held = {b"data": x, b"fine_labels": y.tolist(), b"coarse_labels": y.tolist()}
            (folder / name).write_bytes(pickle.dumps(held, protocol=4))
        else:
            labels = np.stack([y, y], 1).astype(np.uint8)
            (folder / f"{name}.bin").write_bytes(np.concatenate([labels, x], 1).tobytes())
    return {"source": "cifar100", "root": "."}


def cifar_archive(folder, mib):
    cifar(folder, mib)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz", compresslevel=1) as file:
        for path in sorted(folder.glob("*.bin")):
            file.add(path, f"cifar-10-batches-bin/{path.name}")
            path.unlink()
    return {"source": "cifar10", "root": "."}


SETS = {
    "npy": npy,
    "npy, columns first": lambda *given: npy(*given, order="F"),
    "npy, int64": lambda *given: npy(*given, kind=np.int64),
    "npy, threshold": lambda *given: {**npy(*given), "binarise": "threshold"},
    "npy, static": lambda *given: {**npy(*given), "binarise": "static"},
    "npy, dynamic": lambda *given: {**npy(*given), "binarise": "dynamic"},
    "npy, 32 levels": lambda *given: {**npy(*given), "levels": 32},
    "npy, 65536 to 256": lambda *given: {**npy(*given, kind=np.uint16), "source_levels": 65536, "levels": 256},
    "npz": npz,
    "npz, compressed": lambda *given: npz(*given, write=np.savez_compressed),
    "joined npz, flat": joined,
    "floats": floats,
    "safetensors": safetensors,
    "safetensors, int32": lambda *given: safetensors(*given, kind=np.int32),
    "torch": torch_file,
    "torch, int64": lambda *given: torch_file(*given, kind=np.int64),
    "hdf5": hdf5,
    "hdf5, gzip": lambda *given: hdf5(*given, compression="gzip", chunks=(64, SIDE, SIDE, 3)),
    "parquet": parquet,
    "parquet of pictures": lambda *given: parquet(*given, pictures=True),
    "idx.gz": idx,
    "images": folder_of,
    "images, from the cache": folder_of,
    "images, threshold": lambda *given: {**folder_of(*given), "binarise": "threshold"},
    "zip": zipped,
    "frames of a TIFF": frames,
    "static_mnist": amat,
    "cifar10": cifar,
    "cifar10 for Python": lambda *given: cifar(*given, python=True),
    "cifar10, archive": cifar_archive,
    "cifar100": cifar100,
    "cifar100 for Python": lambda *given: cifar100(*given, python=True),
}


def read(folder, again):
    """Print the peak and what the set has of pixels."""
    from pixkit.components.plugins import plugins
    from pixkit.data import prepare
    from pixkit.recipe import load_recipe

    plugins()
    data = json.loads((folder / "data.json").read_text())
    os.chdir(folder)
    section = load_recipe("digits-pixelcnn", [f"data={json.dumps(data)}"]).recipe.data
    np.sort(np.zeros(10, np.uint8))
    for library in LIBRARIES:  # whose code is no set's
        importlib.import_module(library)
    if again:
        prepare(section, folder)
    before, own, over = _status("VmRSS"), [0], threading.Event()
    first = _status("RssAnon")

    def look():
        while not over.is_set():
            own.append(_status("RssAnon") - first)
            time.sleep(0.002)

    watch = threading.Thread(target=look)
    forget()
    watch.start()
    dataset = prepare(section, folder)
    found = peak() - before
    over.set()
    watch.join()
    parts = {dataset.part(split).pixels.data_ptr(): dataset.part(split).pixels for split in dataset.SPLITS}
    if section.config.levels is not None or section.config.binarise:
        source = section.build(folder).load()
        parts = {part.pixels.data_ptr(): part.pixels for part in (source.train, source.test)}
    print(json.dumps({"peak": found, "own": max(own), "pixels": sum(part.nbytes for part in parts.values())}))


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--mib", type=int, default=96, help="of pixels")
    parser.add_argument("--most", type=float, default=1.3)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.again)
        return
    print(f"{'set':26}{'pixels':>8}{'peak':>8}{'own':>8}{'ratio':>8}{'own':>7}  (MiB)", flush=True)
    for name in options.sets or SETS:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "data.json").write_text(json.dumps(SETS[name](folder, options.mib)))
            time.sleep(2.5 if "cache" in name else 0)
            command = [sys.executable, __file__, "--read", text] + ["--again"] * ("cache" in name)
            environment = {**os.environ, "PIXKIT_CACHE": f"{text}/cache", "MALLOC_TRIM_THRESHOLD_": "0"}
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
            if done.returncode:
                print(f"{name:26}{done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            ratios = [row[key] / row["pixels"] for key in ("peak", "own")]
            figures = "".join(f"{row[key] / MIB:8.0f}" for key in ("pixels", "peak", "own"))
            print(f"{name:26}{figures}{ratios[0]:8.2f}{ratios[1]:7.2f}  {'' if ratios[1] <= options.most else 'MORE'}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
