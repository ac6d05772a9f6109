"""`pixkit compress` and `decompress`, from the command line and from Python."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import pixkit
from pixkit.cli.main import main
from pixkit.codec.portable import PortableWalk
from pixkit.errors import DataError, UsageError
from pixkit.runs.places import clear
from pixkit.tasks import codec_of, read_images

LEGACY = Path(__file__).resolve().parents[1] / "legacy" / "runs" / "digits-tiny"
IMAGES = ["test:0", "test:1", "test:1"]

pytestmark = pytest.mark.needs_compiler


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Path(shutil.copytree(LEGACY, tmp_path_factory.mktemp("run") / "tiny"))


@pytest.fixture
def file(run, tmp_path):
    pixkit.compress(run, IMAGES, tmp_path / "some.pxk")
    return tmp_path / "some.pxk"


def test_the_images_come_back_bit_by_bit(run, tmp_path, capsys):
    file = tmp_path / "some.pxk"
    assert main(["compress", str(run), *IMAGES, "-o", str(file), "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["images"], said["bytes"]) == (3, file.stat().st_size)
    assert said["bits_per_dim"] == pytest.approx(8 * said["bytes"] / (3 * 64))
    assert main(["decompress", str(file), "--run", str(run), "-o", str(tmp_path / "back"), "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == IMAGES
    model = pixkit.load(run)
    expected = read_images(IMAGES, model.spec, pixkit.Run.open(run))
    assert torch.equal(read_images([tmp_path / "back"], model.spec), expected)
    assert main(["decompress", str(file), "--codec", said["codec"], "-o", str(tmp_path / "back.npz"), "-q"]) == 0
    assert torch.equal(read_images([tmp_path / "back.npz"], model.spec), expected)
    assert (codec_of(model).decode(file.read_bytes()) == expected.numpy()).all()
    assert torch.equal(pixkit.decompress(file, run=run).images, expected)


def test_files_outlive_the_checkpoint_and_need_no_model(run, file, tmp_path):
    (codec,) = run.glob("codec-*.safetensors")
    again = tmp_path / "again"
    shutil.copytree(run, again)
    clear(again)  # as --overwrite does
    assert not (again / "checkpoints").exists()
    assert pixkit.decompress(file, codec=again / codec.name).names == IMAGES
    with pytest.raises(DataError, match="codec file"):
        pixkit.decompress(file)
    shutil.copy(codec, tmp_path)
    assert pixkit.decompress(file).names == IMAGES


def test_what_is_damaged_is_refused_and_nothing_is_written(run, file, tmp_path, capsys):
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert main(["decompress", str(file), "--run", str(run), "-o", str(tmp_path / "back")]) == 3
    assert "some.pxk" in capsys.readouterr().err
    assert not (tmp_path / "back").exists()
    (codec,) = run.glob("codec-*.safetensors")
    broken = tmp_path / "codec.safetensors"
    broken.write_bytes(codec.read_bytes()[:-1])
    file.write_bytes(content)
    assert main(["decompress", str(file), "--codec", str(broken), "-o", str(tmp_path / "back")]) == 3
    whole = codec.read_bytes()
    codec.write_bytes(whole[:-1])
    assert main(["compress", str(run), *IMAGES, "-o", str(file), "-q"]) == 0
    assert codec.read_bytes() == whole
    assert main(["decompress", str(tmp_path / "absent"), "-o", str(tmp_path / "back")]) == 3


def test_numpy_decodes_what_the_kernel_encoded(run, file, monkeypatch):
    found = pixkit.decompress(file, run=run)
    monkeypatch.setattr("pixkit.codec.codec._quickest", lambda: PortableWalk)
    assert torch.equal(pixkit.decompress(file, run=run).images, found.images)


def test_models_without_a_codec_are_refused(run, monkeypatch):
    model = pixkit.build_model(
        {"type": "autoregressive", "backbone": {"type": "pixelcnn"}, "context": {"type": "label"}}, (1, 4, 4, 9, 3)
    )
    with pytest.raises(UsageError, match="a label"):
        codec_of(model)
    latent = {"type": "pixelvae", "backbone": {"type": "pixelcnn"}, "latent": 2}
    with pytest.raises(UsageError, match="no codec"):
        codec_of(pixkit.build_model(latent, (1, 8, 8, 9)))
