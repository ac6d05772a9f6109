"""Runs that 0.1 built: they load, score, draw, complete and resume as they did there."""

import json

import numpy as np
import pytest
import torch

import pixkit
from pixkit.components.plugins import plugins

RUNS = ("digits-tiny", "vintage-pair")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=RUNS)
def run(request, old_run, vintage):
    """A run and what 0.1 made of it."""
    return old_run(request.param)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_as_recorded(folder, expected, prefix=""):
    """Levels to the bit; nats to what float32 sums may differ by from machine to machine."""
    batch = pixkit.prepare(pixkit.Run.open(folder).recipe().data, folder.parent).batch("test", torch.arange(16))
    model = pixkit.load(folder, device="cpu")
    np.testing.assert_allclose(model.score(batch).numpy(), expected[f"{prefix}nats"], rtol=2e-6)
    np.testing.assert_array_equal(model.sample(5, seed=7, first=2).numpy(), expected[f"{prefix}samples"])
    if f"{prefix}completed" in expected:
        mask = torch.zeros(model.spec.shape, dtype=torch.bool)
        mask[:, : model.spec.height // 2] = True
        completed = model.sample(3, seed=8, known=pixkit.Known(mask, batch.x[:3]))
        np.testing.assert_array_equal(completed.numpy(), expected[f"{prefix}completed"])


def test_they_are_of_0_1(run):
    folder, _ = run
    environment = json.loads((folder / "env.json").read_text(encoding="utf-8"))
    assert environment["pixkit"] == environment["plugins"]["pixkit:core"] == "0.1.0"


def test_they_score_draw_and_complete_as_before(run):
    folder, expected = run
    before = contents(folder)
    check_as_recorded(folder, expected)
    assert contents(folder) == before, "looking at a run changes it"


def test_they_resume_to_where_they_would_have_come(run, command):
    folder, expected = run
    code, _, err = command("build", folder, "--resume", "train.steps=24", "--device", "cpu", "-q")
    assert code == 0, err
    assert not np.allclose(expected["nats"], expected["resumed_nats"], rtol=1e-3)
    check_as_recorded(folder, expected, "resumed_")


def test_the_commands_know_them(run, command, tmp_path):
    folder, expected = run
    code, out, err = command("show", "run", folder, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert (shown["pixkit"], shown["step"]) == ("0.1.0", 16)
    code, out, err = command("eval", folder, "--device", "cpu", "--json", "-q")
    assert code == 0, err
    (recorded,) = [
        row
        for row in json.loads((folder / "scores.json").read_text(encoding="utf-8"))["scores"]
        if (row["split"], row["weights"]) == ("test", "ema")
    ]
    assert json.loads(out)["nats"] == pytest.approx(recorded["nats"], rel=2e-6)
    drawn = tmp_path / "drawn.npz"
    arguments = ("-n", 7, "--seed", 7, "-o", drawn, "--device", "cpu", "-q")
    code, _, err = command("sample", folder, *arguments)
    assert code == 0, err
    np.testing.assert_array_equal(np.load(drawn)["samples"][2:], expected["samples"])
    code, _, err = command("verify", folder / "recipe.yaml")
    assert code == 0, err


def test_a_run_of_a_plugin_that_is_not_here_says_what_to_install(old_run):
    folder, _ = old_run("vintage-pair")
    plugins.cache_clear()
    with pytest.raises(pixkit.PluginError, match=r"install vintage-pixels >= 1\.3\.0"):
        pixkit.load(folder, device="cpu")
