"""`pixkit sweep`, with builds in this process, or forked from it."""

import io
import json
import os
import re
import shutil
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pixkit.cli.main import main
from pixkit.cli.sweeps import SweepWatcher
from pixkit.runs.metrics import last_row
from pixkit.runs.run import Run
from pixkit.training.loop import Trainer

RECIPE = """\
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 16, limit_test: 4}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 2, layers: 1, first_kernel: 3, output_layers: 1}
train:
  steps: 2
  batch_size: 4
  eval_every: 2
  checkpoint_every: 2
  optimizer: {type: adam}
  precision: fp32
  memory_format: contiguous
sample: {count: 1}
"""
KEYS = ("train.optimizer.lr=1e-3,1e-2", "seed=0..1", "train.clip=1")


class Within:
    """A build in this process, which is over when it is asked for the first time."""

    def __init__(self, arguments, errors):
        self.arguments, self.errors = arguments, errors

    def poll(self):
        text = io.TextIOWrapper(self.errors, write_through=True)
        with redirect_stderr(text), redirect_stdout(io.StringIO()):
            code = main(list(self.arguments))
        text.detach()
        return code


class Forked:
    """A build in a process forked from this one."""

    def __init__(self, arguments, errors):
        self.code = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                sys.stdout, sys.stderr = open(os.devnull, "w"), os.fdopen(errors.fileno(), "w")  # noqa: SIM115
                code = main(list(arguments))
                sys.stderr.flush()
            finally:
                os._exit(code)

    def poll(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def send_signal(self, sig):
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Builds(list):
    """The folders of the builds that were started; `way` is how they are made."""

    way = Within

    def start(self, arguments, threads, errors):
        self.append(arguments[arguments.index("-o") + 1])
        return self.way(arguments, errors)


@pytest.fixture(autouse=True)
def builds(monkeypatch, workplace):
    started = Builds()
    Path("tiny.yaml").write_text(RECIPE)
    monkeypatch.setattr("pixkit.training.crew.spawn", started.start)
    monkeypatch.setattr("pixkit.training.crew.LOOK", 0.01)
    return started


def files(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


def test_a_sweep_builds_its_grid_and_given_again_does_nothing(pixkit, builds):
    keys = ("train.optimizer.lr=1e-3,1e-2", "seed=4", "train.clip=1")
    outcome = pixkit("sweep", "tiny.yaml", *keys, "--jobs", 3)
    assert outcome.code == 0
    runs = ["runs/tiny-sweep/lr=0.001", "runs/tiny-sweep/lr=0.01"]
    assert builds == runs
    assert [Run(Path(run)).settings()["train"]["optimizer"]["lr"] for run in runs] == [0.001, 0.01]
    assert [Run(Path(run)).settings()["seed"] for run in runs] == [4, 4]
    head, *lines = outcome.out.splitlines()
    assert head.split() == ["LR", "STATE", "STEPS", "VALIDATION", "FOLDER"]
    cells = [re.fullmatch(r"([\d.]+) +done +2/2 +(\d\.\d{4}) bits/dim +(\S+)", line).groups() for line in lines]
    assert sorted(score for _, score, _ in cells) == [score for _, score, _ in cells]
    assert sorted(run for *_, run in cells) == runs
    assert re.search(r"^lr=0.001: done \(1 of 2, \d+ s\): validation \d\.\d{4} bits/dim$", outcome.err, re.M)
    assert "runs: 2 done; 2 at a time" in outcome.err
    text = Path(runs[1], "scores.json").read_text()
    Path(runs[1], "scores.json").write_text(text.replace('"images": 30', '"images": 29'))
    before = files("runs")
    again = pixkit("sweep", "tiny.yaml", *reversed(keys), "--json")
    assert again.code == 0 and len(builds) == 2 and files("runs") == before
    found = json.loads(again.out)
    assert (found["folder"], found["interrupted"], found["next"]) == ("runs/tiny-sweep", None, None)
    assert found["remarks"] == ["scores are of different numbers of validation images"]
    assert found["runs"][1]["values"] == {"lr": 0.01} and found["runs"][1]["state"] == "done"
    assert found["runs"][1]["validation"]["unit"] == "bits_per_dim" and found["runs"][1]["error"] is None
    other = pixkit("sweep", "tiny.yaml", *keys[:2], "train.clip=2")
    assert other.code == 2 and "lr=0.001: train.clip: 1.0 -> 2.0; and 1 more" in other.err


def test_a_dry_run_writes_nothing(pixkit, builds, workplace):
    before = sorted(workplace.rglob("*"))
    outcome = pixkit("sweep", "tiny.yaml", *KEYS, "--dry-run", "-o", "there")
    assert outcome.code == 0 and builds == [] and sorted(workplace.rglob("*")) == before
    assert [line.split()[-1] for line in outcome.out.splitlines()[1:]] == [
        f"there/lr={lr},seed={seed}" for lr in ("0.001", "0.01") for seed in (0, 1)
    ]
    assert "4 runs: 4 new; 1 at a time" in outcome.err


def test_ctrl_c_ends_all_builds_and_says_how_to_go_on(pixkit, builds, monkeypatch):
    keys = ("seed=0..2", "train.steps=12", "train.eval_every=12")
    builds.way = Forked
    with monkeypatch.context() as slow:
        advance, going = Trainer._advance, SweepWatcher.going

        def slowly(self, log):
            time.sleep(0.05)
            advance(self, log)

        def interrupted(self, active):
            going(self, active)
            if len(active) == 2 and all(last_row(work.folder / "metrics.jsonl") for work in active):
                slow.setattr(SweepWatcher, "going", going)
                os.kill(os.getpid(), signal.SIGINT)

        slow.setattr(Trainer, "_advance", slowly)
        slow.setattr(SweepWatcher, "going", interrupted)
        outcome = pixkit("sweep", "tiny.yaml", *keys, "--jobs", 2)
    assert outcome.code == 130
    assert [line.split()[:2] for line in sorted(outcome.out.splitlines()[1:])] == [
        ["0", "stopped"], ["1", "stopped"], ["2", "new"],
    ]  # fmt: skip
    command = f"pixkit sweep tiny.yaml {' '.join(keys)} --jobs 2"
    assert outcome.err.endswith(f"stopped; to continue: {command}\n")
    assert "stopping 2: they finish their step and save" in outcome.err
    assert all(Run(Path(f"runs/tiny-sweep/seed={seed}")).steps() for seed in (0, 1))
    builds.way = Within
    found = json.loads(pixkit("sweep", "tiny.yaml", "seed=0,2", *keys[1:], "--json", "-q").out)
    assert [row["state"] for row in found["runs"]] == ["done"] * 2
    assert builds[2:] == [f"runs/tiny-sweep/seed={seed}" for seed in (0, 2)]


def test_a_build_that_is_stopped_while_it_reads_its_data_has_not_begun(pixkit, builds):
    class Stopped(Within):
        def poll(self):
            return 130

    builds.way = Stopped
    assert "seed=0: stopped before it began (0 s)\n" in pixkit("sweep", "tiny.yaml", "seed=0,1").err


def test_a_build_that_fails_is_told_and_tried_again(pixkit, builds):
    Path("runs/tiny-sweep").mkdir(parents=True)
    for seed in (0, 1):
        Path(f"runs/tiny-sweep/seed={seed}").write_text("in the way")
    outcome = pixkit("sweep", "tiny.yaml", "seed=0,1")
    assert outcome.code == 1
    assert "pixkit: seed=0: failed (1 of 2, 0 s): " in outcome.err and "seed=0: not a folder" in outcome.err
    os.unlink("runs/tiny-sweep/seed=1")
    outcome = pixkit("sweep", "tiny.yaml", "seed=0,1", "-q")
    assert outcome.code == 1
    assert [line.split()[:2] for line in outcome.out.splitlines()[1:]] == [["1", "done"], ["0", "failed"]]
    assert [Path(run).name for run in builds] == ["seed=0", "seed=1"] * 2


def test_a_damaged_run_is_named_and_not_built(pixkit, builds, built):
    run = shutil.copytree(built, "runs/tiny-sweep/seed=0")
    Path(run, "recipe.lock.yaml").write_text("")
    found = json.loads(pixkit("sweep", "tiny.yaml", "seed=0,1", "--dry-run", "--json").out)
    assert [row["state"] for row in found["runs"]] == ["damaged", "new"]
    assert "does not begin like pixkit's" in found["runs"][0]["error"]
    assert "try: move the run away, and the sweep makes another" in found["runs"][0]["error"]
    lock = Path(shutil.copytree(built, "runs/tiny-sweep/seed=1"), "recipe.lock.yaml")
    lock.write_text(lock.read_text().replace("\nmodel:", "\nother:"))
    outcome = pixkit("sweep", "tiny.yaml", "seed=0,1")
    assert outcome.code == 1 and builds == [] and outcome.out.count("damaged") == 2


def test_a_run_that_another_build_took_meanwhile_has_not_failed(pixkit, builds, built):
    def beaten(arguments, errors):
        shutil.copytree(built, arguments[arguments.index("-o") + 1])
        return Within(arguments, errors)

    builds.way = beaten
    outcome = pixkit("sweep", "tiny.yaml", "seed=0,1")
    assert outcome.code == 0 and "seed=0: left to another build\n" in outcome.err and "failed" not in outcome.err
    assert [line.split()[:2] for line in outcome.out.splitlines()[1:]] == [["0", "done"], ["1", "done"]]


def test_what_another_build_is_at_is_left_to_it(pixkit, builds, built):
    shutil.copytree(built, "runs/tiny-sweep/seed=0")
    with Run.claim(Path("runs/tiny-sweep/seed=0"), resume=True):
        assert pixkit("sweep", "tiny.yaml", "seed=0,1", "--dry-run").out.count("running") == 1
    assert builds == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("absent.yaml", "seed=0,1"), "there is no such file"),
        (("-", "seed=0,1"), "name a file instead of -"),
        (("tiny.yaml", "seed=0"), "nothing varies"),
        (("tiny.yaml", "train.stepps=1,2"), "train.stepps"),
        (("tiny.yaml", "model.backbone.width=4,none"), "model.backbone.width"),
        (("tiny.yaml", "model.head=softmax,{type: softmax}"), "head=softmax and head=%7Btype%3A%20softmax%7D"),
        (("tiny.yaml", "seed=0,1", "-o", "run"), "that is a run"),
        (("tiny.yaml", "seed=0,1", "--device", "cuda"), "CUDA device missing"),
        (("tiny.yaml", "seed=0,1", "-o", "tiny.yaml/x"), "tiny.yaml/x: cannot be written"),
    ],
)
def test_what_cannot_be_swept_says_why_before_anything_is_built(
    pixkit, builds, built, workplace, monkeypatch, arguments, text
):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    shutil.copytree(built, workplace / "run")
    outcome = pixkit("sweep", *arguments)
    assert outcome.code == 2 and text in outcome.err and builds == []
