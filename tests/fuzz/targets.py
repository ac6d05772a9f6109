"""What is fuzzed: each target makes an input from a seeded source of chance and gives it to pixkit.

An outcome is the exit code that the command line would end with; anything else that is raised is a find.
"""

import contextlib
import io
import json
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as format_tensors

from pixkit.cli.main import main
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import SOURCES, prepare
from pixkit.errors import PixkitError
from pixkit.recipe import load_recipe, packaged_recipes
from pixkit.runs import checkpoint
from pixkit.runs.manifest import encode_manifest, sha256

CODES = (0, 1, 2, 3, 4, 5, 130, 143)
TOKENS = [
    "null",
    "[]",
    "{}",
    "[",
    "}",
    ":",
    "- ",
    "'",
    '"',
    "&a ",
    "*a",
    "!x ",
    "\t",
    "\n",
    "\n  ",
    "\0",
    "é",
    "#",
    "|",
]
TOKENS += ["9" * 40, "1e999", ".nan", "-1", "0", "1.5", "true", "<<: ", "? ", "---\n", "\\", "\ud800", "x:y", "auto"]
NUMBERS = [0, 1, 2, 3, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
PLAIN = [None, True, -1, 0, 1.5, 1e300, 2**70, "", "x", "step-1", [], [1], {}, {"a": 1}]


def damage(chance, content):
    """Bytes with some flipped, replaced, cut out, repeated, or cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(NUMBERS))
            case 2:
                del data[at : at + chance.choice((1, 4, 100))]
            case 3:
                data[at:at] = data[at : at + chance.choice((1, 8, 200))]
            case 4:
                data[at:at] = chance.randbytes(chance.choice((1, 8)))
            case _:
                del data[at:]
    return bytes(data)


def reword(chance, text):
    """A text with some pieces of it replaced by tokens, or by other pieces of it."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(text) + 1)
        end = at + chance.choice((0, 1, 3, 12))
        other = chance.randrange(len(text) + 1)
        piece = chance.choice([*TOKENS, text[other : other + 15], text[at:end] * 2])
        text = text[:at] + piece + text[end:]
    return text


def code_of(call):
    """The exit code that a call stands for."""
    try:
        call()
    except PixkitError as error:
        assert str(error).strip()
        return error.exit_code
    return 0


class Fuzzed:
    """A target with a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, chance):
        raise NotImplementedError


class Recipes(Fuzzed):
    """Recipe files, through `pixkit validate`."""

    def __init__(self, folder):
        super().__init__(folder)
        self.texts = [path.read_text(encoding="utf-8") for path in packaged_recipes().values()]

    def run(self, chance):
        text = chance.choice(self.texts)
        content = reword(chance, text).encode("utf-8", "surrogatepass")
        path = self.folder / "recipe.yaml"
        path.write_bytes(content if chance.random() < 0.7 else damage(chance, content))
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            code = main(["validate", str(path)])
        assert "Traceback" not in err.getvalue()
        assert code in (0, 2, 4), err.getvalue()
        return code


class Overrides(Fuzzed):
    """Overrides of a packaged recipe."""

    KEYS = ("data.levels", "data.source", "data.limit_train", "model.backbone.width", "model.backbone.layers")
    KEYS += ("model.head.type", "model.ordering.type", "model.backbone", "train.steps", "train.optimizer.lr", "seed")
    KEYS += ("train.schedule.type", "train.optimizers.a.type", "sample.count", "name", "pixkit", "", "x", "0.1", "é")
    VALUES = ("3", "12", "0.5", "raster", "softmax", "{type: pixelcnn, width: 12}", "{a: [1, {b: 2}]}", "1e-3")

    def run(self, chance):
        overrides = []
        for _ in range(chance.choice((1, 1, 2, 3))):
            key = chance.choice(self.KEYS)
            value = chance.choice([*TOKENS, *self.VALUES, *self.VALUES, *self.VALUES])
            overrides.append(reword(chance, f"{key}={value}") if chance.random() < 0.3 else f"{key}={value}")
        code = code_of(lambda: load_recipe("digits-pixelcnn", overrides))
        assert code in (0, 2, 4)
        return code


class Data(Fuzzed):
    """A data source with damaged files, up to the images that a model would get."""

    source: str
    config: dict

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = self.files()
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
        cls = SOURCES[self.source]
        entry = Entry("data", self.source, cls, "pixkit", "0")
        self.ref = ComponentSpec(entry, cls.Config(**self.config), "source")

    def files(self):
        raise NotImplementedError

    def run(self, chance):
        name = chance.choice(list(self.contents))
        path = self.folder / name
        path.write_bytes(damage(chance, self.contents[name]))
        try:
            code = code_of(lambda: prepare(self.ref, self.folder))
        finally:
            path.write_bytes(self.contents[name])
        assert code in (0, 3)
        return code


class Idx(Data):
    source, config = "mnist", {"root": "."}

    def files(self):
        contents = {}
        for part in ("train", "t10k"):
            contents[f"{part}-images-idx3-ubyte"] = struct.pack(">HBB3I", 0, 8, 3, 6, 3, 2) + bytes(range(36))
            contents[f"{part}-labels-idx1-ubyte"] = struct.pack(">HBBI", 0, 8, 1, 6) + bytes(range(6))
        return contents


class Cifar(Data):
    source, config = "cifar10", {"root": "."}

    def files(self):
        names = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
        return {name: bytes([number]) + bytes(3072) for number, name in enumerate(names)}


class Npz(Data):
    source, config = "arrays", {"path": "a.npz", "layout": "NHW", "max_bytes": 2**24}

    def files(self):
        """One array stored, one compressed."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, kind in (("train", zipfile.ZIP_STORED), ("test", zipfile.ZIP_DEFLATED)):
                array = io.BytesIO()
                np.save(array, np.arange(48, dtype=np.uint8).reshape(8, 3, 2))
                archive.writestr(f"{name}.npy", array.getvalue(), kind)
        return {"a.npz": file.getvalue()}


class Npy(Data):
    source, config = "arrays", {"path": "a.npy", "layout": "NHW", "max_bytes": 2**24}

    def files(self):
        array = io.BytesIO()
        np.save(array, np.arange(120, dtype=np.uint8).reshape(20, 3, 2))
        return {"a.npy": array.getvalue()}


class Tensors(Fuzzed):
    """Checkpoints whose tensor files are damaged, and vouched for by a manifest that fits them."""

    def __init__(self, folder):
        super().__init__(folder)
        self.step = folder / "step-3"
        self.model = torch.nn.Linear(3, 2)
        self.tensors = {"model": self.model.state_dict()}
        state = {"step": 3, "best_nats": 0.5}
        checkpoint.save(self.step, self.tensors, step=3, model="linear", state=state, metrics={"nats": 1.5})
        self.manifest = (self.step / "manifest.json").read_bytes()
        self.data = format_tensors(self.tensors["model"])

    def load(self):
        manifest = checkpoint.verify(self.step)
        checkpoint.load_model(self.model, checkpoint.read_tensors(self.step, manifest, "model"), str(self.step))

    def write(self, manifest, data):
        (self.step / "manifest.json").write_bytes(manifest)
        (self.step / "model.safetensors").write_bytes(data)

    def run(self, chance):
        data = damage(chance, self.data)
        body = json.loads(self.manifest)
        if chance.random() < 0.9:
            body["files"]["model"].update(sha256=sha256(data), bytes=len(data))
        self.write(encode_manifest(body), data)
        code = code_of(self.load)
        if code != 3:
            assert (data[:64], len(data)) == (self.data[:64], len(self.data))
        return code


class Manifests(Tensors):
    """Damaged manifests, and ones that say odd things with the right checksum."""

    def run(self, chance):
        self.write(damage(chance, self.manifest) if chance.random() < 0.3 else self.odd(chance), self.data)
        code = code_of(self.load)
        assert code in (0, 3)
        return code

    def odd(self, chance):
        body = json.loads(self.manifest)
        for _ in range(chance.choice((1, 1, 2))):
            place = chance.choice([body, body["files"], body["files"].get("model"), body["state"], body["metrics"]])
            if isinstance(place, dict):
                place[chance.choice([*place, "new", "../x", ""])] = chance.choice(PLAIN)
            body = json.loads(json.dumps(body))
            body = body if all(isinstance(body.get(key), dict) for key in ("files", "state", "metrics")) else None
            if body is None:
                return encode_manifest({"format": 1, "files": chance.choice(PLAIN)})
        return encode_manifest(body)


TARGETS = (Recipes, Overrides, Idx, Cifar, Npz, Npy, Tensors, Manifests)


def make(target, folder: Path):
    """A target in a new folder under `folder`."""
    place = folder / target.__name__
    place.mkdir()
    return target(place)


def chance_of(target, number):
    """The source of chance of a target's input of a number: a find is had again from these two."""
    return random.Random(f"{target.__name__} {number}")
