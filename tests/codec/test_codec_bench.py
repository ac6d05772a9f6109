"""What is said of general codecs is what their files have; never how fast anything is."""

import io
import json
import lzma
import math
import shutil
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.cli.commands import bench_compress
from pixkit.cli.main import main
from pixkit.codec.codec import Codec
from pixkit.errors import UsageError
from pixkit.tasks import codec_bench, codec_of, general_codecs
from pixkit.tasks.codec_bench import CodecTimes, bench_codec
from pixkit.tasks.general_codecs import GeneralRow, general_sizes
from pixkit.tasks.networks import build_model
from pixkit.testing.parts import random_images, randomise

LEGACY = Path(__file__).resolve().parents[1] / "legacy" / "runs" / "digits-tiny"


def test_each_general_codec_is_told_in_its_smallest_layout():
    images = np.random.default_rng(0).integers(2, size=(5, 1, 8, 6))
    rows, left_out = general_sizes(images, 2)
    found = {row.name: row for row in rows}
    assert list(found) == ["PNG", "WebP", "Group 4", "JPEG XL", "JPEG-LS", "xz"] and not left_out
    assert found["xz"].size == len(lzma.compress(np.packbits(images.astype(bool)), preset=9 | lzma.PRESET_EXTREME))
    file = io.BytesIO()
    mosaic = np.zeros((6, 1, 8, 6), np.uint8)
    mosaic[:5] = images * 255
    picture = mosaic.reshape(2, 3, 8, 6).swapaxes(1, 2).reshape(16, 18)
    Image.fromarray(picture).convert("1").save(file, "PNG", optimize=True)
    assert found["PNG"] == ("PNG", "mosaic", len(file.getvalue()))
    tall = imagecodecs.jpegls_encode(images.reshape(-1, 6).astype(np.uint8))
    assert found["JPEG-LS"] == ("JPEG-LS", "tall", len(tall))
    assert general_sizes(images[:1], 2)[0][0].layout == "each"


@pytest.mark.parametrize(("channels", "levels"), [(1, 1000), (3, 17), (3, 1000), (2, 17)])
def test_what_a_codec_cannot_take_is_left_out_with_the_reason(channels, levels):
    images = np.arange(4 * channels * 30).reshape(4, channels, 5, 6) * 7 % levels
    rows, left_out = general_sizes(images, levels)
    reasons = {"Group 4": "two levels", "WebP": "256 levels"} if levels > 256 else {"Group 4": "two levels"}
    reasons |= {"PNG": "16 bits"} if (channels, levels) == (3, 1000) else {}
    if channels == 2:
        reasons = dict.fromkeys(["PNG", "WebP", "Group 4", "JPEG XL", "JPEG-LS"], "2 channels")
    assert left_out.keys() == reasons.keys() and all(reasons[name] in text for name, text in left_out.items())
    assert len(rows) + len(left_out) == 6


def test_a_codec_that_is_not_installed_fails_or_loses_something_leaves_the_others(monkeypatch):
    images = np.random.default_rng(0).integers(2, size=(2, 1, 8, 6))
    lossy = general_codecs.General("lossy", lambda picture, levels: b"", lambda content: np.zeros((8, 6)))
    failing = general_codecs.General("failing", lambda picture, levels: 1 // 0, bytes)
    monkeypatch.setattr(general_codecs, "CODECS", (lossy, failing, *general_codecs.CODECS))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    told = []
    rows, left_out = general_sizes(images, 2, told.append)
    assert [row.name for row in rows] == ["PNG", "WebP", "Group 4", "xz"]
    assert told == ["lossy", "failing", "PNG", "WebP", "Group 4", "JPEG XL", "JPEG-LS", "xz"]
    assert left_out["lossy"] == "it restores other images"
    assert left_out["failing"].startswith("each: ZeroDivisionError: integer")
    assert "pip install 'pixkit-models[jxl]'" in left_out["JPEG XL"] == left_out["JPEG-LS"]


@pytest.mark.needs_compiler
def test_the_command_tells_the_models_bytes_and_the_others(tmp_path, capsys, monkeypatch):
    run = shutil.copytree(LEGACY, tmp_path / "tiny")
    assert main(["bench", "compress", str(run), "test:0", "test:1", "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["overhead"] == pytest.approx(said["size"] / said["ideal"] - 1)
    assert 0 < said["ideal"] < said["words"] + 1 < said["size"] - 40
    assert said["size"] < said["ideal"] + 100
    assert [row["name"] for row in said["general"]] == ["PNG", "WebP", "JPEG XL", "JPEG-LS", "xz"]
    assert list(said["left_out"]) == ["Group 4"]
    rows = [GeneralRow("PNG", "tall", 200), GeneralRow("JPEG XL", "mosaic", 160)]
    shown = CodecTimes(4, 120, 101, 100.0, 5000, 2.0, 0.5, rows, {"JPEG-LS": "no"})
    monkeypatch.setattr(bench_compress, "bench_codec", lambda *given, **named: shown)
    assert main(["bench", "compress", str(run), "test:0", "-q"]) == 0
    lines = [
        "CODEC                 LAYOUT  BYTES  AN IMAGE",
        "the model's nats              100    25.00",
        "pixkit's range coder  blocks  101    25.25",
        "pixkit's file         blocks  120    30.00",
        "PNG                   tall    200    50.00",
        "JPEG XL               mosaic  160    40.00",
        "",
        "JPEG-LS is left out: no",
        "4 images: 0.750 of JPEG XL, 20.00% above the nats",
        "the model, which is needed once in addition: a codec file of 5000 bytes",
        "2 images/s encoded, 8 decoded",
    ]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.needs_compiler
def test_the_models_nats_are_those_of_all_images_given_their_labels(monkeypatch):
    """Whatever the batches in which they are scored."""
    described = {"type": "autoregressive", "backbone": {"type": "pixelcnn", "width": 4, "layers": 1}}
    model = build_model({**described, "context": {"type": "label", "dropout": 0.5}}, (1, 8, 8, 17), classes=3).eval()
    randomise(model.network, 0)
    monkeypatch.setattr(codec_bench, "load", lambda *given, **named: model)
    monkeypatch.setattr(codec_bench, "general_sizes", lambda images, levels, told: ([], {"PNG": "left out"}))
    monkeypatch.setattr(codec_bench, "BATCH", 2)
    x, told, encoded, encode = random_images(model.spec, 5), [], [], Codec.encode

    def noted(own, images, *, labels, **named):
        encoded.append(labels.tolist())
        return encode(own, images, labels=labels, **named)

    monkeypatch.setattr(Codec, "encode", noted)
    found = bench_codec(LEGACY, x, labels=[2, 0, 1, 2, 0], loading=lambda *said: told.append(said))
    nats = -model.network.log_prob(x, torch.tensor([2, 0, 1, 2, 0])).detach().sum()
    assert found.ideal == pytest.approx(float(nats) / math.log(2) / 8, rel=1e-5)
    assert encoded == [[2], [2, 0, 1, 2, 0]]
    assert told[:3] == [("scoring", start, 5) for start in (0, 2, 4)]
    assert (found.images, found.codec_size) == (5, len(codec_of(model).content))
    assert 0 < found.words < found.size - 40 < found.words + 20
    assert (found.general, found.left_out) == ([], {"PNG": "left out"})
    assert min(found.encode_seconds, found.decode_seconds) > 0


def test_images_that_are_none_are_refused():
    with pytest.raises(UsageError, match="no images"):
        bench_codec(LEGACY, torch.zeros(0, 1, 8, 8, dtype=torch.int64))
