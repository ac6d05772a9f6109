"""Every recipe on a pretended device: nothing is on the wrong one, and sampling's walk copies and reads nothing."""

import copy

import pytest
import torch
from families import LONG, model_of, networks, sample, stated
from pretend import DEVICE, OnDevice, Pretending
from torch import nn

from pixkit.context import ContextSpec
from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import Batch, ImageSpec
from pixkit.layers import DiagonalLSTM, MaskedDownsample, MaskedUpsample, RowLSTM, Shift
from pixkit.layers.state import initial_state
from pixkit.models import LatentModel
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.recipe import load_recipe
from pixkit.tasks.complete import complete
from pixkit.tasks.latents import reconstruct
from pixkit.tasks.masks import keep_edge
from pixkit.tasks.upscale import upscale
from pixkit.testing import named, network, randomise


def test_the_device_refuses_what_a_gpu_refuses():
    with Pretending():
        here, there = torch.ones(2, 3), torch.ones(2, 3).to(DEVICE)
        for wrong in (
            lambda: here + there,
            lambda: there.add_(here),
            lambda: here.add_(there.sum()),
            lambda: torch.cat([there, here]),
            lambda: torch.where(there > 0, there, here),
            lambda: nn.Linear(3, 2)(there),
            lambda: there.index_select(0, torch.tensor([1])),
            lambda: here[torch.tensor([1]).to(DEVICE)],
        ):
            with pytest.raises(RuntimeError, match="same device"):
                wrong()
        for right in (there * 2, there + torch.tensor(2.0), there[torch.tensor([1])], there[[1]], there.new_tensor(1)):
            assert isinstance(right, OnDevice)
        assert torch.equal(there.masked_fill(torch.eye(2, 3).bool().to(DEVICE), 0).cpu(), 1 - torch.eye(2, 3))


def test_reads_and_copies_are_counted():
    with Pretending() as seen:
        x = torch.arange(6.0, device=DEVICE).view(2, 3)
        x[:, 0] += x[:, 2]
        assert (seen.reads, seen.copies) == ({}, {})
        assert float(x.sum()) == 22 and bool((x >= 0).all()) and x.tolist()[1] == [8, 4, 5]
        assert (seen.reads, seen.copies) == ({"_local_scalar_dense": 2}, {"from": 1})
        assert x[x > 3].shape == (3,) and len(x.nonzero()) == 6
        assert seen.reads == {"_local_scalar_dense": 2, "nonzero of an index": 1, "nonzero": 1}
        seen.clear()
        x[torch.tensor([0])] = x[torch.tensor([1])]
        assert (seen.reads, seen.copies) == ({}, {"to": 2})


def test_gradients_are_those_of_the_cpu():
    torch.manual_seed(0)
    for cls in (nn.LSTM, nn.GRU):
        layer, x = cls(3, 4, batch_first=True).double(), torch.randn(2, 5, 3, dtype=torch.float64)
        layer(x)[0].square().sum().backward()
        with Pretending():
            twin = copy.deepcopy(layer)
            twin.zero_grad()
            twin.to(DEVICE)(x.to(DEVICE))[0].square().sum().backward()
            for one, other in zip(layer.parameters(), twin.parameters(), strict=True):
                assert torch.allclose(one.grad, other.grad.cpu(), rtol=0, atol=1e-12)


class Replayed(GraphExecutor):
    """Replays by running the body again, as a graph would with the same held inputs, after one run to warm up."""

    def _capture(self, body):
        body()
        return body


EXECUTORS = (ReferenceExecutor, EagerExecutor, Replayed)
HOT = 4.0
"""A temperature at which few random networks are sure of all levels."""


def walked(executor):
    """What an executor draws, on the CPU, and what of its walk was read and copied."""
    net = executor.plan.trace.network
    with Pretending() as seen, torch.no_grad():
        uniforms = net.uniforms(Noise(3, range(executor.batch))).flatten(3)
        seen.clear()
        executor.walk(uniforms, HOT, None)
        counted = dict(seen.reads), dict(seen.copies)
        return executor.pixels.cpu(), *counted


SIDE = 3 if LONG else 2
"""Of an image: what is on which device, and what a step waits for, does not depend on how many sites there are."""


def drawn():
    """All recipes in the long set; else of those of CIFAR three, as smaller ones have the others' networks, in grey."""
    kept = ("cifar10-pixelcnn", "cifar10-multiscale", "cifar10-pixelsnail")
    return [name for name in sample() if LONG or name in kept or not name.startswith("cifar10")]


@pytest.mark.parametrize("name", drawn())
def test_a_recipe_draws_the_images_of_the_cpu_and_its_walk_waits_for_nothing(name):
    nets = [*networks(name, side=SIDE, most=1)]
    assert nets
    for net in nets:
        reference = ReferenceExecutor(make_plan(Trace(net)), 3, net.example_context(3))
        expected, *_ = walked(reference)
        assert len(expected.unique()) > 1
        with torch.no_grad():
            params = net(expected.transpose(1, 2).unflatten(2, (SIDE, SIDE)), net.example_context(3)).flatten(2)
        assert torch.allclose(reference.params(torch.arange(SIDE * SIDE)), params, rtol=1e-9, atol=1e-9)
        with Pretending():
            twin = copy.deepcopy(net).to(DEVICE)
            plan, context = make_plan(Trace(twin)), twin.example_context(3)
        for make in EXECUTORS:
            with Pretending():
                executor = make(plan, 3, context)
            found, reads, copies = walked(executor)
            assert torch.equal(found, expected), make.__name__
            assert (reads, copies) == ({}, {}), make.__name__


def models():
    """One recipe of each kind of model and head."""
    names = [name for name in sample() if LONG or not name.startswith("cifar10")]
    return sorted({(stated(name)["type"], stated(name)["head"]["type"]): name for name in names}.values())


@pytest.mark.parametrize("name", models())
def test_a_model_trains_scores_and_draws_with_nothing_on_the_wrong_device(name):
    model = model_of(name, side=4)
    labels = torch.arange(4) % 3 if model.labelled else None
    x = torch.randint(model.spec.levels, (4, *model.spec.shape), generator=torch.Generator().manual_seed(0))
    with Pretending() as seen:
        model.to(DEVICE)
        batch = Batch(x, labels, torch.arange(4)).to(DEVICE)
        seen.clear()
        for phase in model.phases():
            phase.loss(batch, 0)["loss"].backward()
        assert seen.reads == {}
        # Where torch has no fused attention, it makes the numbers of a mask on the CPU.
        masks = 16 if name == "mnist-transformer-any-order" else 0
        assert seen.copies.get("to", 0) == masks and "from" not in seen.copies
        found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert found and all(isinstance(gradient, OnDevice) for gradient in found)
        model.eval()
        assert all(isinstance(value, OnDevice) for value in model.assess(batch).values())
        assert isinstance(model.sample(2), OnDevice)
        model.verify()
        if isinstance(model, LatentModel):
            model.encode(x)
            assert reconstruct(model, x[:1]).images.device.type == "cpu"
        else:
            known = keep_edge(model.spec.shape, "top", 2)
            label = {"label": 1} if model.labelled else {}
            assert complete(model, x[:1], known, 2, **label).samples.device.type == "cpu"


def test_conditions_are_hidden_and_trained_with_nothing_read_or_copied():
    arrays = ContextSpec("v", (3,)), ContextSpec("c", (2, 2), 5), ContextSpec("small", (1, 2, 2), 3, 2, "every")
    asked = (
        "{type: label, size: 2, dropout: 0.5}, {type: vector, from: v, size: 2, dropout: 0.25}, "
        "{type: codes, from: c, size: 2}, {type: image, from: small, size: 2, dropout: 0.1}"
    )
    changes = [f"model.context=[{asked}]", "model.backbone.width=4", "model.backbone.layers=1"]
    spec = ImageSpec(1, 4, 4, 3, context=arrays)
    model = load_recipe("digits-attributes", changes).recipe.model.build(spec, 3)
    beside = torch.cat([torch.randn(4, 3), torch.arange(8).view(4, 2).repeat(1, 4).float() % 3], 1)
    batch = Batch(torch.arange(64).view(4, 1, 4, 4) % 3, torch.arange(4) % 3, torch.arange(4), beside)
    with Pretending() as seen:
        model.to(DEVICE).train()
        there = batch.to(DEVICE)
        (phase,) = model.phases()
        seen.clear()
        phase.loss(there, 0)["loss"].backward()
        assert (seen.reads, seen.copies) == ({}, {})
        model.eval()
        assert isinstance(model.assess(there)["nats"], OnDevice)


@pytest.mark.parametrize("make", [RowLSTM, DiagonalLSTM])
def test_a_recurrence_is_trained_with_nothing_read_or_copied(make):
    """As a captured graph has to be; its gradients are those of the loop, which runs on the CPU."""
    layer = make(3, named("ordering", "raster").build(ImageSpec(1, 4, 3, 2), "joint")).double()
    randomise(layer, 1)
    x = torch.randn(2, 12, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer(x).square().sum().backward()
    with Pretending() as seen:
        twin = copy.deepcopy(layer).to(DEVICE)
        there = x.to(DEVICE)
        twin.zero_grad()
        seen.clear()
        twin(there).square().sum().backward()
        assert (seen.reads, seen.copies) == ({}, {})
        for one, other in zip(layer.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(one.grad, other.grad.cpu(), rtol=0, atol=1e-12)


def test_an_enlargement_is_drawn_on_the_device():
    model = model_of("digits-multiscale", side=8)
    with Pretending():
        model.to(DEVICE).eval()
        small = torch.zeros(1, 1, 4, 4, dtype=torch.int64)
        assert upscale(model, small).samples.device.type == "cpu"


@pytest.mark.parametrize(
    ("cls", "grid", "after"), [(MaskedDownsample, (5, 6), (3, 3)), (MaskedUpsample, (3, 3), (5, 6))]
)
def test_masked_layers_between_scales_are_proved_and_run_on_the_device(cls, grid, after):
    layer = cls(6, 9, 3, named("ordering", "hilbert").build(ImageSpec(3, 5, 6, 2), "sequential"))
    with Pretending() as seen, torch.no_grad():
        layer.to(DEVICE)
        layer.ready(torch.zeros(3, *grid, dtype=torch.int64))
        layer.reads(torch.ones(3, *after, dtype=torch.bool), [grid])
        state = initial_state(layer, 2, [grid], DEVICE)
        x, sites = torch.rand(2, 6, *grid, device=DEVICE), torch.arange(after[0] * after[1], device=DEVICE)
        memory = torch.cat([x.flatten(2), x.new_zeros(2, 6, 1)], 2).transpose(1, 2)
        seen.clear()
        found = layer.at(1, 3, sites, [memory], state).transpose(1, 2).unflatten(2, after)
        assert (seen.reads, seen.copies) == ({}, {})
        assert torch.allclose(found.cpu(), layer(x)[:, 1::3].cpu(), rtol=0, atol=1e-6)


class Astray(Shift):
    """Makes its table on the CPU wherever the images are drawn, as Shift once did."""

    def init_state(self, batch, grids, device=None):
        return super().init_state(batch, grids, torch.device("cpu"))

    def at(self, group, groups, sites, inputs, state):
        return inputs[0][:, state[sites], group::groups]


@pytest.mark.parametrize("make", EXECUTORS)
def test_a_table_on_the_wrong_device_is_noticed_in_every_executor(make):
    net = network(named("backbone", "pixelcnn", width=12, layers=0), ImageSpec(1, 3, 4, 2))
    net.backbone.body.append(Astray(1, 0))
    with Pretending():
        plan = make_plan(Trace(net.to(DEVICE)))
        executor = make(plan, 2)
    with pytest.raises(RuntimeError, match="indices should be either on cpu"):
        walked(executor)


@pytest.mark.parametrize("make", EXECUTORS)
@pytest.mark.parametrize("planted", ["memory", "steps", "pixels"])
def test_a_tensor_of_an_executor_on_the_wrong_device_is_noticed(make, planted):
    net = network(named("backbone", "pixelcnn", width=12, layers=1), ImageSpec(1, 3, 4, 2))
    with Pretending():
        executor = make(make_plan(Trace(net.to(DEVICE))), 2)
        if planted == "memory":
            executor.memory = {name: None if one is None else one.cpu() for name, one in executor.memory.items()}
        elif planted == "steps":
            executor.draws = [(sites.cpu(), due.cpu()) for sites, due in executor.draws]
        else:
            executor.pixels = executor.pixels.cpu()
    if planted == "steps":
        assert walked(executor)[2] != {}
    else:
        with pytest.raises(RuntimeError, match=r"on cpu|same device"):
            walked(executor)
