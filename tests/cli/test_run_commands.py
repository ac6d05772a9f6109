"""The commands about runs: sample, eval, ls runs, show run."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixkit as api


def test_sample_writes_a_grid_an_archive_or_a_folder(pixkit, built, workplace):
    assert pixkit("sample", built, "-n", 3, "-o", "grid.png").out == "grid.png\n"
    assert Image.open("grid.png").size[0] > 3 * 8
    assert pixkit("sample", built, "-n", 3, "-o", "three.npz").code == 0
    assert pixkit("sample", built, "-n", 3, "-o", "folder").code == 0
    samples = np.load("three.npz")["samples"]
    assert (samples.shape, samples.dtype) == ((3, 1, 8, 8), np.uint8)
    assert samples.max() < 17
    pictures = sorted(Path("folder").iterdir())
    assert [path.name for path in pictures] == ["00000.png", "00001.png", "00002.png"]
    assert np.array_equal(np.asarray(Image.open(pictures[1])), np.rint(samples[1, 0] * (255 / 16)))


def test_samples_depend_on_seed_and_number_alone(pixkit, built, workplace):
    def draw(*options):
        assert pixkit("sample", built, "-o", "x.npz", *options).code == 0
        return np.load("x.npz")["samples"]

    two = draw()
    assert len(two) == 2
    assert np.array_equal(draw("-n", 4, "--batch-size", 3, "--sampler", "ancestral")[:2], two)
    assert not np.array_equal(draw("--seed", 1), two)
    assert not np.array_equal(draw("--temperature", 0.01), two)
    assert not np.array_equal(draw("--checkpoint", "step-3", "--weights", "raw"), two)


def test_sampling_is_what_the_library_does(pixkit, built, workplace):
    pixkit("sample", built, "-n", 3, "--seed", 5, "-o", "x.npz")
    expected = api.load(built).sample(3, seed=5)
    assert np.array_equal(np.load("x.npz")["samples"], expected.numpy())


@pytest.mark.parametrize(("no_color", "mark"), [("", "\x1b[38;2;"), ("1", "")])
def test_a_terminal_shows_the_images(pixkit, built, workplace, monkeypatch, no_color, mark):
    monkeypatch.setattr("pixkit.cli.commands.sample.is_terminal", lambda stream: True)
    monkeypatch.setattr("click._compat.isatty", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", no_color)
    outcome = pixkit("sample", built, "-n", 2)
    assert outcome.code == 0
    assert mark in outcome.out
    assert ("\x1b" in outcome.out) == bool(mark)
    assert {len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", outcome.out).splitlines()} == {8 + 1 + 8}


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ([], 2, "-o"),
        (["-o", "x.jpeg"], 2, ".png"),
        (["-n", 0, "-o", "x.png"], 2, "-n"),
        (["-o", "full"], 2, "not an empty folder"),
        (["--temperature", 0, "-o", "x.png"], 2, "--temperature"),
        (["--sampler", "ancestrel", "-o", "x.png"], 2, "did you mean 'ancestral'?"),
        (["--checkpoint", "step-5", "-o", "x.png"], 3, "step-6"),
        (["--checkpoint", "../run", "-o", "x.png"], 3, "no such checkpoint"),
    ],
)
def test_what_cannot_be_sampled_says_why(pixkit, built, workplace, options, code, text):
    (workplace / "full").mkdir()
    (workplace / "full" / "file").touch()
    outcome = pixkit("sample", built, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert text in outcome.err
    assert not (workplace / "x.png").exists()


@pytest.mark.parametrize("command", [["sample", "-o", "x.png"], ["eval"], ["show", "run"]])
def test_what_is_no_run_is_exit_code_2(pixkit, workplace, command):
    outcome = pixkit(*command, "absent")
    assert outcome.code == 2
    assert "absent: not a pixkit run" in outcome.err


def test_a_damaged_checkpoint_is_exit_code_3(pixkit, built, workplace):
    run = shutil.copytree(built, workplace / "run")
    for file in run.glob("checkpoints/*/ema.safetensors"):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    outcome = pixkit("sample", run, "-o", "x.png")
    assert outcome.code == 3
    assert "damaged" in outcome.err


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_eval_agrees_with_the_table_of_the_build(pixkit, built, split, weights):
    table = {(row["split"], row["weights"]): row for row in json.loads((built / "scores.json").read_text())["scores"]}
    options = ["--split", split, "--weights", weights]
    found = json.loads(pixkit("eval", built, "--json", *options).out)
    if split != "train":
        assert found["nats"] == pytest.approx(table[split, weights]["nats"], rel=1e-9)
        assert found["images"] == table[split, weights]["images"]
    assert found["data"] == "digits, 17 levels"
    plain = pixkit("eval", built, *options).out
    assert f"{found['bits_per_dim']:.4f}" in plain


def test_eval_takes_overrides_of_the_data_alone(pixkit, built):
    found = json.loads(pixkit("eval", built, "data.limit_test=5", "--json").out)
    assert found["images"] == 5
    refused = pixkit("eval", built, "model.backbone.width=3")
    assert refused.code == 2
    assert "only the data" in refused.err
    other = pixkit("eval", built, "data.levels=4")
    assert other.code == 3
    assert "K = 4" in other.err


def test_ls_runs_lists_scores_and_what_cannot_be_read(pixkit, built, workplace):
    folder = workplace / "runs"
    shutil.copytree(built, folder / "good")
    shutil.copytree(built, folder / "bad")
    (folder / "bad" / "scores.json").write_text("{", encoding="utf-8")
    (folder / "other").mkdir()
    lines = pixkit("ls", "runs").out.splitlines()
    assert len(lines) == 3
    assert "cannot be read" in lines[1]
    assert re.search(r"pixelcnn softmax +digits, 17 levels +6 +test \d\.\d{4} bits/dim .* runs/good$", lines[2])
    assert lines[1].endswith("runs/bad"), "both are called tiny: the path tells one from the other"
    rows = json.loads(pixkit("ls", "runs", folder, "--json").out)
    assert [Path(row["path"]).name for row in rows] == ["bad", "good"]
    assert pixkit("ls", "runs", "absent").code == 2
    assert pixkit("ls", "backbones", "folder").code == 2


def test_show_without_a_kind_names_the_command_with_it(pixkit, built, workplace):
    shutil.copytree(built, workplace / "a run")
    for name, command in (
        ("a run", "show run 'a run'"),
        ("tiny.yaml", "show recipe tiny.yaml"),
        ("digits-gated", "show recipe digits-gated"),
    ):
        outcome = pixkit("show", name)
        assert outcome.code == 2 and f"Did you mean `pixkit {command}`?" in outcome.err
    assert "Did you mean" not in pixkit("show", "nothing").err
    assert "Did you mean 'run'?" in pixkit("show", "rum").err
    assert "Did you mean" not in pixkit("ls", "tiny.yaml").err


def test_show_run(pixkit, built):
    found = json.loads(pixkit("show", "run", built, "--json").out)
    assert found["checkpoints"] == ["step-3", "step-6"]
    assert found["best"] in found["checkpoints"]
    assert found["parameters"] == sum(p.numel() for p in api.load(built).parameters())
    assert len(found["scores"]) == 6
    plain = pixkit("show", "run", built).out
    assert "digits, 17 levels" in plain
    assert "BITS/DIM" in plain


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_bar_on_a_terminal(spawn, built, workplace):
    master, slave = os.openpty()
    process = spawn("sample", built, "-n", 2, "-o", "x.npz", stderr=slave, env={"TERM": "xterm", "COLUMNS": "100"})
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:
        pass
    os.close(master)
    assert process.wait() == 0
    assert b"sampling" in shown
    assert re.search(rb" \d+/64", shown)
    assert b"\r\x1b[2K\x1b[?25h" in shown, "the bar is wiped out, and the cursor is back"
