"""`pixkit compress` and `decompress`, from the command line and from Python."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from together import Together

import pixkit
from pixkit.cli.main import main
from pixkit.codec import coder as coding
from pixkit.codec.codec import Codec
from pixkit.codec.coder import Coder
from pixkit.codec.part import Part
from pixkit.codec.portable import PortableWalk
from pixkit.data.unchanged import shows
from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.ranks import ALONE
from pixkit.runs.load import load_data
from pixkit.runs.places import clear
from pixkit.tasks import Decompressed, codec_of, read_images, shared_codec
from pixkit.tasks.image_labels import labels_of
from pixkit.tasks.networks import build_model

LEGACY = Path(__file__).resolve().parents[1] / "legacy" / "runs" / "digits-tiny"
IMAGES = ["test:0", "test:1", "test:1"]
LABELLED = {
    "type": "autoregressive",
    "backbone": {"type": "gated_pixelcnn", "width": 4, "layers": 1, "first_kernel": 3},
    "context": {"type": "label", "size": 2},
}

pytestmark = pytest.mark.needs_compiler


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Path(shutil.copytree(LEGACY, tmp_path_factory.mktemp("run") / "tiny"))


@pytest.fixture
def together(tmp_path):
    yield (processes := Together(tmp_path))
    processes.end()


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
    whole = codec.read_bytes()
    broken.write_bytes(whole[:-1])
    file.write_bytes(content)
    capsys.readouterr()
    assert main(["decompress", str(file), "--codec", str(broken), "-o", str(tmp_path / "back")]) == 3
    assert f"expected: {codec.name}" in capsys.readouterr().err  # whatever it says
    assert main(["compress", str(run), *IMAGES, "-o", str(broken)]) == 2
    assert broken.read_bytes() == whole[:-1]
    broken.write_bytes(b"")
    assert main(["compress", str(run), *IMAGES, "-o", str(broken), "-q"]) == 0
    codec.write_bytes(whole[:-1])
    assert main(["compress", str(run), *IMAGES, "-o", str(file), "-q"]) == 0
    assert codec.read_bytes() == whole
    assert main(["decompress", str(tmp_path / "absent"), "-o", str(tmp_path / "back")]) == 3


def test_some_images_and_what_there_is(run, file, tmp_path, capsys):
    expected = pixkit.decompress(file, run=run).images
    some = pixkit.decompress(file, run=run, images=slice(1, None))
    assert torch.equal(some.images, expected[1:])
    assert (some.first, some.names) == (1, IMAGES[1:])
    assert main(["decompress", str(file), "--images", "1:2", "--run", str(run), "-o", str(tmp_path / "one"), "-q"]) == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["00001.png"]
    written = pixkit.decompress(file, tmp_path / "again.npz", run=run)
    assert (written.images, written.count, written.first) == (None, 3, 0)
    with pytest.raises(UsageError, match="without `out`"):
        written.save(tmp_path / "third.npz")
    for wrong, found in ((slice(3, 4), "3:4"), (slice(0, 3, 2), "0:3"), (slice(None, 0), ":0")):
        with pytest.raises(UsageError) as refused:
            pixkit.decompress(file, run=run, images=wrong)
        assert (refused.value.message, refused.value.found) == ("no such images", found)
        assert refused.value.expected == "a part of 0:3"
    capsys.readouterr()
    assert main(["decompress", str(file), "--list", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.items() >= {"images": 3, "shape": [1, 8, 8], "levels": 17, "names": IMAGES, "blocks": [3]}.items()
    assert (run / said["codec"]).exists()
    assert main(["decompress", str(file), "--list"]) == 0
    assert "1  test:1" in capsys.readouterr().out
    assert main(["decompress", str(file), "--run", str(run)]) == 2
    for more in (["-o", str(tmp_path / "listed")], ["--images", "0:1"]):
        assert main(["decompress", str(file), "--list", *more]) == 2
    for name in ("one.png", "all.npy", "one.JPEG"):
        assert main(["decompress", str(file), "--run", str(run), "-o", str(tmp_path / name)]) == 2
        assert not (tmp_path / name).exists()


def test_what_fails_in_the_middle_leaves_nothing(run, file, tmp_path, monkeypatch):
    def broken(codec, reader, images, progress):
        yield from found
        raise DataError("damaged")

    whole = pixkit.decompress(file, run=run)
    found = [Part(0, whole.images.numpy(), None)]
    monkeypatch.setattr(Codec, "read", broken)
    for out in ("folder", "images.npz"):
        with pytest.raises(DataError, match="damaged"):
            pixkit.decompress(file, tmp_path / out, run=run)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_labels_come_from_the_data_a_file_or_a_word(run, tmp_path):
    spec = {"type": "label", "dropout": 0.5}
    model = {"type": "autoregressive", "backbone": {"type": "pixelcnn", "width": 4, "layers": 1}, "context": spec}
    model, opened = pixkit.build_model(model, (1, 8, 8, 17, 10)), pixkit.Run.open(run)
    own = load_data(opened).labels("test")[:2]
    np.save(tmp_path / "some.npy", [3, 4])
    np.savez(tmp_path / "some.npz", x=[1, 2], labels=[5, 6])

    def labels(given, names=("test:0", "test:1")):
        return labels_of(model, names, 2, given, opened).tolist()

    assert labels(None) == own.tolist()
    assert labels(None, ()) == [10, 10]
    assert labels(tmp_path / "some.npy") == [3, 4]
    assert labels(str(tmp_path / "some.npz")) == labels(f"{tmp_path / 'some.npz'}:labels") == [5, 6]
    np.savez(tmp_path / "other.npz", numbers=[7, 8])
    for name, expected in (("some.npz:x", [1, 2]), ("other.npz", [7, 8])):
        assert labels(str(tmp_path / name)) == expected
    assert labels("7") == [7, 7]
    assert labels(torch.tensor([1, 2])) == [1, 2]
    assert labels("none") == [10, 10]
    with pytest.raises(DataError, match="3 labels"):
        labels([1, 2, 3])
    for wrong, found in (([[3, 4]], "not labels"), (np.array([3, 2**63], "u8"), f"found: 3..{2**63}\n")):
        np.save(tmp_path / "some.npy", wrong)
        with pytest.raises(DataError, match=found):
            labels(tmp_path / "some.npy")
    with pytest.raises(UsageError, match="no label"):
        labels_of(pixkit.load(run), (), 2, "7", opened)
    np.savez(tmp_path / "some.npz", x=np.zeros(2), y=np.zeros(2))
    with pytest.raises(DataError, match="x, y"):
        labels(tmp_path / "some.npz")
    model.guidable = False
    with pytest.raises(UsageError, match="class of each image"):
        labels(None, ())


def test_labels_are_written_beside_the_images(tmp_path, monkeypatch):
    images, labels = torch.arange(2 * 9).view(2, 1, 3, 3), torch.tensor([4, 0])
    found = Decompressed(images, 2, 0, [], labels, ImageSpec(1, 3, 3, 18), tmp_path)
    found.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert (arrays["samples"] == images.numpy()).all()
        assert arrays["labels"].tolist() == [4, 0]
    found.save(tmp_path / "x")
    names = ["00000.png", "00001.png", "labels.npy"]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == names
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found.save(".")
    assert sorted(path.name for path in Path.cwd().iterdir()) == names
    assert torch.equal(read_images([tmp_path / "x"], found.spec), images)


def test_what_is_lost_before_is_told(run, tmp_path):
    def written(name, picture):
        Image.fromarray(picture).save(tmp_path / name)
        return str(tmp_path / name)

    two = np.uint8([[0, 255], [255, 0]]).repeat(4, 0).repeat(4, 1)
    same = [written("grey.png", two), written("rgb.png", np.stack([two] * 3, 2))]
    faint = np.full((8, 8), 65535, np.uint16)
    faint[0, 0] = 65530
    clear = np.full((8, 8, 4), 255, np.uint8)
    clear[0, 0, 3] = 7
    lost = [
        written("shade.png", two // 2),
        written("deep.png", faint),
        written("clear.png", clear),
    ]
    np.save(tmp_path / "own.npy", np.full((1, 8, 8), 16))
    assert not pixkit.compress(run, [*same, tmp_path / "own.npy"], tmp_path / "x.pxk").changed
    for tiles in (False, True):
        with pytest.warns(RuntimeWarning, match="3 of 5") as told:
            found = pixkit.compress(run, [*same, *lost], tmp_path / "x.pxk", tiles=tiles)
        assert found.changed == lost
        assert not any("grey" in str(each.message) for each in told)


def test_images_of_any_size_are_tiles(run, tmp_path, capsys):
    generator = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, size in (("a.png", (9, 13)), ("b.png", (9, 13)), ("c.png", (5, 3))):
        Image.fromarray(generator.integers(2, size=size, dtype=np.uint8) * 255).save(tmp_path / "in" / name)
    np.save(tmp_path / "d.npy", generator.integers(17, size=(2, 9, 9)))
    given, file, out = [str(tmp_path / "in"), str(tmp_path / "d.npy"), "test:0"], tmp_path / "x.pxk", tmp_path / "out"
    assert main(["compress", str(run), *given, "--tiles", "-o", str(file), "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    dims = 2 * 9 * 13 + 5 * 3 + 2 * 9 * 9 + 64
    assert (said["images"], said["bits_per_dim"]) == (6, pytest.approx(8 * file.stat().st_size / dims))
    assert main(["decompress", str(file), "--list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    sizes = [[2, 9, 13], [1, 5, 3], [2, 9, 9], [1, 8, 8]]
    assert told.items() >= {"images": 6, "sizes": sizes, "tiles": 18, "blocks": [18], "shape": [1, 8, 8]}.items()
    assert told["bits_per_dim"] == said["bits_per_dim"]
    assert main(["decompress", str(file), "--list"]) == 0
    listing = capsys.readouterr().out
    said = ("1 of up to 18 tiles", "2 of 9 x 13, 1 of 5 x 3, 2 of 9 x 9, 1 of 8 x 8", "5  test:0")
    assert [line in listing for line in said] == [True] * 3
    assert main(["decompress", str(file), "--run", str(run), "-o", str(out), "-q"]) == 0
    again = pixkit.compress(run, [out], tmp_path / "y.pxk", tiles=True)
    assert again.changed == []
    found, expected = (pixkit.decompress(path, run=run) for path in (file, tmp_path / "y.pxk"))
    assert [tuple(image.shape) for image in found.images] == [(1, *size[1:]) for size in sizes for _ in range(size[0])]
    assert all(map(torch.equal, found.images, expected.images))
    assert torch.equal(torch.stack(found.images[3:5])[:, 0], torch.from_numpy(np.load(tmp_path / "d.npy")))
    assert found.images[2].tolist() == (16 * (np.array(Image.open(tmp_path / "in" / "c.png"))[None] > 0)).tolist()

    assert main(["decompress", str(file), "--run", str(run), "-o", str(tmp_path / "x.npz")]) == 2
    assert "-o: images of several sizes" in capsys.readouterr().err
    some = ["decompress", str(file), "--run", str(run), "--images", "3:5", "-o", str(tmp_path / "x.npz"), "-q"]
    assert main(some) == 0
    assert np.load(tmp_path / "x.npz")["samples"].shape == (2, 1, 9, 9)
    some = pixkit.decompress(file, run=run, images=slice(3, 5))
    assert (some.spec.shape, tuple(some.images.shape), found.spec.shape) == ((1, 9, 9), (2, 1, 9, 9), (1, 8, 8))
    with pytest.raises(UsageError, match="several sizes"):
        found.save(tmp_path / "y.npz")
    assert not (tmp_path / "y.npz").exists()
    part = pixkit.decompress(file, run=run, images=slice(1, 3))
    part.save(tmp_path / "part")
    assert [path.name for path in sorted((tmp_path / "part").iterdir())] == ["00001.png", "00002.png"]
    assert (tmp_path / "part" / "00002.png").read_bytes() == (out / "00002.png").read_bytes()

    assert pixkit.compress(run, found.images, file, tiles=True).images == 6
    assert all(map(torch.equal, pixkit.decompress(file, run=run).images, found.images))
    capsys.readouterr()
    for larger in ("in", "d.npy", "out"):
        assert main(["compress", str(run), str(tmp_path / larger), "-o", str(file)]) == 3
        assert "try: --tiles" in capsys.readouterr().err
    with pytest.raises(DataError, match="tiles=True"):
        pixkit.compress(run, found.images[0][None], file)
    for wrong, tiles in ((found.images, False), ([found.images[0], given[0]], True)):
        with pytest.raises(UsageError, match="not a single tensor"):
            pixkit.compress(run, wrong, file, tiles=tiles)


def test_an_image_shows_its_pixels():
    black = np.zeros((4, 2, 2), np.uint16)
    black[3] = 65535
    for channels, count in ((1, 2), (3, 256), (4, 300), (1, 65536)):
        levels = np.zeros((channels, 2, 2), int)
        levels[3:] = count - 1
        assert shows(levels, count, black)
        assert not shows(levels[:, :1], count, black)
        levels[0, 0, 0] = 1
        assert not shows(levels, count, black)
    white = np.full((4, 2, 2), 65535, np.uint16)
    assert shows(np.full((3, 2, 2), 16), 17, white)
    assert not shows(np.full((2, 2, 2), 16), 17, white)


def test_no_images_are_refused(run, tmp_path):
    for none in ([], torch.zeros(0, 1, 8, 8, dtype=torch.int64)):
        with pytest.raises(UsageError, match="no images"):
            pixkit.compress(run, none, tmp_path / "none.pxk")


def test_numpy_decodes_what_the_kernel_encoded_of_images_that_are_no_noise(run, tmp_path, monkeypatch):
    names = [f"{split}:{number}" for split in ("test", "validation") for number in range(32)]
    pixkit.compress(run, names, tmp_path / "digits.pxk", verify=False)
    monkeypatch.setattr("pixkit.codec.codec.quickest", lambda: PortableWalk)
    opened = pixkit.Run.open(run)
    expected = read_images(names, pixkit.load(run).spec, opened)
    assert torch.equal(pixkit.decompress(tmp_path / "digits.pxk", run=opened).images, expected)


def test_models_without_a_codec_are_refused(run, monkeypatch):
    latent = {"type": "pixelvae", "backbone": {"type": "pixelcnn"}, "latent": 2}
    with pytest.raises(UsageError, match="no codec"):
        codec_of(pixkit.build_model(latent, (1, 8, 8, 9)))


def test_several_ranks_write_the_bytes_of_one_process(run, together, tmp_path, monkeypatch):
    for module in coding, shared_codec:
        monkeypatch.setattr(module, "BLOCK", 3000)
        monkeypatch.setattr(module, "TOGETHER", 4)
    noise = torch.randint(17, (44, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    unlike = noise * (torch.arange(44)[:, None, None, None] % 13 < 7)  # blank ones take few bits
    cut = [image[:, :height] for image, height in zip(noise[:16], [8, 3] * 8, strict=True)]
    labelled = codec_of(build_model(LABELLED, (1, 8, 8, 17), classes=2))
    labels, begun, block = np.arange(44) % 2, [], Coder.block

    def noting(self, images, labels=None, first=0):
        begun.append(first)
        return block(self, images, labels, first)

    def work(ranks):
        shared = labelled if ranks.alone else shared_codec.SharedCodec(labelled, ranks)
        data, begins = shared.encode(noise.numpy(), labels=labels, verify=False), [*begun]
        found = [data.hex()]
        for name, images in (("plain", unlike), ("tiles", cut)):
            out = tmp_path / f"{name}-{ranks.size}"
            found.append(pixkit.compress(run, images, out, tiles=images is cut, ranks=ranks).images)
            found.append(out.read_bytes().hex())
        return found, begins

    monkeypatch.setattr(Coder, "block", noting)
    expected, blocks = work(ALONE)
    begun.clear()
    (first, own), (second, others) = together.run(work, 2).values()
    assert [first, second] == [expected] * 2
    assert len(blocks) > 3 and {*blocks} <= {*own, *others}
    assert max(len(own), len(others)) <= len(blocks) // 2 + 1  # of images that are alike few are coded in vain


def test_ranks_refuse_to_compress_other_images_or_labels_and_what_does_not_come_back(together, monkeypatch):
    codec = codec_of(build_model(LABELLED, (1, 8, 8, 17), classes=2))
    monkeypatch.setattr(Coder, "decoded", lambda self, block, together: Part(0, np.ones((1, 1, 8, 8)), None))

    def work(image, label):
        def encode(ranks):
            images = np.full((1, 1, 8, 8), image * ranks.rank)
            shared_codec.SharedCodec(codec, ranks).encode(images, labels=np.full(1, label * ranks.rank))

        return [one.text for one in together.run(encode, 2).values()]

    for image, label in (1, 0), (0, 1):
        assert ["labels and weights: rank 1 is not" in text for text in work(image, label)] == [True] * 2
    assert ["decoding does not give back what was encoded" in text for text in work(0, 0)] == [True] * 2
