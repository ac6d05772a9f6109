"""Every packaged recipe's networks at a tiny size: the native executor draws the images of the reference one."""

import itertools
import os

import pytest
import torch
import yaml
from teacher import check

from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.recipe import packaged_recipes
from pixkit.tasks.networks import networks_of
from pixkit.testing.parts import randomise

pytestmark = pytest.mark.needs_compiler
LONG = os.environ.get("PIXKIT_LONG") == "1"
MOST = {
    **dict.fromkeys(("layers", "blocks", "stages", "resnets", "residuals", "num_layers"), 1),
    **dict.fromkeys(("width", "output_width", "filters", "units", "features", "hidden", "hidden_size"), 12),
    **dict.fromkeys(("size", "latent", "key_width", "value_width", "components", "categorical"), 4),
    "first_kernel": 3,
}
"""Numbers of a model are at most these, which three colours can share."""
ELSEWHERE = {"row_lstm", "diagonal_bilstm", "row_rnn", "multiscale"}
"""Backbones for which the kernel lacks an instruction."""


def stated(name):
    return yaml.safe_load(packaged_recipes()[name].read_text(encoding="utf-8"))["model"]


def smaller(section, key="model"):
    """Overrides that make a section of a recipe, and all that is in it, small."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from smaller(value, f"{key}.{name}")
        elif name in MOST and value > MOST[name]:
            yield f"{key}.{name}={MOST[name]}"


def family(name):
    """What tells recipes apart that make the kernel do other things."""
    model = stated(name)
    parts = (model.get(part, {}).get("type") for part in ("ordering", "input", "context", "backbone", "head"))
    return (model["type"], *parts, name.startswith("cifar10"))


def sample():
    """One recipe of each family; all of them in the long run."""
    first = {family(name): name for name in sorted(packaged_recipes(), reverse=True)}
    return sorted(packaged_recipes() if LONG else first.values())


def networks(name):
    """Its autoregressive networks with random weights, two of them at most but in the long run."""
    model = stated(name)
    dropout = ["model.backbone.dropout=0"] if "dropout" in model["backbone"] else []
    classes = [3] if "context" in model else []
    found = networks_of(
        packaged_recipes()[name],
        overrides=[*smaller(model), *dropout],
        shape=(
            3 if name.startswith("cifar10") else 1,
            8,
            8,
            2 if model["head"]["type"] == "bernoulli" else 5,
            *classes,
        ),
        device="cpu",
    )
    for network in itertools.islice(found.values(), None if LONG else 2):
        randomise(network, 1)
        yield network.double()


def drawn(make, plan, batch):
    network = plan.trace.network
    executor = make(plan, batch, network.example_context(batch))
    with torch.no_grad():
        executor.walk(network.uniforms(Noise(3, range(batch))).flatten(3), 1.0, None)
    return executor.pixels.clone()


@pytest.mark.parametrize("name", sample())
def test_a_recipe_runs_natively_and_draws_the_reference_executors_images(name):
    before = torch.get_num_threads()
    for network in networks(name):
        plan = make_plan(Trace(network))
        if stated(name)["backbone"]["type"] in ELSEWHERE:
            with pytest.raises(Unsupported):
                NativeExecutor(plan, 3)
            continue
        expected = drawn(ReferenceExecutor, plan, 5)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            try:
                assert torch.equal(drawn(NativeExecutor, plan, 5), expected)
            finally:
                torch.set_num_threads(before)
        assert len(expected.unique()) > 1
        check(network, torch.float32, 5)
