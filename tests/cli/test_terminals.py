"""No command lets a terminal obey what stands in a run, a recipe, a file's name or a plugin."""

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixkit.cli import output
from pixkit.cli.main import _one_line
from pixkit.cli.progress import ProgressBar, ProgressLines
from pixkit.errors import printable

NASTY = "a\x1b]0;owned\x07\x1b[2J\n\u202eb\x9b[red]\x7f"
"""Sets a terminal's title, clears it, breaks the line, turns the direction of writing, and looks like rich's markup."""
IMAGES = """\
pixkit: 1
name: classes
data: {{source: images, path: {path}, channels: 1, labels: true, levels: 4, validation: 0.25, test_fraction: 0.25}}
model: {{type: autoregressive, backbone: {{type: pixelcnn, width: 2, layers: 0, first_kernel: 3, output_layers: 1}}}}
train: {{steps: 1, batch_size: 4, eval_every: 1, checkpoint_every: 1}}
sample: {{count: 1}}
"""


def assert_tame(outcome, codes):
    assert outcome.code in codes, outcome.err
    for text in (outcome.out, outcome.err):
        assert printable(text, lines=True) == text
    return outcome


@pytest.fixture
def nasty(built, workplace):
    """A run in a folder of that name, whose files say it as well."""
    run = shutil.copytree(built, workplace / "runs" / NASTY)
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    for row in scores["scores"]:
        row["parts"] = {NASTY: 1.0}
    (run / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    env = json.loads((run / "env.json").read_text(encoding="utf-8"))
    text = json.dumps(env).replace("digits, 17 levels", json.dumps(NASTY)[1:-1])
    (run / "env.json").write_text(text, encoding="utf-8")
    return run


def commands(run):
    out = f"{NASTY}.png"
    return [
        ((0,), ("ls", "runs")), ((0,), ("ls", "runs", "--markdown")), ((0,), ("show", "run", run)),
        ((0,), ("sample", run, "-n", 1, "-o", out)), ((0,), ("eval", run, "--limit", 1)),
        ((0,), ("complete", run, "test:0", "--keep-top", 4, "-n", 1, "-o", out)),
        ((2, 3), ("upscale", run, NASTY, "-o", out)), ((2, 3), ("reconstruct", run, NASTY, "-o", out)),
        ((0, 1), ("verify", run)), ((2,), ("verify", run, f"model.{NASTY}=1")), ((2,), ("build", NASTY)),
        ((2,), ("build", run, "--resume", f"name={NASTY}")), ((2,), ("validate", NASTY, "tiny.yaml")),
        ((2,), ("build", "tiny.yaml", "-o", run)), ((0,), ("build", run, "--resume")),
        ((3,), ("sample", run, "--checkpoint", NASTY, "-o", out)),
        ((2,), ("sample", run, "--sampler", NASTY, "-o", out)), ((2,), ("sample", run, "--vary", NASTY, "-o", out)),
        ((2,), ("sample", run, "-o", NASTY + ".gif")),
        ((2,), ("ls", NASTY)), ((2,), ("show", "backbone", NASTY)), ((2,), ("show", NASTY)), ((2,), (NASTY,)),
        ((2,), ("ls", f"--{NASTY}")), ((2,), ("eval", run, NASTY)), ((2,), ("eval", run, f"data.{NASTY}=1")),
        ((2, 4), ("ls", "--plugin", NASTY)), ((0,), ("cp", "digits-gated", f"{NASTY}.yaml", "--force")),
        ((2,), ("bench", "sample", NASTY)), ((1, 2, 4), ("restore", run)),
    ]  # fmt: skip


def test_over_all_commands(pixkit, nasty):
    for codes, arguments in commands(nasty):
        assert_tame(pixkit(*arguments), codes)
        if 0 not in codes:
            assert_tame(pixkit("--traceback", *arguments), codes)


def test_json_says_it_exactly(pixkit, nasty):
    [row] = json.loads(assert_tame(pixkit("ls", "runs", "--json"), (0,)).out)
    assert row["path"].endswith(NASTY)
    assert json.loads(assert_tame(pixkit("show", "run", nasty, "--json"), (0,)).out)["path"].endswith(NASTY)


def test_class_names_and_array_names(pixkit, workplace):
    for name in (NASTY, f"{NASTY}2"):
        (workplace / "pictures" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (3, 3), 60 * number).save(workplace / "pictures" / name / f"{number}.png")
    Path("classes.yaml").write_text(IMAGES.format(path="pictures"), encoding="utf-8")
    assert_tame(pixkit("build", "classes.yaml"), (0,))
    assert_tame(pixkit("eval", "runs/classes"), (0,))
    assert_tame(pixkit("show", "run", "runs/classes"), (0,))
    assert_tame(pixkit("ls", "runs"), (0,))
    np.savez(workplace / "arrays.npz", **{NASTY: np.zeros((8, 3, 3), np.uint8)})
    text = re.sub(r"data: .*", "data: {source: arrays, path: arrays.npz}", IMAGES.format(path=""))
    Path("arrays.yaml").write_text(text, encoding="utf-8")
    assert "no such array" in assert_tame(pixkit("build", "arrays.yaml", "-o", "other"), (3,)).err


def test_what_plugins_say(pixkit, install, workplace):
    install("nasty_words", f"raise ImportError({NASTY!r})")
    assert "broken" in assert_tame(pixkit("ls", "heads"), (0,)).err
    assert_tame(pixkit("plugins"), (0,))
    assert_tame(pixkit("--strict-plugins", "ls"), (4,))


def test_warnings_take_one_tame_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(NASTY, RuntimeWarning, stacklevel=1)
    line = _one_line(caught[0].message, RuntimeWarning, "file", 1)
    assert line.count("\n") == 1 and printable(line, lines=True) == line


def test_on_a_terminal_there_are_the_sequences_of_pixkit_alone(pixkit, nasty, monkeypatch):
    for name in ("output", "commands.sample", "commands.complete"):
        monkeypatch.setattr(f"pixkit.cli.{name}.is_terminal", lambda stream: True)
    monkeypatch.setattr("click._compat.isatty", lambda stream: True)
    chosen = commands(nasty)[:8]
    assert len(chosen) == 8
    for codes, arguments in chosen:
        outcome = pixkit(*arguments)
        assert outcome.code in codes
        for text in (outcome.out, outcome.err):
            uncoloured = re.sub(r"\x1b\[[0-9;]*m", "", text)
            assert printable(uncoloured, lines=True) == uncoloured


@pytest.mark.parametrize("progress", [ProgressLines(clock=iter(range(0, 100, 10)).__next__), ProgressBar()])
def test_progress_and_remarks(progress, capsys):
    for done in range(4):
        progress.update(NASTY, done, 9, NASTY)
    progress.say(f"{NASTY} :smile: [bold]")
    progress.close()
    shown = capsys.readouterr().err
    assert ":smile: [bold]" in shown
    assert not re.search("\x07|\x1b\\]|\u202e|\x9b|\x1b\\[2J\n", shown)


def test_tables_pairs_and_lines(capsys):
    rows = output.table(("name",), [(NASTY,), ("x",)]).split("\n")
    assert rows[1:] == [printable(NASTY), "x"]
    assert output.pairs({NASTY: NASTY}) == f"{printable(NASTY)}  {printable(NASTY)}"
    for write in (output.say, output.warn, output.emit_line):
        write(NASTY)
        captured = capsys.readouterr()
        assert (captured.out + captured.err).count("\n") == 1
