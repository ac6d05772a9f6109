"""Compress images losslessly with a trained model, to be restored on any machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixkit.catalogue.zoo import is_kept_in_zoo
from pixkit.codec.codec import Codec
from pixkit.codec.container import MAGIC
from pixkit.codec.freezing import freeze
from pixkit.data import Progress as Loading
from pixkit.errors import RunError, UsageError, listed
from pixkit.figures.targets import require_file, saving
from pixkit.files import open_regular, replacing
from pixkit.image import ImageSpec, Shown
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.models.base import Model
from pixkit.ranks import ALONE, Ranks
from pixkit.runs.load import load
from pixkit.runs.run import Run
from pixkit.runs.runfile import RunFile
from pixkit.tasks.compressible import images_of, images_of_any_size, naming_tiles
from pixkit.tasks.drawer import Images
from pixkit.tasks.image_labels import Labels, labels_of
from pixkit.tasks.shared_codec import SharedCodec

MOST = 1 << 32
"""The largest codec file, in bytes."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False)
class Compressed(Shown):
    """The result of `compress`.

    Attributes:
        out: the compressed file.
        images: the number of images in it.
        size: its size in bytes.
        codec: the codec file, which decoding needs.
        spec: the spec of the images, or of their tiles.
        changed: files whose pixels differ from those stored, because they were converted to what the model takes.
        dims: sub-pixels of all images.
    """

    out: Path
    images: int
    size: int
    codec: Path
    spec: ImageSpec
    changed: list[str]
    dims: int

    @property
    def bits_per_dim(self) -> float:
        """Bits in the file per sub-pixel."""
        return 8 * self.size / max(self.dims, 1)

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "out": str(self.out),
            "images": self.images,
            "bytes": self.size,
            "bits_per_dim": self.bits_per_dim,
            "codec": str(self.codec),
            "codec_bytes": self.codec.stat().st_size,
            "changed": self.changed,
        }


def codec_of(model: Model) -> Codec:
    """The codec that encodes and decodes images with a model.

        codec = codec_of(pixkit.load("runs/mnist", device="cpu"))
        data = codec.encode(x)  # bytes, of levels [N, C, H, W]
        codec.decode(data)      # int64 [N, C, H, W]; on any machine that has codec.content
        codec.decode(data, images=range(100, 164))

    Images of a model with labels are encoded with their labels, `codec.encode(x, labels=y)`; images of other sizes than
    the model's as tiles, `codec.encode([x, y], tiles=True)`.

    Raises:
        UsageError: if there is no codec for such models.
    """
    if not isinstance(model, AutoregressiveModel) or type(model).draw is not AutoregressiveModel.draw:
        raise UsageError(
            "there is no codec for such a model",
            found=type(model).__name__,
            expected="one network with exact likelihoods: model.type autoregressive",
        )
    if model.several is not None:
        raise UsageError(
            "there is no codec for such a model",
            found="a list of conditions, which files would have to have beside each image",
            expected="no context, or {type: label}",
        )
    if model.spec.palette is not None:
        raise UsageError("there is no codec for such a model", found="tokens of a palette", expected="images of levels")
    labels = model.classes + model.guidable if model.labelled and model.classes else 0
    return Codec.from_bytes(freeze(model.network, labels).to_bytes(), "the codec file of such a model")


def compress(
    run: Run | str | Path,
    images: Images | Sequence[Tensor],
    out: str | Path,
    *,
    labels: Labels | None = None,
    tiles: bool = False,
    checkpoint: str = "best",
    weights: str = "ema",
    verify: bool = True,
    progress: Progress | None = None,
    loading: Loading | None = None,
    ranks: Ranks = ALONE,
) -> Compressed:
    """Write images to a file from which `decompress` restores them bit by bit, on any machine.

        found = pixkit.compress("runs/mnist", ["test:0", "test:1"], "digits.pxk")
        pixkit.decompress("digits.pxk", run="runs/mnist").images

    Restored images are as the model sees them: in its size and its levels. Files are first converted like the run's
    data, by cropping, fewer levels or a threshold; a RuntimeWarning lists those that lose something by it. With `tiles`
    images keep their sizes: they are cut into tiles of the model's size, which suits models that were trained on crops.
    `pixkit.codec.tiles` says what it costs. The run gets a codec file, codec-HASH.safetensors, which decoding needs,
    and which builds never remove; for a read-only run of the zoo, it goes to the folder of `out`.

    Args:
        run: the run, its folder, or zoo:NAME.
        images: levels, int64 [N, C, H, W], or by name, as `complete` takes them; with `tiles` also tensors [C, H, W].
        out: the file; an existing file is replaced only if it is a compressed one.
        labels: the images' classes, if the model takes labels: numbers or names, one each or one for all; or a file of
            numbers, .npy or .npz. By default, images of the run's data have their own, and others have none if the
            model supports that. They are stored in the file.
        tiles: cut images of any size into tiles.
        checkpoint: best, last or step-N.
        weights: ema or raw.
        verify: decode each block before it is written.
        progress: called as progress(done, total), in images, or in tiles.
        loading: told of the reading of the run's data.
        ranks: the processes that compress together, each some blocks; all have to pass the same arguments. Rank 0
            writes the file.

    Raises:
        UsageError: if there is no codec for the run's model, there are no images, or they need labels.
        DataError: if images cannot be read or do not fit.
        RankError: if another rank fails or has other images.
        RunError: if something cannot be written, or another file is in its place.
        WrongArithmetic: if this machine's arithmetic does not match that of compressed files.
    """
    opened = run if isinstance(run, Run) else Run.open(Path(run))
    target = _require_own(require_file(out))
    model = load(opened, device="cpu", dtype=torch.float32, checkpoint=checkpoint, weights=weights)
    codec = codec_of(model)
    changed: list[str] = []
    names: list[str]
    found: Tensor | Sequence[Tensor]
    loading = None if loading is None else ranks.telling(loading)
    with ranks.first_before_others():
        if tiles:
            names, found = images_of_any_size(images, model.spec, opened, loading, changed=changed)
        else:
            with naming_tiles():
                names, found = images_of(images, model.spec, opened, loading, changed=changed)
    if changed and ranks.first:
        brought = "levels" if tiles else "size (which tiles=True, or --tiles, leaves alone), the levels"
        warnings.warn(
            f"images that are not restored as in their files, since they were converted to the {brought} "
            f"or the colours that the model takes: {len(changed)} of {len(found)}, {listed(changed)}",
            RuntimeWarning,
            stacklevel=2,
        )
    classes = labels_of(model, names, len(found), labels, opened, loading=loading)
    kept = codec_home(opened, target) / name_of(codec.sha)
    if ranks.first and RunFile(kept, MOST).content_if_any() != codec.content:  # missing, or damaged since
        with opened.writing(kept) if kept.parent == opened.path else saving(kept), replacing(kept) as temporary:
            temporary.write_bytes(codec.content)
    own = None if classes is None else classes.numpy()
    pixels = found.numpy() if isinstance(found, Tensor) else [image.numpy() for image in found]
    given: dict[str, Any] = {"labels": own, "tiles": tiles, "verify": verify}
    if not ranks.first:
        SharedCodec(codec, ranks).write(BytesIO(), pixels, names, progress, **given)
    else:
        shared = codec if ranks.alone else SharedCodec(codec, ranks)
        with saving(target), replacing(target) as temporary, open(temporary, "wb") as file:
            shared.write(file, pixels, names, progress, **given)
    ranks.wait()
    dims = sum(image.numel() for image in found)
    return Compressed(target, len(found), target.stat().st_size, kept, model.spec, changed, dims)


def codec_home(run: Run, compressed: Path) -> Path:
    """The folder of the codec file: the run or, for a read-only run of the zoo, that of the compressed file."""
    return compressed.parent if is_kept_in_zoo(run.path) else run.path


def _require_own(target: Path) -> Path:
    """Return the path, unless there is a file that is not a compressed one: perhaps an image to be compressed.

    Raises:
        RunError: if there is.
    """
    with saving(target), suppress(FileNotFoundError), open_regular(target) as file:
        if file.read(len(MAGIC)) not in (MAGIC, b""):
            raise RunError(
                "another file is there",
                where=str(target),
                found="not a compressed file",
                hint="name a new one: FILE.pxk",
            )
    return target


def name_of(sha: str) -> str:
    """The codec file's name, by its SHA-256 or the start of it."""
    return f"codec-{sha[:32]}.safetensors"
