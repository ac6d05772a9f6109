"""What is said of general codecs is what their files have; never how fast anything is."""

import io
import json
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixkit.cli.main import main
from pixkit.errors import UsageError
from pixkit.tasks.general_codecs import general_sizes

LEGACY = Path(__file__).resolve().parents[1] / "legacy" / "runs" / "digits-tiny"


def test_each_general_codec_is_told_in_its_smaller_layout():
    images = np.random.default_rng(0).integers(2, size=(5, 1, 8, 6))
    found = {row.name: row for row in general_sizes(images, 2)}
    assert found["xz"].size == len(lzma.compress(np.packbits(images.astype(bool)), preset=9 | lzma.PRESET_EXTREME))
    file = io.BytesIO()
    mosaic = np.zeros((6, 1, 8, 6), np.uint8)
    mosaic[:5] = images * 255
    picture = mosaic.reshape(2, 3, 8, 6).swapaxes(1, 2).reshape(16, 18)
    Image.fromarray(picture).convert("1").save(file, "PNG", optimize=True)
    assert found["PNG"] == ("PNG", "mosaic", len(file.getvalue()))
    assert general_sizes(images[:1], 2)[0].layout == "each"
    with pytest.raises(UsageError, match="2 channels"):
        general_sizes(np.repeat(images, 2, 1), 2)


@pytest.mark.needs_compiler
def test_the_command_tells_the_models_bytes_and_the_others(tmp_path, capsys):
    run = shutil.copytree(LEGACY, tmp_path / "tiny")
    assert main(["bench", "compress", str(run), "test:0", "test:1", "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["overhead"] == pytest.approx(said["size"] / said["ideal"] - 1)
    assert 0 < said["ideal"] < said["size"] < said["ideal"] + 100
    assert [row["name"] for row in said["general"]] == ["PNG", "WebP", "xz"]
    assert main(["bench", "compress", str(run), "test:0", "-q"]) == 0
    assert "images/s encoded" in capsys.readouterr().out
