"""`pixkit build`: what it prints, what it writes, and how it ends."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.runs.run import Run

FILES = {"recipe.yaml", "recipe.lock.yaml", "env.json", "metrics.jsonl", "scores.json", "last", "best"}


def test_build_ends_with_scores_pictures_and_the_next_command(pixkit, workplace):
    outcome = pixkit("build", "tiny.yaml")
    assert outcome.code == 0
    assert re.match(r"test \d\.\d{4} bits/dim \(16 images, ema weights\)\n", outcome.out)
    for split in ("train", "validation", "test"):
        assert re.search(rf"^{split} +ema +\d+ +\d\.\d+ ", outcome.out, re.M)
    assert Path(re.search(r"samples +(.+)\n", outcome.out)[1]).is_file()
    assert {path.name for path in Path("runs/tiny").iterdir()} >= FILES
    following = shlex.split(re.search(r"next +pixkit (.+)\n", outcome.out)[1])
    assert pixkit(*following).code == 0
    assert Path("samples.png").is_file()


def test_progress_is_lines_on_stderr_and_q_silences_it(pixkit, workplace):
    talk = pixkit("build", "tiny.yaml").err
    assert re.search(r"^step 3/6: validation \d\.\d{4} bits/dim, the best so far$", talk, re.M)
    assert "images: 1x8x8, K = 17; digits, 17 levels; values 0..16\n" in talk
    assert "\x1b" not in talk
    assert pixkit("build", "-q", "tiny.yaml", "--overwrite").err == ""


def test_json_is_all_there_is_on_stdout(pixkit, workplace):
    outcome = pixkit("build", "tiny.yaml", "--json", "-o", "here")
    found = json.loads(outcome.out)
    assert found["run"] == "here"
    assert found["interrupted"] is None
    assert {(row["split"], row["weights"]) for row in found["scores"]} == {
        (split, weights) for split in ("train", "validation", "test") for weights in ("raw", "ema")
    }
    assert Path(found["samples"]).is_file()


def test_overrides_and_seed_reach_the_run(pixkit, workplace):
    assert pixkit("build", "tiny.yaml", "train.steps=3", "--seed", 7, "model.backbone.width=4").code == 0
    settings = Run.open("runs/tiny").settings()
    assert (settings["seed"], settings["train"]["steps"], settings["model"]["backbone"]["width"]) == (7, 3, 4)


def test_a_dry_run_writes_nothing(pixkit, workplace):
    outcome = pixkit("build", "tiny.yaml", "--dry-run")
    assert outcome.code == 0
    for word in (
        "parameters",
        "1x8x8, K = 17; digits, 17 levels; values 0..16",
        "64 train",
        "memory",
        "first step",
        "s a step",
    ):
        assert word in outcome.out
    found = json.loads(pixkit("build", "tiny.yaml", "--dry-run", "--json").out)
    assert found["memory"]["parameters"] > 0
    assert [path.name for path in workplace.iterdir()] == ["tiny.yaml"]


def test_an_existing_run_is_kept_unless_told_otherwise(pixkit, workplace):
    assert pixkit("build", "tiny.yaml", "train.steps=3").code == 0
    before = Path("runs/tiny/scores.json").read_text()
    refused = pixkit("build", "tiny.yaml")
    assert refused.code == 2
    assert "--resume" in refused.err
    assert "--overwrite" in refused.err
    assert Path("runs/tiny/scores.json").read_text() == before
    assert pixkit("build", "tiny.yaml", "--overwrite").code == 0
    assert Path("runs/tiny/scores.json").read_text() != before
    for options, word in [(("--resume",), "--resume continues"), (("--extend", "3"), "--extend continues")]:
        both = pixkit("build", "tiny.yaml", "--overwrite", *options)
        assert both.code == 2 and word in both.err
    assert "leave out --extend" in pixkit("build", "tiny.yaml", "--dry-run", "--extend", "3").err
    assert "'--extend': 0" in pixkit("build", "tiny.yaml", "--extend", "0").err


def test_resume_takes_a_run_or_a_recipe_and_overrides(pixkit, workplace):
    assert pixkit("build", "tiny.yaml", "train.steps=3", "-o", "here").code == 0
    assert pixkit("build", "here", "--resume", "train.steps=6").code == 0
    assert Run.open("here").steps()[-1] == 6
    assert pixkit("build", "tiny.yaml", "--resume", "train.steps=9", "-o", "here").code == 0
    assert Run.open("here").steps()[-1] == 9
    changed = pixkit("build", "here", "--resume", "model.backbone.width=12")
    assert changed.code == 2
    assert "model.backbone.width" in changed.err
    assert pixkit("build", "absent", "--resume").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["absent.yaml"], 2, "absent.yaml: there is no such file"),
        (["tiny.yaml", "model.backbone.type=pixelcn"], 2, "did you mean 'pixelcnn'?"),
        (["tiny.yaml", "model.backbone.with=3"], 2, "model.backbone.with"),
        (["tiny.yaml", "nonsense"], 2, "nonsense"),
        (["tiny.yaml", "data={source: arrays, path: absent.npz}"], 3, "absent.npz"),
        (["tiny.yaml", "train.optimizer={type: sgd, lr: 1e38}"], 5, "not finite"),
        (["tiny.yaml", "--device", "gpu"], 2, "--device"),
    ],
)
def test_what_cannot_be_built_says_why(pixkit, workplace, arguments, code, text):
    outcome = pixkit("build", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert text in outcome.err
    assert "Traceback" not in outcome.err


STOPPING = """
import os, signal

@pixkit.hookimpl
def pixkit_train_step(step):
    if step == 4:
        os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")
def test_a_signal_stops_a_build_that_can_be_resumed(pixkit, workplace, install):
    """tests/faults has other signals, other moments, and processes of their own."""
    install("stopping", STOPPING)
    stopped = pixkit("build", "tiny.yaml")
    assert (stopped.code, stopped.out) == (130, ""), stopped.err
    assert Run.open("runs/tiny").steps()[-1] == 4
    outcome = pixkit(*shlex.split(re.search(r"to continue: pixkit (.+)\n", stopped.err)[1]))
    assert outcome.code == 0, outcome.err
    assert Run.open("runs/tiny").steps()[-1] == 6


LEAVING = """
import sys

@pixkit.hookimpl
def pixkit_train_step(step):
    print("a hook says")
    if step == 2:
        sys.exit(0)
"""


def test_a_hook_that_prints_and_leaves_ends_no_build_and_spoils_no_json(pixkit, workplace, install):
    install("leaving", LEAVING)
    outcome = pixkit("build", "tiny.yaml", "-o", "here", "--json", "-q")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["scores"]
    assert outcome.err.count("a hook says") == 2
    assert re.search(r"pixkit_train_step failed \(SystemExit: 0 \(/\S+, line \d+\)\); it is not called", outcome.err)
    assert Run(Path("here")).checkpoint("last").name == "step-6"


def test_a_sampler_that_fails_costs_no_training_and_no_scores(pixkit, workplace, monkeypatch):
    def leave(self, request):
        raise MemoryError

    monkeypatch.setattr(AutoregressiveModel, "draw", leave)
    outcome = pixkit("build", "tiny.yaml", "-o", "here")
    assert outcome.code == 0, outcome.err
    assert re.search(r"^samples +none$", outcome.out, re.M)
    assert outcome.err.count("could not be drawn") == 2
    assert "sample.batch_size" in outcome.err
    assert json.loads(pixkit("build", "here", "--resume", "--json", "-q").out)["samples"] is None


@pytest.mark.parametrize(("error", "code"), [(SystemExit(0), 4), (MemoryError(), 2), (ValueError("a bug"), 1)])
def test_a_score_that_fails_stops_a_build_that_has_saved(pixkit, workplace, monkeypatch, error, code):
    def leave(self, batch):
        raise error

    monkeypatch.setattr(AutoregressiveModel, "score", leave)
    outcome = pixkit("build", "tiny.yaml", "-o", "here")
    assert outcome.code == code, outcome.err
    assert "step 3 is saved: --resume continues from there" in outcome.err
    assert Run(Path("here")).checkpoint("last").name == "step-3"
