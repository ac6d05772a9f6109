"""The commands about runs: sample, eval, ls runs, show run."""

import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixkit as api
from pixkit.cli.runs import in_order


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


@pytest.mark.needs_compiler
def test_weights_are_rounded_if_that_is_asked_for(pixkit, built, workplace):
    outcome = pixkit("sample", built, "-n", 1, "--bfloat16", "-o", "x.npz")
    assert outcome.code == 0 and "weights are rounded to bfloat16: the log-probability" in outcome.err


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
        (["--sampler", "ancestral", "--bfloat16", "-o", "x.png"], 2, "leave out --sampler"),
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
    assert pixkit("ls", "runs").err == "no runs here; pixkit build RECIPE makes one\n"
    assert json.loads(pixkit("ls", "runs", "--json").out) == []
    for name in ("good", "bad", "sweep/seed=1"):
        shutil.copytree(built, folder / name)
    (folder / "bad" / "scores.json").write_text("{", encoding="utf-8")
    lock = folder / "sweep/seed=1/recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    (folder / "other").mkdir()
    (folder / "sweep/seed=1/scores.json").unlink()
    lines = pixkit("ls", "runs").out.splitlines()
    assert lines[0].split() == ["FOLDER", "STATE", "STEPS", "VALIDATION", "IMAGES", "DATE", "DIFFERS"]
    assert re.match(r"runs/bad +damaged +runs/bad/scores.json: cannot be read", lines[1])
    assert re.fullmatch(r"runs/good +done +6/6 +\d\.\d{4} bits/dim +150 +\d\d-\d\d \d\d:\d\d +seed=0", lines[2])
    assert re.match(r"runs/sweep/seed=1 +stopped +6/6 +\d\.\d{4} bits/dim +16 .* seed=1$", lines[3])
    rows = json.loads(pixkit("ls", "runs", folder, "--json").out)
    assert [Path(row["path"]).name for row in rows] == ["bad", "good", "seed=1"]
    final = json.loads((built / "scores.json").read_text())["scores"]
    [score] = [row for row in final if (row["split"], row["weights"]) == ("validation", "ema")]
    found = {"score": score["bits_per_dim"], "unit": "bits_per_dim", "step": int(rows[1]["best"].split("-")[1])}
    assert rows[1]["validation"] == found | {key: score[key] for key in ("kind", "images", "weights", "nats", "stderr")}
    assert pixkit("ls", "runs", "absent").code == 2
    assert pixkit("ls", "backbones", "folder").code == pixkit("ls", "backbones", "--sort", "date").code == 2


def test_ls_runs_sorts(pixkit, built, workplace):
    for age, (name, lr) in enumerate((("r10", 0.5), ("r2", 1e-5), ("r1", 0.25))):
        run = shutil.copytree(built, workplace / "runs" / name)
        lock = run / "recipe.lock.yaml"
        lock.write_text(lock.read_text().replace("lr: 0.001\n", f"lr: {lr}\n"))
        scores = (run / "scores.json").read_text()
        (run / "scores.json").write_text(re.sub(r'("bits_per_dim": )[\d.]+', rf"\g<1>{5 - age}.0", scores))
        for path in run.iterdir():
            os.utime(path, (1e9 - age, 1e9 - age))
    (workplace / "runs/bad").mkdir()
    (workplace / "runs/bad/recipe.lock.yaml").write_text((run / "recipe.lock.yaml").read_text()[:80])

    def listed(*options):
        return [line.split()[0][5:] for line in pixkit("ls", "runs", *options).out.splitlines()[1:]]

    assert listed() == listed("--sort", "folder") == ["bad", "r1", "r2", "r10"]
    assert listed("--sort", "validation") == ["r1", "r2", "r10", "bad"]
    assert listed("--sort", "date") == ["r10", "r2", "r1", "bad"]
    assert listed("--sort", "lr") == ["r2", "r1", "r10", "bad"]
    refused = pixkit("ls", "runs", "--sort", "validaton")
    assert refused.code == 2 and "did you mean validation?" in refused.err and "differ: lr" in refused.err


def test_scores_in_one_unit_stand_together_when_runs_are_sorted_by_them():
    def row(path, unit, score):
        return {"path": path, "validation": {"unit": unit, "score": score}}

    rows = [row("a", "bits_per_token", 2.0), {"path": "b", "error": "x"}, row("c", "bits_per_dim", 3.0)]
    rows += [row("d", "bits_per_token", 1.0), row("e", "bits_per_dim", 2.5), {"path": "f", "validation": None}]
    assert "".join(one["path"] for one in in_order(rows, "validation")) == "ecdabf"


def test_a_table_of_runs_that_differ_in_much_tells_what_is_not_usual(pixkit, built, workplace):
    for name, change in (("a", ""), ("b", ""), ("c", "width: 9")):
        lock = shutil.copytree(built, workplace / "runs" / name) / "recipe.lock.yaml"
        text = lock.read_text().replace("width: 6", change or "width: 6")
        for key in ("lr: 0.001", "clip: null", "ema: 0.999", "keep: 2"):
            text = text.replace(key, f"{key.split()[0]} 0.5") if name == "b" else text
        lock.write_text(text)
    cells = [line.split(maxsplit=7)[7:] for line in pixkit("ls", "runs").out.splitlines()[1:]]
    assert cells == [[], ["lr=0.5 clip=0.5 ema=0.5 keep=0.5"], ["width=9"]]
    assert json.loads(pixkit("ls", "runs", "--json").out)[0]["differs"].keys() == {"width", "lr", "clip", "ema", "keep"}


@pytest.mark.parametrize(("columns", "lines"), [(100, 2), (80, 3), (60, 4), (20, None)])
def test_a_table_of_runs_fits_the_terminal(pixkit, built, workplace, monkeypatch, columns, lines):
    shutil.copytree(built, "runs/digits-of-a-name")
    lock = shutil.copytree(built, workplace / "runs/two") / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("\nseed: 0\n", "\nseed: 1\n").replace("width: 6", "width: 9"))
    monkeypatch.setattr("pixkit.cli.output.is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = pixkit("ls", "runs").out.splitlines()
    assert max(map(len, shown)) <= columns
    first = [number for number, line in enumerate(shown) if line.startswith("runs/")]
    if lines is not None:
        assert len(first) == 2 and first[1] - first[0] == lines - 1 and "seed=1 width=9" in shown[-1]


def test_a_run_is_named_by_its_path_or_by_its_name_in_runs(pixkit, built, workplace):
    shutil.copytree(built, "runs/mine")
    shutil.copytree(built, "runs/sweep/seed=1")
    for name in ("mine", "sweep/seed=1"):
        outcome = pixkit("sample", name, "-n", 1, "-o", "x.npz")
        assert outcome.code == 0 and outcome.err.startswith(f"{name}: the run runs/{name}\n")
        assert pixkit("sample", name, "-n", 1, "-o", "x.npz", "-q").err == ""
    assert api.Run.open("mine").path == Path("runs/mine")
    shutil.copytree(built, "mine")
    outcome = pixkit("show", "run", "mine")
    assert outcome.code == 0 and outcome.err == "mine: the run at this path, not runs/mine\n"
    assert "path         mine\n" in outcome.out
    assert pixkit("show", "run", "runs/mine").err == pixkit("show", "run", "./mine", "--json").err == ""
    (workplace / "mine/recipe.lock.yaml").write_text("")
    assert "does not begin like pixkit's" in pixkit("eval", "mine").err, "a damaged run at the path is the one meant"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digits-gated", "pixkit build digits-gated makes it"),
        ("runs/digits-gated", "pixkit build digits-gated makes it"),
        ("old/digits-gated", "pixkit build digits-gated -o old/digits-gated makes it"),
        ("tiny", "pixkit build tiny.yaml makes it"),
        ("tiny.yaml", "that is a recipe: pixkit build tiny.yaml makes a run of it"),
        ("min", "did you mean runs/mine? pixkit ls runs lists existing runs"),
        ("runs", "pixkit ls runs runs lists the runs in it"),
        ("qqq", "pixkit ls runs lists existing runs"),
    ],
)
def test_of_a_run_that_is_not_there_it_is_said_what_would_make_it(pixkit, built, workplace, name, hint):
    shutil.copytree(built, "runs/mine", ignore=shutil.ignore_patterns("checkpoints"))
    outcome = pixkit("eval", name)
    assert outcome.code == 2 and outcome.err.endswith(f"  try: {hint}\n")


def refused(outcome):
    assert outcome.code == 2
    return outcome.err


def test_show_without_a_kind_names_the_command_with_it(pixkit, built, workplace):
    for name in ("a run", "runs/mine", "runs/digits-pixelvae"):
        shutil.copytree(built, workplace / name)
    for name, command in (
        ("a run", "show run 'a run'"),
        ("tiny.yaml", "show recipe tiny.yaml"),
        ("digits-gated", "show recipe digits-gated"),
        ("mine", "show run mine"),
        ("digits-pixelvae", "show run digits-pixelvae` or `pixkit show recipe digits-pixelvae"),
    ):
        assert f"Did you mean `pixkit {command}`?" in refused(pixkit("show", name))
    for name, first, last in (("pixelcn", "backbone", "backbone"), ("multiscale", "ordering", "backbone")):
        said = refused(pixkit("show", name))
        assert f"Did you mean `pixkit show {first} " in said and f"`pixkit show {last} {name[:7]}" in said
    assert "Did you mean" not in pixkit("show", "xyzzy").err
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
def test_a_bar_on_a_terminal(pixkit, built, workplace, monkeypatch):
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    shown = []

    def read():
        while part := os.read(master, 4096):
            shown.append(part)
            if part.endswith(b"\0"):
                return

    reader = threading.Thread(target=read)  # a terminal that nobody reads is full after a while
    reader.start()
    with open(slave, "w") as terminal:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal)
            assert pixkit("sample", built, "-n", 2, "-o", "x.npz").code == 0
        terminal.write("\0")
        terminal.flush()
        reader.join()
    os.close(master)
    said = b"".join(shown)
    assert b"sampling" in said
    assert re.search(rb" \d+/64", said)
    assert b"\r\x1b[2K\x1b[?25h" in said, "the bar is wiped out, and the cursor is back"


def test_compare(pixkit, built, workplace):
    lock = shutil.copytree(built, workplace / "runs/wide") / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("width: 6", "width: 9"))
    outcome = pixkit("compare", built, "wide", "--png", "curves.png")
    assert outcome.code == 0 and outcome.err == "wide: the run runs/wide\n"
    head, keys, scores, curves = outcome.out.split("\n\n")
    assert head == f"#1  {built}\n#2  runs/wide"
    assert [line.split() for line in keys.splitlines()] == [["KEY", "#1", "#2"], ["model.backbone.width", "6", "9"]]
    assert re.search(r"^behind the best +0.0000 +0.0000$", scores, re.M) and "done" in scores
    assert [line.split()[0] for line in curves.splitlines()] == ["STEP,", "3", "6", "curves.png"]
    assert Image.open("curves.png").size[0] > 800
    found = json.loads(pixkit("compare", built, "wide", "--json").out)
    assert [run["differs"] for run in found["runs"]] == [{"model.backbone.width": 6}, {"model.backbone.width": 9}]
    assert [len(run["curves"]["validation"]) for run in found["runs"]] == [2, 2] and found["png"] is None
    assert "The recipes are the same." in pixkit("compare", built, built).out


def test_what_cannot_be_compared_says_why(pixkit, built, workplace):
    assert "two runs or more" in pixkit("compare", built).err
    assert "x.jpg: name a .png" in pixkit("compare", built, built, "--png", "x.jpg").err
    assert pixkit("compare", built, "absent").code == 2
    for name in ("bare", "other"):
        run = shutil.copytree(built, workplace / name)
        for path in ("scores.json", "metrics.jsonl", "best", "last"):
            (run / path).unlink()
        shutil.rmtree(run / "checkpoints")
    outcome = pixkit("compare", "bare", "other")
    assert outcome.code == 0 and "stopped" in outcome.out and "behind" not in outcome.out
    outcome = pixkit("compare", "bare", "other", "--png", "x.png")
    assert outcome.code == 2 and "nothing to draw" in outcome.err and not Path("x.png").exists()
    lock = workplace / "other/recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("      train: ", "      train: f"))
    assert "their scores do not compare" in pixkit("compare", "bare", "other").err
    assert pixkit("compare", "bare", "other", "-q").err == ""
