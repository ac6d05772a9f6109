"""A run that is given to others: what the folder holds, its card, and that it is a run, as a hub's snapshot too."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import pixkit
from pixkit.catalogue.recipes import packaged_recipes
from pixkit.errors import CheckpointError, RunError, UsageError
from pixkit.runs import checkpoint, summary
from pixkit.runs.card import CARD, PICTURE, read_card, score_of
from pixkit.runs.manifest import read_manifest
from pixkit.runs.schema import ScoreRow
from pixkit.tasks import export_run
from pixkit.tasks.export import _card, _command, _local, _shared

RECIPE = """\
# A tiny network on the embedded digits.
pixkit: 1
name: tiny
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 2, batch_size: 8, eval_every: 1, checkpoint_every: 1, eval_images: 16, ema: 0.5}
sample: {count: 1}
"""
FILES = {
    *("README.md", "best", "last", "env.json", "metrics.jsonl", "recipe.lock.yaml", "recipe.yaml", "scores.json"),
    *("samples/best.png", "checkpoints/step-2/ema.safetensors", "checkpoints/step-2/manifest.json"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    (folder / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    return pixkit.build(folder / "tiny.yaml", folder / "run", overrides=["seed=3"]).run


@pytest.fixture(scope="module")
def given(built):
    return export_run(built, built.path.parent / "given", licence="mit")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_what_reading_a_run_takes_and_nothing_of_the_machines_folders(given, built):
    assert files(given.run.path) == FILES
    assert given.size == sum((given.run.path / name).stat().st_size for name in FILES)
    text = "".join((given.run.path / name).read_text(encoding="utf-8") for name in FILES if name.endswith(".yaml"))
    assert str(built.path.parent) not in text + (given.run.path / CARD).read_text(encoding="utf-8")
    assert given.local == [] and given.run.settings()["lock"]["recipe"] == "recipe.yaml"
    assert [row["step"] for row in given.run.rows()] == [1, 2]
    assert {row["event"] for row in given.run.rows()} == {"eval"}
    assert given.run.environment() == built.environment() and given.run.recipe() == built.recipe()


def test_it_is_a_run_with_the_weights_and_scores_of_the_one_it_is_of(given, built):
    ours, theirs = (pixkit.load(run, device="cpu").state_dict() for run in (given.run, built))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    told, before = summary(given.run), summary(built)
    assert (told["state"], told["validation"], told["best"]) == ("done", before["validation"], "step-2")
    assert {row["weights"] for row in told["scores"]} == {"ema"} and len(told["scores"]) == 3
    with pytest.raises(CheckpointError, match="no model weights"):
        pixkit.load(given.run, weights="raw")


def test_the_card_says_what_it_is_and_is_read_back(given, built):
    card = read_card(given.run)
    assert card == given.card
    assert (card.name, card.summary, card.licence) == ("tiny", "A tiny network on the embedded digits.", "mit")
    assert card.command == "pixkit build recipe.yaml seed=3"
    manifest = checkpoint.read_manifest(built.checkpoint("best"))
    weights = (given.run.path / card.weights.file).read_bytes()
    assert (card.weights.sha256, card.weights.bytes) == (manifest.files["ema"].sha256, len(weights))
    assert card.weights.parameters == built.settings()["lock"]["parameters"]
    assert card.data.hashes == built.settings()["lock"]["data"]["hashes"] and "CC BY 4.0" in card.data.licence
    assert card.made_with["torch"] == torch.__version__ and card.scores[-1].split == "test"
    text = (given.run.path / CARD).read_text(encoding="utf-8")
    assert text.startswith("---\nlicense: mit\nlibrary_name: pixkit\n") and "](samples/best.png)" in text
    assert f"| test, 16 images | {score_of(card.scores[-1])} |" in text


def test_what_was_not_recorded_is_left_out_of_the_card(given, built, tmp_path):
    environment = {name: value for name, value in built.environment().items() if name != "torch"}
    run = SimpleNamespace(recipe=built.recipe, environment=lambda: environment, given=tmp_path / "absent.yaml")
    card = _card(run, built.settings()["lock"], read_manifest(given.run.checkpoint("best")), [], "")
    assert (card.summary, [*card.made_with]) == ("", ["pixkit", "numpy", "python", "threads", "processor"])


def test_the_command_has_every_step_of_a_run_that_was_extended_and_the_name_of_a_packaged_recipe():
    packaged = packaged_recipes()["digits-gated"]
    settings = _shared({"lock": {"recipe": str(packaged), "overrides": ["name=a b"]}, "data": {}})
    assert settings == {"lock": {"recipe": "digits-gated", "overrides": ["name=a b"]}, "data": {}}
    extended = settings["lock"] | {"segments": [{"steps": 4}, {"steps": 5}, {"steps": 2}]}
    first = "pixkit build digits-gated 'name=a b'"
    assert _command(extended) == f"{first} && pixkit build RUN --extend 5 && pixkit build RUN --extend 2"
    assert _command({"recipe": "recipe.yaml"}) == "pixkit build recipe.yaml"
    local = {"lock": {"recipe": "/a"}, "data": {"lock": "/b", "path": {"x": "/c"}, "name": "d", "levels": 2}}
    assert [*_local(local)] == [("data", "lock"), ("data", "path", "x")]


@pytest.mark.parametrize(("row", "said"), [
    ({"kind": "exact", "nats": 8.0, "stderr": 0.5, "bits_per_dim": 2.0}, "2.0000 bits/dim, 8.00 nats +- 0.50"),
    ({"kind": "bound", "nats": 8.0, "stderr": None, "bits_per_dim": 2.0}, "<= 2.0000 bits/dim, <= 8.00 nats"),
    ({"kind": "estimate", "nats": 8.0, "stderr": None, "bits_per_dim": None, "bits_per_token": 3.0},
     "~ 3.0000 bits/token, ~ 8.00 nats"),
    ({"kind": "none", "nats": None, "stderr": None, "bits_per_dim": None, "parts": {"error": 0.25, "other": None}},
     "error 0.25"),
])  # fmt: skip
def test_a_score_keeps_its_sign_and_unit(row, said):
    assert score_of(ScoreRow(split="test", weights="ema", images=1, **row)) == said


def test_another_checkpoint_has_neither_the_scores_nor_the_picture_of_the_best(built, tmp_path):
    found = export_run(built, tmp_path / "first", checkpoint="step-1")
    assert files(tmp_path / "first") == {
        name.replace("step-2", "step-1") for name in FILES - {"scores.json", "samples/best.png"}
    }
    assert found.card.scores == [] and "samples" not in (tmp_path / "first" / CARD).read_text(encoding="utf-8")
    assert (tmp_path / "first" / "best").read_text() == "step-1\n" and "license" not in found.card.text(False)


def test_it_is_not_trained_further_but_others_start_from_it(given, tmp_path):
    before = {name: (given.run.path / name).read_bytes() for name in FILES}
    with pytest.raises(CheckpointError, match="no model weights") as caught:
        pixkit.build(given.run.path, resume=True, overrides=["train.steps=2"])
    assert "train.init_from=RUN" in caught.value.hint
    assert {name: (given.run.path / name).read_bytes() for name in FILES} == before
    override = f"train.init_from={given.run.path}"
    result = pixkit.build(given.run.given, tmp_path / "next", overrides=[override, "train.steps=1", "train.ema=0"])
    result.run.palette.write_bytes(b"colours")
    (result.run.path / PICTURE).unlink()
    moved = export_run(result.run, tmp_path / "moved", licence="gpl-3.0+")
    assert "](samples/" not in (moved.run.path / CARD).read_text(encoding="utf-8")
    assert moved.run.palette.read_bytes() == b"colours"
    assert moved.local == ["train.init_from"]
    assert moved.card.weights.kind == "raw" and moved.card.weights.file.endswith("step-1/model.safetensors")
    assert {row.weights for row in moved.card.scores} == {"raw"}


def test_what_is_there_stays_and_a_licence_is_one_word(built, given, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not an empty folder"):
        export_run(built, tmp_path)
    with pytest.raises(UsageError, match="licence") as caught:
        export_run(built, tmp_path / "new", licence="mit\nlibrary_name: x")
    assert caught.value.where == "licence"
    assert files(tmp_path) == {"notes.txt"}


def test_an_export_that_fails_leaves_nothing_and_names_what_was_asked_for(built, tmp_path, monkeypatch):
    def full(self, settings):
        with self.writing(self.path / "recipe.lock.yaml"):
            raise OSError("disk full")

    monkeypatch.setattr(pixkit.Run, "write_settings", full)
    with pytest.raises(RunError, match="cannot be written") as caught:
        export_run(built, tmp_path / "new")
    assert caught.value.where.startswith(str(tmp_path / "new")) and not [*tmp_path.iterdir()]


def test_a_readme_of_somebodys_is_no_card_and_a_damaged_one_is_named(given, tmp_path):
    run = pixkit.Run(tmp_path)
    assert read_card(run) is None
    for text in ("# Mine\n", "---\nlicense: mit\n---\n# Mine\n", "---\n- a list\n---\n"):
        (tmp_path / CARD).write_text(text, encoding="utf-8")
        assert read_card(run) is None
    whole = given.card.text(True)
    for wrong in (whole.replace("  name: tiny", "  name: [tiny"), whole.replace("parameters: ", "parameters: -")):
        (tmp_path / CARD).write_text(wrong, encoding="utf-8")
        with pytest.raises(RunError) as caught:
            read_card(run)
        assert caught.value.where == str(tmp_path / CARD)


def test_a_snapshot_of_a_hub_whose_files_are_links_is_a_run(given, tmp_path):
    """As huggingface_hub lays out its cache: snapshots/REVISION/FILE -> ../../blobs/HASH."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    for number, name in enumerate(sorted(FILES)):
        (blobs / str(number)).write_bytes((given.run.path / name).read_bytes())
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    x = torch.zeros(2, 1, 8, 8, dtype=torch.long)
    assert torch.equal(pixkit.load(snapshot).log_prob(x), pixkit.load(given.run).log_prob(x))
    assert summary(pixkit.Run.open(snapshot))["scores"] == summary(given.run)["scores"]
    assert read_card(pixkit.Run(snapshot)) == given.card
    weights = Path(os.path.realpath(snapshot / given.card.weights.file))
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(CheckpointError, match="damaged"):
        pixkit.load(snapshot)
