"""Memory stays flat, however long one trains and however often one draws."""

import gc
import os

import pytest
import torch

from pixkit.execution.choose import EXECUTORS
from pixkit.memory import resident
from pixkit.recipe import load_recipe
from pixkit.samplers import sampler_for
from pixkit.testing import named
from pixkit.training.build import build, dry_run, load
from pixkit.training.watch import Reporter

LONG = os.environ.get("PIXKIT_LONG") == "1"
MIB = 1 << 20
RECIPE = """\
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 256, limit_test: 16}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 4, layers: 1, first_kernel: 3, output_layers: 1, dropout: 0.1}
train: {batch_size: 8, eval_every: 15, checkpoint_every: 15, sample_every: 30, keep: 2, ema: 0.9}
sample: {count: 2}
"""
pytestmark = pytest.mark.skipif(resident() is None, reason="the system does not tell what is resident")


class Watch(Reporter):
    """Takes the resident memory after a step that begins the measurement, and after the last one."""

    def __init__(self, first, last):
        self.steps = (first, last)
        self.resident = []

    def step(self, step, metrics):
        if step in self.steps:
            gc.collect()
            self.resident.append(resident())


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("flat") / "tiny.yaml"
    path.write_text(RECIPE)
    return load_recipe(path)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return build(recipe, tmp_path_factory.mktemp("runs") / "tiny", overrides=["train.steps=4"]).run


@pytest.mark.parametrize(("steps", "bound"), [pytest.param(2000, 16, marks=pytest.mark.long)] if LONG else [(60, 12)])
def test_training_with_scores_samples_and_checkpoints_is_flat(recipe, tmp_path, steps, bound, no_waiting_for_the_disk):
    """In MiB. A scored, sampled and saved step takes some 100 KiB for a while; what is kept of each would add up."""
    watch = Watch(steps // 3, steps)
    build(recipe, tmp_path / "run", overrides=[f"train.steps={steps}"], reporter=watch)
    first, last = watch.resident
    assert last - first < bound * MIB


def samplers():
    """Every sampler and executor that runs here."""
    skipped = {"graphs", "persistent"} if torch.cuda.is_available() else {"graphs", "persistent", "cuda"}
    executors = [name for name in EXECUTORS if name not in skipped]
    return [
        "ancestral",
        "fixed_point",
        *(pytest.param(name, marks=pytest.mark.needs_compiler if name == "native" else ()) for name in executors),
    ]


@pytest.mark.parametrize("name", samplers())
def test_drawing_is_flat(run, name):
    """300 calls in the long form; what a call kept, a plan or an executor, would be 50 KiB and more."""
    model, calls = load(run), 300 if LONG else 8
    sampler = named("sampler", "cached", executor=name).build() if name in EXECUTORS else sampler_for(name)
    taken = []
    for call in range(calls):
        model.sample(2, seed=call, sampler=sampler)
        if call in (calls // 4, calls - 1):
            gc.collect()
            taken.append(resident())
    assert taken[1] - taken[0] < calls * 20 * 1024 + 2 * MIB


def test_estimating_leaves_nothing(run):
    """Models that were made, proved and estimated are gone with the names for them."""
    recipe = load_recipe(run.path / "recipe.yaml", ["train.steps=4"])
    taken = []
    for _ in range(4):
        dry_run(recipe)
        gc.collect()
        taken.append(resident())
    assert taken[-1] - taken[1] < 6 * MIB
