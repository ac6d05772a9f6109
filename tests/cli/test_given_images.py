"""IMAGE arguments of commands: files as the run's data are, several of them, folders and arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixkit as kit

RECIPE = """\
pixkit: 1
name: photos
data: {source: images, path: all, size: [6, 5], channels: 1, binarise: threshold, threshold: 0.45, test_path: held}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 2, batch_size: 4, eval_every: 2, checkpoint_every: 2}
sample: {count: 2}
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """One build serves all; tests only read it."""
    home = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for folder, count in (("all", 12), ("held", 3)):
            Path(folder).mkdir()
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (7, 8, 3), dtype=np.uint8)).save(Path(folder, f"{number}.png"))
        Path("photos.yaml").write_text(RECIPE)
        kit.build("photos.yaml")
    return home


@pytest.fixture
def there(photos, monkeypatch):
    monkeypatch.chdir(photos)
    return Path("runs/photos")


def told(pixkit, *arguments):
    outcome = pixkit(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_a_file_is_what_it_would_be_in_the_runs_data(pixkit, there, tmp_path):
    files, data = (
        told(pixkit, "complete", there, *map(name.format, range(3)), "--keep-top", 2, "-n", 1)["completions"]
        for name in ("held/{}.png", "test:{}")
    )
    assert [each["nats"] for each in files] == [each["nats"] for each in data]
    assert files[0]["image"] == "held/0.png" and len({each["nats"] for each in data}) == 3


def test_several_files_and_folders_at_once(pixkit, there, tmp_path):
    out = tmp_path / "x.npz"
    found = told(pixkit, "complete", there, "test:1", "held", "held/2.png", "--keep-top", 2, "-n", 2, "-o", out)
    rows = found["completions"]
    assert [row["image"] for row in rows] == ["test:1", "held/0.png", "held/1.png", "held/2.png", "held/2.png"]
    assert [row["out"] for row in rows] == [str(tmp_path / f"x-{number}.npz") for number in range(5)]
    assert rows[0]["nats"] == rows[2]["nats"] and rows[3]["nats"] == rows[4]["nats"]
    alone = told(pixkit, "complete", there, "held/0.png", "--keep-top", 2, "-n", 2, "-o", out)
    assert alone.items() >= {**rows[1], "out": str(out)}.items()
    samples = [np.load(tmp_path / name)["samples"] for name in ("x.npz", "x-1.npz")]
    assert np.array_equal(*samples)
    words = pixkit("complete", there, "held", "--keep-top", 2, "-n", 1, "-o", tmp_path / "y.png")
    assert words.code == 0 and words.out.count("true content") == 3 and "held/2.png" in words.out
    assert sorted(path.name for path in tmp_path.glob("y*.png")) == ["y-0.png", "y-1.png", "y-2.png"]


def test_what_a_command_writes_another_reads(pixkit, there, tmp_path):
    for out in ("drawn", "drawn.npz"):
        assert pixkit("sample", there, "-n", 3, "-o", tmp_path / out).code == 0
    arrays = np.load(tmp_path / "drawn.npz")["samples"]
    for given in ("drawn", "drawn.npz"):
        found = told(pixkit, "complete", there, tmp_path / given, "--keep-top", 2, "-n", 1, "-o", tmp_path / "z.npz")
        for number in range(3):
            assert np.array_equal(np.load(tmp_path / f"z-{number}.npz")["original"], arrays[number])
        assert len(found["completions"]) == 3
    again = told(
        pixkit, "complete", there, "held/0.png", "--mask", tmp_path / "z-0.npz", "-n", 1, "-o", tmp_path / "w.npz"
    )
    assert again["missing"] == 20


def test_each_of_several_images_is_gone_on_with(pixkit, there, tmp_path):
    outcome = pixkit("sample", there, "--given", "held", "--rows", 2, "-n", 4, "-o", tmp_path / "x.npz")
    assert outcome.code == 0, outcome.err
    drawn = np.load(tmp_path / "x.npz")["samples"]
    assert drawn.shape == (12, 1, 6, 5)
    names = [f"test:{number}" for number in range(3)]
    told(pixkit, "complete", there, *names, "--keep-top", 2, "-n", 1, "-o", tmp_path / "y.npz")
    for number in range(3):
        rows = np.load(tmp_path / f"y-{number}.npz")["original"][:, :2]
        assert (drawn[4 * number : 4 * number + 4, :, :2] == rows).all()


def test_masks_of_0_and_1(pixkit, there, tmp_path):
    mask = np.zeros((6, 5), np.uint8)
    mask[2:] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    painted = told(pixkit, "complete", there, "test:0", "--mask", tmp_path / "mask.png", "-n", 1)
    assert painted == told(pixkit, "complete", there, "test:0", "--keep-top", 2, "-n", 1)
    Image.fromarray(mask * 7).save(tmp_path / "dark.png")
    outcome = pixkit("complete", there, "test:0", "--mask", tmp_path / "dark.png", "-n", 1, "-o", tmp_path / "x.png")
    assert outcome.code == 3 and "128..255" in outcome.err and "values 0..7" in outcome.err
