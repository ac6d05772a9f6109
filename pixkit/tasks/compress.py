"""Compressing images without loss by a trained model, and getting them back on any machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.codec.codec import Codec
from pixkit.codec.container import Reader
from pixkit.codec.freezing import freeze
from pixkit.data import Progress as Loading
from pixkit.errors import DataError, UsageError
from pixkit.figures.grids import save_images, save_npz
from pixkit.figures.targets import require_empty, require_file, saving
from pixkit.files import is_there, open_regular, replacing
from pixkit.image import ImageSpec, Shown
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.models.base import Model
from pixkit.runs.load import load
from pixkit.runs.run import Run
from pixkit.runs.runfile import RunFile
from pixkit.tasks.drawer import Images
from pixkit.tasks.inputs import named_images

MOST = 1 << 32
"""Bytes of a codec file."""
NAME = "name the run that has it with --run, or the file with --codec"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False)
class Compressed(Shown):
    """What `compress` gives.

    Attributes:
        out: the compressed file.
        images: how many are in it.
        size: its bytes.
        codec: the codec file, without which it cannot be decoded.
        spec: of the images.
    """

    out: Path
    images: int
    size: int
    codec: Path
    spec: ImageSpec

    @property
    def bits_per_dim(self) -> float:
        """Bits of the file for each sub-pixel."""
        return 8 * self.size / max(self.images * self.spec.dims, 1)

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "out": str(self.out),
            "images": self.images,
            "bytes": self.size,
            "bits_per_dim": self.bits_per_dim,
            "codec": str(self.codec),
            "codec_bytes": self.codec.stat().st_size,
        }


@dataclass(frozen=True, repr=False)
class Decompressed(Shown):
    """What `decompress` gives.

    Attributes:
        images: int64 [N, C, H, W].
        names: what they were called; empty if they had no names.
        spec: of the images.
        codec: the codec file that they were decoded with.
    """

    images: Tensor
    names: list[str]
    spec: ImageSpec
    codec: Path

    def save(self, path: str | Path) -> Path:
        """Write a .npz with their levels in the array `samples`, or a folder of pictures 00000.png and so on."""
        if Path(path).suffix == ".npz":
            return save_npz(self.images.numpy(), self.spec, path)
        save_images(self.images.numpy(), self.spec, path)
        return Path(path)


def codec_of(model: Model) -> Codec:
    """What encodes and decodes images by a model.

        codec = codec_of(pixkit.load("runs/mnist", device="cpu"))
        data = codec.encode(x)  # bytes, of levels [N, C, H, W]
        codec.decode(data)      # int64 [N, C, H, W]; on any machine that has codec.content

    Raises:
        UsageError: if there is none of such models.
    """
    if not isinstance(model, AutoregressiveModel) or type(model).draw is not AutoregressiveModel.draw:
        raise UsageError(
            "there is no codec for such a model",
            found=type(model).__name__,
            expected="one network with exact likelihoods: model.type autoregressive",
        )
    if model.spec.palette is not None:
        raise UsageError("there is no codec for such a model", found="tokens of a palette", expected="images of levels")
    return Codec.from_bytes(freeze(model.network).to_bytes(), "the codec file of such a model")


def compress(
    run: Run | str | Path,
    images: Images,
    out: str | Path,
    *,
    checkpoint: str = "best",
    weights: str = "ema",
    verify: bool = True,
    progress: Progress | None = None,
    loading: Loading | None = None,
) -> Compressed:
    """Write images as a file from which `decompress` gets them back bit by bit, on any machine.

        found = pixkit.compress("runs/mnist", ["test:0", "test:1"], "digits.pxk")
        pixkit.decompress("digits.pxk", run="runs/mnist").images

    What comes back are the images as the model sees them: of its size, in its levels. What a run's data are brought to,
    by cropping, fewer levels or a threshold, files are brought to before they are compressed.
    The run gets a codec file, codec-HASH.safetensors, which decoding needs, and which builds never remove.

    Args:
        run: the run, or its folder.
        images: levels, int64 [N, C, H, W], or by name, as `complete` takes them.
        out: the file.
        checkpoint: best, last or step-N.
        weights: ema or raw.
        verify: decode each block again before it is written.
        progress: called as progress(done, total), in images.
        loading: told of the reading of the run's data.

    Raises:
        UsageError: if there is no codec for the run's model.
        DataError: if images cannot be read or do not fit.
        RunError: if something cannot be written.
        WrongArithmetic: if this machine does not compute what files are written with.
    """
    opened = run if isinstance(run, Run) else Run.open(Path(run))
    target = require_file(out)
    model = load(opened, device="cpu", dtype=torch.float32, checkpoint=checkpoint, weights=weights)
    codec = codec_of(model)
    names, found = images_of(images, model.spec, opened, loading)
    levels = found.numpy()
    kept = opened.path / _name(codec.sha)
    if RunFile(kept, MOST).content_if_any() != codec.content:  # not there, or damaged since
        with opened.writing(kept), replacing(kept) as temporary:
            temporary.write_bytes(codec.content)
    with saving(target), replacing(target) as temporary, open(temporary, "wb") as file:
        codec.write(file, levels, names, progress, verify=verify)
    return Compressed(target, len(levels), target.stat().st_size, kept, model.spec)


def images_of(images: Images, spec: ImageSpec, run: Run, loading: Loading | None) -> tuple[list[str], Tensor]:
    """Names of the images, if they have names, and their levels, int64 [N, C, H, W], on the CPU."""
    if isinstance(images, Tensor):
        return [], images.cpu()
    wanted = [images] if isinstance(images, str | Path) else images
    return named_images(wanted, spec, run, where="images", loading=loading)


def decompress(
    file: str | Path,
    out: str | Path | None = None,
    *,
    run: Run | str | Path | None = None,
    codec: str | Path | None = None,
    progress: Progress | None = None,
) -> Decompressed:
    """The images of a file that `compress` wrote.

    Args:
        file: the compressed file.
        out: where to write them: a folder, or a .npz; nowhere if left out.
        run: the run that has the codec file.
        codec: the codec file. Of neither, the folder of the compressed file is looked into.
        progress: called as progress(done, total), in images; `total` is 0, as it is not known before the end.

    Raises:
        DataError: if the file is damaged, cut short, or another model's, or if the codec file is damaged or not there.
        WrongArithmetic: if this machine does not compute what the file was written with.
        RunError: if something cannot be written.
    """
    source = Path(file)
    if out is not None:
        require_file(out) if Path(out).suffix == ".npz" else require_empty(out)
    try:
        with open_regular(source) as opened:
            reader = Reader(opened, str(source))
            path = _codec_file(reader.head.codec.hex(), source, run, codec)
            content = RunFile(
                path, MOST, error=DataError, hint="name the run that has it with --run, or the file with --codec"
            ).content()
            decoder = Codec.from_bytes(content, str(path))
            parts, done = [np.zeros((0, *decoder.program.shape), np.int64)], 0
            for part in decoder.read(reader):
                parts.append(part)
                done += len(part)
                if progress is not None:
                    progress(done, 0)
    except OSError as error:
        raise DataError("cannot be read", where=str(source), found=error.strerror) from error
    program = decoder.program
    spec = ImageSpec(*program.shape, program.levels)
    found = Decompressed(torch.from_numpy(np.concatenate(parts)), reader.names, spec, path)
    if out is not None:
        with saving(Path(out)):
            found.save(out)
    return found


def _codec_file(name: str, source: Path, run: Run | str | Path | None, codec: str | Path | None) -> Path:
    if codec is not None:
        return Path(codec)
    folder = source.parent if run is None else (run if isinstance(run, Run) else Run.open(Path(run))).path
    path = folder / _name(name)
    if not is_there(path):
        raise DataError(
            "written by another model" if run is not None else "which codec file?",
            where=str(source),
            found=f"none of the name {path.name} in {folder}",
            hint=NAME,
        )
    return path


def _name(sha: str) -> str:
    """The codec file's name, by its SHA-256 or the beginning of that."""
    return f"codec-{sha[:32]}.safetensors"
