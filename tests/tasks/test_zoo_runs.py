"""The runs of the zoo: they are what their cards say, small, and do what they are there for."""

import json
import os
from functools import cache

import pytest
import torch

import pixkit
from pixkit.catalogue.recipes import recipes_folder
from pixkit.catalogue.zoo import zoo_runs
from pixkit.cli.main import main
from pixkit.distribution import OWN
from pixkit.runs import checkpoint
from pixkit.runs.card import CARD, read_card
from pixkit.tasks.drawer import open_drawer

RUNS = {run.name: run.path for run in zoo_runs()[0] if run.distribution == OWN}
IMAGES = ["test:0", "test:1"]
LONG = os.environ.get("PIXKIT_LONG") == "1"


@cache
def loaded(name):
    """The model of a run, by its name in the zoo; tests only read it."""
    return open_drawer(f"zoo:{name}", device="cpu")


def test_they_are_small_in_all_and_the_script_makes_them():
    files = [path for path in (recipes_folder() / "zoo").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    script = (recipes_folder() / "zoo" / "make.py").read_text(encoding="utf-8")
    found = {}
    exec(script.partition("def make(")[0], found)
    for name, path in RUNS.items():
        words = ["pixkit", "build", name, *found["ZOO"][name]]
        assert read_card(pixkit.Run(path)).command == " ".join(words)
    assert found["ZOO"].keys() == RUNS.keys()


@pytest.mark.parametrize("name", RUNS)
def test_weights_scores_and_images_are_those_of_the_card(name, one_thread):
    run = pixkit.Run.open(f"zoo:{name}")
    card = read_card(run)
    assert run.path == RUNS[name] and (run.path / CARD).read_text(encoding="utf-8") == card.text(True)
    ((file, record),) = checkpoint.verify(run.checkpoint("best")).files.items()
    assert (file, record.sha256) == ("ema", card.weights.sha256)
    assert (card.licence, card.name) == ("mit", name) and "CC BY 4.0" in card.data.licence
    assert card.date[:2] == "20" and {"pixkit", "torch"} <= card.made_with.keys()
    (stated,) = [row for row in card.scores if row.split == "test"]
    dataset = pixkit.runs.load.load_data(run)
    assert dataset.hashes() == card.data.hashes
    few = None if LONG or name != "digits-local-8orders" else 8  # whose ensemble takes eight times as long
    scores = pixkit.evaluate(loaded(name).model, dataset, limit=few)
    assert (scores.images, scores.kind) == (few or stated.images, stated.kind)
    assert scores.nats == pytest.approx(stated.nats, abs=4 * scores.stderr if few else 1e-3)


def test_digits_are_drawn_by_class(tmp_path, one_thread):
    drawn = pixkit.sample("zoo:digits-gated", 8, labels="3", seed=1, device="cpu").images
    model = loaded("digits-gated").model
    with torch.no_grad():
        nats = torch.stack([model.log_prob(drawn, torch.full((8,), label)) for label in range(10)])
    assert (nats.argmax(0) == 3).sum() >= 6
    out = tmp_path / "three.png"
    assert main(["sample", "zoo:digits-gated", "--label", "3", "-n", "1", "-q", "-o", str(out)]) == 0 and out.exists()


def test_what_each_is_there_for(one_thread):
    orders = loaded("digits-local-8orders")
    found = pixkit.complete(orders.model, orders.images("test:5"), pixkit.tasks.keep_edge((1, 8, 8), "bottom", 4), 2)
    assert found.exact and found.samples.shape == (2, 1, 8, 8)
    assert pixkit.upscale("zoo:digits-multiscale", "test:5", 2).completion.samples.shape == (2, 1, 8, 8)
    again = pixkit.reconstruct("zoo:digits-pixelvae", IMAGES)
    assert (again.images - again.originals).abs().float().mean() < 3
    assert pixkit.verify("zoo:digits-gated")["network"].verdict == "proved"


@pytest.mark.needs_compiler
def test_a_codec_file_lies_beside_what_was_compressed(tmp_path, one_thread):
    """The wheel's folder may be read-only, and is not to change anyway."""
    before = {path: path.stat().st_mtime_ns for path in RUNS["digits-gated"].rglob("*")}
    found = pixkit.compress("zoo:digits-gated", IMAGES, tmp_path / "two.pxk", verify=False)
    assert found.codec.parent == tmp_path
    for told in ({}, {"run": "zoo:digits-gated"}, {"run": RUNS["digits-gated"]}):
        assert pixkit.decompress(tmp_path / "two.pxk", **told).images.shape == (2, 1, 8, 8)
    assert {path: path.stat().st_mtime_ns for path in RUNS["digits-gated"].rglob("*")} == before


@pytest.mark.parametrize("arguments", [
    ("build", "zoo:digits-gated", "--resume"), ("build", "digits-gated", "-o", "zoo:digits-gated"),
    ("export", "zoo:digits-gated", "zoo:mine"),
])  # fmt: skip
def test_writing_to_one_is_refused_before_anything_is_done(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(list(arguments)) == 2
    said = capsys.readouterr()
    assert "runs of the zoo are read-only" in said.err and "train.init_from=zoo:NAME" in said.err
    assert list(tmp_path.iterdir()) == []


def test_they_are_listed_and_shown(capsys):
    assert main(["ls", "zoo", "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {f"zoo:{name}" for name in RUNS}
    card = read_card(pixkit.Run(RUNS["digits-gated"]))
    assert rows["zoo:digits-gated"]["card"] == card.model_dump()
    assert rows["zoo:digits-gated"]["score"].startswith("1.6") and rows["zoo:digits-gated"]["licence"] == "mit"
    assert main(["ls", "zoo"]) == 0 and "zoo:digits-gated" in capsys.readouterr().out
    for name in ("digits-gated", "zoo:digits-gated"):
        assert main(["show", "zoo", name]) == 0 and capsys.readouterr().out == card.body() + "\n"
    assert main(["show", "zoo", "digits-gated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == card.model_dump()
    assert main(["show", "run", "zoo:digits-gated"]) == 0 and "239745" in capsys.readouterr().out
    assert main(["show", "zoo", "digits-gatd"]) == 2 and "did you mean zoo:digits-gated?" in capsys.readouterr().err
