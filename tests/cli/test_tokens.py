"""A run of tokens from the recipe to pictures: its palette is kept, its scores say what they are of."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

import pixkit as kit
from pixkit.data import Images
from pixkit.errors import RunError
from pixkit.runs.load import load_data
from pixkit.runs.run import Run
from pixkit.tasks import read_images

RECIPE = """\
pixkit: 1
name: tokens
data: {source: images, path: all, test_path: held, palette: 5}
model:
  type: autoregressive
  input: {type: embedded, size: 4}
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 4, batch_size: 4, eval_every: 2, checkpoint_every: 2, precision: fp32, memory_format: contiguous}
sample: {count: 4}
"""
SHAPE = (6, 5)

pytestmark = pytest.mark.filterwarnings("ignore:colours were moved:RuntimeWarning")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """One build serves all; tests only read it."""
    home = tmp_path_factory.mktemp("tokens")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for folder, count in (("all", 12), ("held", 3)):
            Path(folder).mkdir()
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).save(Path(folder, f"{number}.png"))
        Path("tokens.yaml").write_text(RECIPE)
        kit.build("tokens.yaml")
    return home


@pytest.fixture
def there(tokens, monkeypatch):
    monkeypatch.chdir(tokens)
    return Path("runs/tokens")


@pytest.fixture
def copy(tokens, tmp_path, monkeypatch):
    """A copy of the run alone, without its data."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tokens / "runs/tokens", "run")
    return Path("run")


def colours_of(run):
    return set(map(tuple, Run.open(run).spec.palette.array().tolist()))


def seen(path):
    return set(map(tuple, np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3).tolist()))


def test_scores_are_of_tokens_wherever_they_stand(pixkit, there, tmp_path):
    spoken = [
        pixkit("eval", there).out,
        pixkit("ls", "runs").out,
        pixkit("show", "run", there).out,
        pixkit("complete", there, "test:0", "--keep-top", 2, "-n", 1, "-o", tmp_path / "x.png").out,
        pixkit("build", "tokens.yaml", "--dry-run").out,
    ]
    assert "bits/dim" not in "".join(spoken).lower() and "bits_per_dim" not in "".join(spoken)
    assert "BITS/TOKEN" in spoken[0] and "scores are of tokens" in spoken[0]
    assert "bits/token" in spoken[1] and "BITS/TOKEN" in spoken[2] and "bits/token, given" in spoken[3]


def test_the_same_in_what_programs_read(pixkit, there):
    score = json.loads(pixkit("eval", there, "--json").out)
    nats = score["nats"]
    assert score["bits_per_dim"] is None and score["bits_per_token"] == pytest.approx(nats / 30 / np.log(2))
    palette = Run.open(there).spec.palette
    assert score["palette"]["colours"] == 5 and score["palette"]["sha256"] == palette.digest
    assert 10 < score["palette"]["moved"] < 128
    rows = json.loads((there / "scores.json").read_text())
    assert all(row["bits_per_dim"] is None and row["bits_per_token"] > 0 for row in rows["scores"])
    assert any("scores are of tokens" in note for note in rows["notes"])
    logged = [json.loads(line) for line in (there / "metrics.jsonl").read_text().splitlines()]
    assert logged and all("bits_per_dim" not in key for row in logged for key in row)
    assert all("bits_per_token" in row for row in logged)
    found = json.loads(pixkit("complete", there, "test:0", "--keep-top", 2, "-n", 1, "--json").out)
    assert "bits_per_dim" not in found and found["bits_per_token"] == pytest.approx(found["nats"] / 20 / np.log(2))


def test_scores_in_python(there):
    scores = kit.evaluate(there)
    assert np.isnan(scores.bits_per_dim) and scores.figures["bits_per_token"] == scores.bits_per_token > 0
    found = kit.complete(there, "test:0", lambda spec: torch.zeros(spec.shape, dtype=torch.bool), 1)
    assert found.bits_per_dim is None and found.bits == pytest.approx(found.nats / 30 / np.log(2))


def test_what_is_drawn_is_in_the_palettes_colours(pixkit, there, tmp_path):
    colours, lines = colours_of(there), {(96, 96, 96)}
    assert len(colours) == 5
    assert pixkit("sample", there, "-n", 9, "-o", tmp_path / "grid.png").code == 0
    assert pixkit("sample", there, "-n", 3, "-o", tmp_path / "out").code == 0
    assert seen(tmp_path / "grid.png") <= colours | lines and len(seen(tmp_path / "grid.png")) > 3
    assert seen(there / "samples/best.png") <= colours | lines
    assert all(seen(path) <= colours for path in (tmp_path / "out").iterdir())
    model = kit.load(there)
    x = model.sample(3, seed=0)
    pictures = kit.figures.in_colour(x, model.spec)
    written = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").iterdir())]
    assert (pictures == np.stack(written)).all()
    assert pixkit("complete", there, "test:0", "--keep-top", 2, "-o", tmp_path / "c.png").code == 0
    assert len(seen(tmp_path / "c.png") & colours) > 3
    with np.load(there / "samples/best.npz") as arrays:
        assert set(map(tuple, arrays["palette"].tolist())) == colours and arrays["samples"].shape == (4, 1, *SHAPE)


def test_a_file_is_what_it_would_be_in_the_runs_data_and_how_far_colours_moved_is_said(pixkit, there):
    nats, moved = [], []
    for name in ("held/1.png", "test:1"):
        with pytest.warns(RuntimeWarning, match=f"nearest of 5, by levels RMS: {name} ") as caught:
            nats.append(json.loads(pixkit("complete", there, name, "--keep-top", 2, "-n", 1, "--json").out)["nats"])
        moved.append(float(str(caught[0].message).split()[-1]))
    assert nats[0] == nats[1] and moved[0] == moved[1] > 10


def test_what_is_known_of_a_split_alone_is_not_said_of_an_image(there, monkeypatch):
    monkeypatch.setattr(Images, "outline", lambda self, spec: None)
    run = Run.open(there)
    rms = load_data(run).part("test").moved
    with pytest.warns(RuntimeWarning, match=f"by levels RMS: all of test {rms:.2f}$"):
        read_images(["test:0", "test:1"], run.spec, run)


def test_a_run_does_without_the_data_that_its_palette_is_of(pixkit, copy, tokens, tmp_path):
    picture = tokens / "held/0.png"
    assert pixkit("sample", copy, "-n", 2, "-o", tmp_path / "x.png").code == 0
    assert pixkit("complete", copy, picture, "--keep-top", 2, "-n", 1, "-o", tmp_path / "c.png").code == 0
    assert kit.load(copy).spec == Run.open(tokens / "runs/tokens").spec


def test_other_images_become_tokens_of_the_runs_palette(pixkit, copy, tokens):
    """Not of one of their own, which `data.palette` in the recipe would make of them."""
    here = json.loads(pixkit("eval", copy, f"data.path={tokens}/held", f"data.test_path={tokens}/held", "--json").out)
    there = json.loads(pixkit("eval", tokens / "runs/tokens", "--json").out)
    assert (here["nats"], here["palette"]) == (there["nats"], there["palette"])
    outcome = pixkit("eval", copy, "data.palette=3")
    assert outcome.code == 2 and "a run keeps its palette" in outcome.err
    again = pixkit("eval", copy, f"data.palette={copy}/palette.safetensors", f"data.path={tokens}/held", "--json")
    assert json.loads(again.out)["palette"]["sha256"] == there["palette"]["sha256"], "the same by another name"
    save_file({"colours": load_file(copy / "palette.safetensors")["colours"][::-1].copy()}, copy / "other.safetensors")
    outcome = pixkit("eval", copy, f"data.palette={copy}/other.safetensors", f"data.path={tokens}/held")
    assert outcome.code == 2 and "a run keeps its palette" in outcome.err
    outcome = pixkit("eval", copy, "data.source=digits")
    assert outcome.code == 2 and "a palette needs colours" in outcome.err


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "empty", "fewer"])
def test_a_damaged_palette_is_named(pixkit, copy, damage):
    path = copy / "palette.safetensors"
    content = path.read_bytes()
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(content[:-2])
        case "other":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "empty":
            path.write_bytes(b"")
        case "fewer":
            lock = copy / "recipe.lock.yaml"
            lock.write_text(lock.read_text().replace("levels: 5\n", "levels: 4\n"))
    for arguments in (("sample", copy, "-n", 1, "-o", "x.png"), ("eval", copy)):
        outcome = pixkit(*arguments)
        assert outcome.code == 2 and "palette.safetensors: cannot be read" in outcome.err
        assert ("expected: safetensors with the array colours" in outcome.err) == (damage in ("cut", "empty"))
    with pytest.raises(RunError, match="cannot be read"):
        kit.load(copy)


def test_a_run_goes_on_with_its_palette(pixkit, tokens, tmp_path, monkeypatch):
    """Not with one that is made anew: what a version makes of colours may change."""
    monkeypatch.chdir(tokens)
    shutil.copytree("runs/tokens", tmp_path / "run")
    before = (tmp_path / "run/palette.safetensors").read_bytes()
    monkeypatch.setattr("pixkit.data.palette.cluster", lambda *_: pytest.fail("colours are clustered again"))
    assert pixkit("build", tmp_path / "run", "--resume", "train.steps=6").code == 0
    assert (tmp_path / "run/palette.safetensors").read_bytes() == before


def test_a_build_that_was_killed_before_its_lock_leaves_room_for_another(pixkit, there, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(there / "palette.safetensors", run)
    assert pixkit("build", "tokens.yaml", "-o", run, "train.steps=2").code == 0
    assert pixkit("build", "tokens.yaml", "-o", run, "data.palette=null", "train.steps=2", "--overwrite").code == 0
    assert "palette.safetensors" not in os.listdir(run)


def test_weights_that_were_learnt_of_other_tokens_are_remarked_on(pixkit, there):
    build = ("build", "tokens.yaml", "--dry-run", f"train.init_from={there}")
    same = pixkit(*build, f"data.palette={there}/palette.safetensors")
    assert same.code == 0 and "init_from" not in same.err
    other = pixkit(*build, "data.split_seed=1")
    assert other.code == 0 and "it was trained on tokens of another palette: data.palette=" in other.err


def test_tokens_as_numbers_are_remarked_on(pixkit, there):
    outcome = pixkit("build", "tokens.yaml", "--dry-run", "model.input={type: scaled}")
    assert outcome.code == 0 and "model.input: tokens enter as numbers" in outcome.err
    assert "tokens enter as numbers" not in pixkit("build", "tokens.yaml", "--dry-run").err


def test_networks_are_examined_without_colours_being_clustered(pixkit, there, monkeypatch):
    monkeypatch.setattr("pixkit.data.palette.cluster", lambda *_: pytest.fail("colours are clustered"))
    found = pixkit("verify", "tokens.yaml")
    assert found.code == 0 and "1x6x5, K = 5," in found.out


def test_an_untrained_model_knows_the_colours_of_its_tokens(there):
    assert kit.build_model("tokens.yaml").spec == Run.open(there).spec
