"""How a model's codec does on images, beside general codecs."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pixkit.data import Progress as Loading
from pixkit.image import Shown
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.runs.load import load
from pixkit.runs.run import Run
from pixkit.tasks.compress import codec_of, images_of
from pixkit.tasks.drawer import Images
from pixkit.tasks.general_codecs import GeneralRow, general_sizes

BATCH = 64
"""Images that are scored together."""


@dataclass(frozen=True, repr=False)
class CodecTimes(Shown):
    """What `bench_codec` gives.

    Attributes:
        images: how many there are.
        size: bytes of the compressed file.
        ideal: bytes that the model's own nats come to.
        codec_size: bytes of the codec file, which is needed once, besides.
        encode_seconds, decode_seconds: of all images, nothing verified.
        general: what general codecs take, each in its best layout.
    """

    images: int
    size: int
    ideal: float
    codec_size: int
    encode_seconds: float
    decode_seconds: float
    general: list[GeneralRow]

    @property
    def overhead(self) -> float:
        """By how much the file is larger than the nats say, of these."""
        return self.size / self.ideal - 1

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "overhead": self.overhead, "general": [row._asdict() for row in self.general]}


@torch.no_grad()
def bench_codec(
    run: Run | str | Path,
    images: Images,
    *,
    checkpoint: str = "best",
    weights: str = "ema",
    loading: Loading | None = None,
) -> CodecTimes:
    """Encode and decode images by a run's model, and by PNG, WebP and xz.

    Args:
        run: the run, or its folder.
        images: as `compress` takes them.
        checkpoint: best, last or step-N.
        weights: ema or raw.
        loading: told of the reading of the run's data.

    Raises:
        UsageError: if there is no codec for the run's model, or general codecs cannot take its images.
        DataError: if images cannot be read or do not fit.
    """
    opened = run if isinstance(run, Run) else Run.open(Path(run))
    model = load(opened, device="cpu", dtype=torch.float32, checkpoint=checkpoint, weights=weights)
    codec = codec_of(model)
    assert isinstance(model, AutoregressiveModel)
    _, x = images_of(images, model.spec, opened, loading)
    general = general_sizes(x.numpy(), model.spec.levels)
    nats = -sum(float(model.network.log_prob(part).double().sum()) for part in x.split(BATCH))
    codec.decode(codec.encode(x[:1].numpy()))  # what is made once is not timed
    times = [time.perf_counter()]
    data = codec.encode(x.numpy(), verify=False)
    times.append(time.perf_counter())
    codec.decode(data)
    times.append(time.perf_counter())
    ideal = nats / math.log(2) / 8
    return CodecTimes(len(x), len(data), ideal, len(codec.content), times[1] - times[0], times[2] - times[1], general)
