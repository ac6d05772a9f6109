"""Compare a model's codec with general codecs."""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixkit.codec.container import Reader
from pixkit.data import Progress as Loading
from pixkit.errors import DataError
from pixkit.image import Shown
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.runs.load import load
from pixkit.runs.run import Run
from pixkit.tasks.compress import codec_of
from pixkit.tasks.compressible import images_of
from pixkit.tasks.drawer import Images
from pixkit.tasks.general_codecs import GeneralRow, general_sizes
from pixkit.tasks.image_labels import Labels, labels_of

BATCH = 64
"""Images scored together."""


@dataclass(frozen=True, repr=False)
class CodecTimes(Shown):
    """The result of `bench_codec`.

    Attributes:
        images: their number.
        size: size of the compressed file in bytes.
        words: bytes of it from the range coder; the rest are its header, checksums and lengths.
        ideal: the model's own nats, in bytes.
        codec_size: size in bytes of the codec file, which is needed once in addition.
        encode_seconds, decode_seconds: for all images, without verification.
        general: results of general codecs, each in its best layout.
        left_out: why others are missing, by name.
    """

    images: int
    size: int
    words: int
    ideal: float
    codec_size: int
    encode_seconds: float
    decode_seconds: float
    general: list[GeneralRow]
    left_out: dict[str, str]

    @property
    def overhead(self) -> float:
        """The file's excess over the nats, relative to the nats."""
        return self.size / self.ideal - 1

    @property
    def best(self) -> GeneralRow:
        """The general codec with the smallest result."""
        return min(self.general, key=lambda row: row.size)

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "overhead": self.overhead, "general": [row._asdict() for row in self.general]}


@torch.no_grad()
def bench_codec(
    run: Run | str | Path,
    images: Images,
    *,
    labels: Labels | None = None,
    checkpoint: str = "best",
    weights: str = "ema",
    loading: Loading | None = None,
) -> CodecTimes:
    """Encode and decode images with a run's model, and with general codecs; see `general_sizes`.

    Args:
        run: the run, or its folder.
        images: as `compress` takes them.
        labels: their labels, as `compress` takes them; the nats are given these.
        checkpoint: best, last or step-N.
        weights: ema or raw.
        loading: told of the reading of the run's data, and of the measurements.

    Raises:
        UsageError: if there is no codec for the run's model, or there are no images.
        DataError: if images cannot be read or do not fit.
    """
    opened = run if isinstance(run, Run) else Run.open(Path(run))
    model = load(opened, device="cpu", dtype=torch.float32, checkpoint=checkpoint, weights=weights)
    codec = codec_of(model)
    assert isinstance(model, AutoregressiveModel)
    names, x = images_of(images, model.spec, opened, loading)
    classes = labels_of(model, names, len(x), labels, opened, loading=loading)
    own = None if classes is None else classes.numpy()
    tell = loading or (lambda what, done, total: None)
    general, left_out = general_sizes(x.numpy(), model.spec.levels, lambda name: tell(name, 0, 0))
    nats = 0.0
    for start in range(0, len(x), BATCH):
        tell("scoring", start, len(x))
        given = None if classes is None else classes[start : start + BATCH]
        nats -= float(model.network.log_prob(x[start : start + BATCH], given).double().sum())
    codec.decode(codec.encode(x[:1].numpy(), labels=None if own is None else own[:1]))  # one-time work is not timed
    times = [time.perf_counter()]
    data = codec.encode(x.numpy(), progress=lambda *done: tell("encoding", *done), labels=own, verify=False)
    times.append(time.perf_counter())
    if not np.array_equal(codec.decode(data, lambda *done: tell("decoding", *done)), x.numpy()):
        raise DataError("decoding does not give back what was encoded", hint="another machine or another compiler (CC)")
    times.append(time.perf_counter())
    return CodecTimes(
        images=len(x),
        size=len(data),
        words=sum(4 * len(block.words) for block in Reader(io.BytesIO(data)).blocks()),
        ideal=nats / math.log(2) / 8,
        codec_size=len(codec.content),
        encode_seconds=times[1] - times[0],
        decode_seconds=times[2] - times[1],
        general=general,
        left_out=left_out,
    )
