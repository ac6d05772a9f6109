"""Training and all else that is done with a run on a pretended device: none on a wrong one, the numbers of the CPU."""

import re
from pathlib import Path

import pytest
import torch
from every_recipe import OPTIONS, check
from families import LONG, sample, smaller, stated
from made_data import made_data
from outcomes import OK
from pretend import DEVICE, OnDevice, Pretending
from torch.utils._python_dispatch import TorchDispatchMode

import pixkit
from pixkit.data import prepare
from pixkit.data.dataset import BatchSequence
from pixkit.recipe import load_recipe
from pixkit.runs import record
from pixkit.runs.load import construct
from pixkit.tasks.masks import keep_edge
from pixkit.testing.parts import randomise
from pixkit.training.memory import estimate
from pixkit.training.step import Stepper

CPU = torch.device("cpu")
SIDE = 4


def kinds():
    """One recipe of each kind of model, backbone and head."""
    parts = {
        (stated(name)["type"], *(stated(name)[part]["type"] for part in ("backbone", "head"))): name
        for name in sample()
    }
    return sorted(parts.values())


def loaded(name, folder, side=SIDE):
    data = made_data(folder, name, load_recipe(name).recipe.data.config.model_dump(), side, 20)
    return load_recipe(name, [*smaller(stated(name)), *OPTIONS, data]).recipe


def side_of(name):
    """As many sites as it takes to halve their grid as often as the recipe does."""
    return 8 if "multiscale" in name or "pixelcnnpp" in name else SIDE


def stepper(name, folder, device):
    """A recipe's, with random weights; the same ones on every device."""
    recipe = loaded(name, folder, side_of(name))
    dataset = prepare(recipe.data, Path())
    model = construct(recipe, dataset.spec, dataset.classes, CPU).to(device)
    return Stepper(model, BatchSequence(dataset, recipe.train.batch_size, 0), recipe.train, 0, device)


UNREPEATABLE = re.compile(
    r"reflection_pad|upsample_(linear|bilinear|bicubic|trilinear)|adaptive_(avg|max)_pool|fractional_max_pool|max_unpool"
    r"|avg_pool3d|nll_loss2d|ctc_loss|embedding_bag|^put_$|histc|bincount|median|kthvalue|grid_sampler|cumsum|scatter_reduce"
)
"""Of which torch's documentation says that it has no deterministic kernel on CUDA, forward or backward."""


class Operations(TorchDispatchMode):
    """Their names, of all that is computed while it is entered."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", kinds())
def test_steps_are_those_of_the_cpu_by_operations_that_have_deterministic_kernels(name, tmp_path):
    here = stepper(name, tmp_path, CPU)
    here.initialise()
    needed = estimate(here, CPU).training
    with Operations() as done:
        expected = [here.make(step) for step in (1, 2)]
    assert done.names & {"convolution_backward", "mm"}, "gradients are among them"
    assert [name for name in done.names if UNREPEATABLE.search(name)] == []
    with Pretending():
        there = stepper(name, tmp_path, DEVICE)
        there.initialise()
        assert estimate(there, DEVICE).training == needed > 0
        for step, losses in enumerate(expected, 1):
            found = there.make(step)
            for key, value in losses.items():
                assert found[key] == pytest.approx(value, rel=1e-4, abs=1e-6), key
        for (key, one), other in zip(here.model.state_dict().items(), there.model.state_dict().values(), strict=True):
            assert isinstance(other, OnDevice), key
            assert torch.allclose(one, other.cpu(), rtol=1e-3, atol=1e-4), key


@pytest.mark.parametrize("planted", ["batch", "parameter"])
def test_a_tensor_of_a_step_on_the_wrong_device_is_noticed(planted, tmp_path, monkeypatch):
    with Pretending():
        one = stepper("digits-pixelcnn", tmp_path, DEVICE)
        if planted == "batch":
            batch = next(one.sequence.dataset.batches("train", 4))
            monkeypatch.setattr(one.source, "shared", lambda *given: [[(0, batch)]])
        else:
            holder = next(module for module in one.model.modules() if module._parameters)
            name, value = next(iter(holder._parameters.items()))
            holder._parameters[name] = torch.nn.Parameter(value.cpu())
        with pytest.raises(RuntimeError, match=r"same device|on cpu"):
            one.make(1)


@pytest.mark.parametrize("sampler", ["ancestral", "fixed_point", "cached"])
@pytest.mark.parametrize("name", ["digits-gated", "digits-pixelvae"])
def test_every_sampler_draws_the_images_of_the_cpu(name, sampler, tmp_path):
    recipe = loaded(name, tmp_path)
    dataset = prepare(recipe.data, Path())
    model = construct(recipe, dataset.spec, dataset.classes, CPU).double().eval()
    randomise(model, 1)
    ways = [{}, {"guidance": 0.5, "labels": [1]}] if model.guidable else [{}]
    expected = [pixkit.sample(model, 2, seed=3, sampler=sampler, **way).images for way in ways]
    with Pretending():
        model.to(DEVICE)
        found = [pixkit.sample(model, 2, seed=3, sampler=sampler, **way).images for way in ways]
        if model.completes:
            known = keep_edge(model.spec.shape, "top", 2)
            image = dataset.batch("test", torch.arange(1)).x
            label = {"label": 1} if model.labelled else {}
            given = pixkit.complete(model, image, known, 2, sampler=sampler, **label)
            assert torch.equal(given.samples[:, known], image.expand_as(given.samples)[:, known])
    assert all(map(torch.equal, expected, found))


@pytest.fixture
def chosen(monkeypatch):
    """What takes a device by name takes "pretended", too."""
    pick = record.pick_device
    for module in (
        "runs.load",
        "training.build",
        "training.dryrun",
        "tasks.networks",
        "tasks.evaluate",
        "tasks.drawer",
    ):
        stand_in = lambda name, *more: DEVICE if name.startswith("pretended") else pick(name, *more)  # noqa: E731 - one for each
        monkeypatch.setattr(f"pixkit.{module}.pick_device", stand_in)


@pytest.mark.parametrize("name", kinds() if LONG else ["digits-pixelvae"])
@pytest.mark.usefixtures("chosen")
def test_everything_is_done_with_a_recipe_on_the_device(name):
    """Built, resumed, verified, scored, estimated, sampled, completed, upscaled, reconstructed."""
    with Pretending() as seen:
        verdict, note, _ = check(name, "pretended", side_of(name))
    assert verdict == OK, note
    assert seen.copies["to"] and seen.copies["from"]
