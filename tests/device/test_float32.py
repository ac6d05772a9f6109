"""Float32 is float32: what torch is told for a while, and that a user's own settings, however made, survive it.

Torch keeps these settings on any machine, with and without a GPU.
"""

import itertools
import random
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from families import model_of
from torch.utils._python_dispatch import TorchDispatchMode

import pixkit
from pixkit.data import prepare
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.precision import EVERYWHERE, OPERATIONS, float32_products, has_tf32, left_as_set, read, write
from pixkit.readiness.check import find
from pixkit.recipe import load_recipe
from pixkit.samplers import Ancestral
from pixkit.tasks.complete import conditional_nats
from pixkit.tasks.masks import keep_edge
from pixkit.tasks.score import active_units, score
from pixkit.tasks.timing import time_sampling
from pixkit.testing import named, network
from pixkit.training.build import dry_run

BACKENDS = ("cuda", "mkldnn")
KEYS = [EVERYWHERE, *((backend, operation) for backend in BACKENDS for operation in ("all", *OPERATIONS))]
TINY = (
    *("data.limit_train=16", "data.limit_test=4", "data.validation=0.02", "model.backbone.width=8"),
    *("model.backbone.layers=1", "train.steps=1", "train.batch_size=4", "sample.count=1", "sample.type=ancestral"),
)
aten = torch.ops.aten
PRODUCTS = {aten.convolution, aten.convolution_backward, aten.mm, aten.addmm, aten.bmm, aten.baddbmm}
BACKBONE = {"type": "pixelcnn", "width": 8, "layers": 1, "first_kernel": 3}


def legacy():
    """What the older flags say; where torch refuses to say it, that."""
    asked = (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision,
    )
    found = []
    for ask in asked:
        try:
            found.append(ask())
        except RuntimeError as error:
            assert "mix of the legacy and new API" in str(error)
            found.append("refused")
    return found


def settings():
    """Every key and older flag, and what the keys of operations would follow: None where they follow nothing."""
    everywhere, found = read(EVERYWHERE), [*map(read, KEYS), *legacy()]
    for value in ("ieee", "tf32"):
        write(EVERYWHERE, value)
        found += map(read, KEYS)
    write(EVERYWHERE, everywhere)
    return found


@contextmanager
def kept():
    """Settings for a while, made in any way; those of a fresh process after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for key in KEYS:
                write(key, "none")
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = True


@pytest.fixture(autouse=True)
def restored():
    with kept():
        yield


def by_cudnn_flag(value):
    torch.backends.cudnn.allow_tf32 = value


def by_matmul_flag(value):
    torch.backends.cuda.matmul.allow_tf32 = value


WAYS = {
    "nothing": lambda: None,
    "cudnn.allow_tf32": lambda: by_cudnn_flag(False),
    "matmul.allow_tf32": lambda: by_matmul_flag(True),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "keys": lambda: [write(("cuda", operation), "tf32") for operation in OPERATIONS],
    "backend": lambda: write(("cuda", "all"), "tf32"),
    "everywhere": lambda: write(EVERYWHERE, "tf32"),
    "cpu": lambda: write(("mkldnn", "matmul"), "bf16"),
}


def meant(how, backend, operation):
    tf32 = backend == "cuda" and (how == "tf32" or (how == "mixed" and operation != "matmul"))
    return ("tf32",) if tf32 else ("ieee", "none")


def check_inside(how):
    for backend in BACKENDS:
        for operation in OPERATIONS:
            assert read((backend, operation)) in meant(how, backend, operation), (backend, operation)


@pytest.mark.parametrize("how", ["ieee", "tf32", "mixed"])
@pytest.mark.parametrize("way", WAYS)
def test_settings_are_as_before_however_they_were_made(way, how):
    WAYS[way]()
    before = settings()
    with pytest.raises(KeyError), float32_products(how):
        check_inside(how)
        raise KeyError
    assert settings() == before


def test_any_settings_survive_any_nesting():
    choices, hows = random.Random(0), ("ieee", "tf32", "mixed")
    for _ in range(300):
        key = choices.choice(KEYS)
        values = ("none", "ieee", "tf32") if key[0] == "cuda" else ("none", "ieee", "tf32", "bf16")
        choices.choice([*WAYS.values(), lambda key=key, values=values: write(key, choices.choice(values))])()
        before, outer, inner = settings(), choices.choice(hows), choices.choice(hows)
        with float32_products(outer):
            within = settings()
            check_inside(outer)
            with float32_products(inner):
                check_inside(inner)
            assert settings() == within
        assert settings() == before


@pytest.mark.parametrize(("way", "how"), list(zip(WAYS, itertools.cycle(["ieee", "tf32", "mixed"]), strict=False)))
def test_an_export_leaves_settings_as_they_were_within_and_without(way, how):
    WAYS[way]()
    layer, x = torch.nn.Conv2d(1, 1, 3), torch.zeros(3, 1, 4, 4)
    before = settings()
    with float32_products(how):
        within = settings()
        with left_as_set():
            torch.export.export(layer, (x,)).run_decompositions({})
        assert settings() == within
    assert settings() == before
    with left_as_set():
        write(("cuda", "matmul"), "tf32")  # as graphs within graphs do
    assert settings() == before
    assert torch.backends.mkldnn.enabled and torch.backends.cudnn.enabled


def tiny(name):
    return model_of(name, side=4).eval()


def images(model, count=1):
    return torch.randint(model.spec.levels, (count, *model.spec.shape), generator=torch.Generator().manual_seed(0))


def known(model):
    return keep_edge(model.spec.shape, "top", 2)


@pytest.fixture(scope="module")
def dataset():
    return prepare(load_recipe("digits-pixelcnn", TINY).recipe.data, Path())


def scored(dataset, name="autoregressive", **config):
    return named("model", name, backbone=BACKBONE, **config).build(dataset.spec, None).eval()


def vae(dataset):
    return scored(dataset, "pixelvae", encoder={"width": 4, "hidden": 8}, latent=3)


def net():
    return network(named("backbone", "pixelcnn", width=8, layers=1), ImageSpec(1, 4, 4, 2)).eval()


def how_of(sampler="ancestral"):
    return {"sampler": sampler, "batch_size": 1}


ENTRIES = {
    "evaluate": lambda data, path: pixkit.evaluate(scored(data), data, "test"),
    "score": lambda data, path: score(scored(data), data, "test", 2),
    "importance": lambda data, path: score(vae(data), data, "test", 2, importance=2),
    "active_units": lambda data, path: active_units(vae(data), data, "test"),
    "sample": lambda data, path: pixkit.sample(tiny("mnist-pixelcnn"), 1, **how_of()),
    "sample, cached": lambda data, path: pixkit.sample(tiny("mnist-pixelcnn"), 1, **how_of("cached")),
    "Model.sample": lambda data, path: tiny("mnist-pixelcnn").sample(1, **how_of()),
    "Sampler.sample": lambda data, path: Ancestral(Ancestral.Config()).sample(net(), Noise(0, [0])),
    "complete": lambda data, path: pixkit.complete(
        model := tiny("mnist-pixelcnn"), images(model), known(model), 1, **how_of()
    ),
    "conditional_nats": lambda data, path: conditional_nats(one := net(), images(one), known(one)),
    "upscale": lambda data, path: pixkit.upscale(
        model_of("digits-multiscale").eval(), torch.zeros(1, 1, 4, 4, dtype=torch.int64), 1, **how_of()
    ),
    "reconstruct": lambda data, path: pixkit.reconstruct(
        model := tiny("digits-pixelvae"), images(model), **how_of("cached")
    ),
    "verify": lambda data, path: pixkit.verify(net()),
    "Model.verify": lambda data, path: tiny("mnist-pixelcnn").verify(),
    "find": lambda data, path: find(net()),
    "bench": lambda data, path: pixkit.bench(net(), [1], rounds=1),
    "time_sampling": lambda data, path: time_sampling(net(), [1], rounds=1),
    "build": lambda data, path: pixkit.build(load_recipe("digits-pixelcnn", TINY), path / "run", device="cpu"),
    "dry_run": lambda data, path: dry_run(load_recipe("digits-pixelcnn", TINY), "cpu"),
}


class Looking(TorchDispatchMode):
    """Keeps what the keys say at every operation."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in PRODUCTS:
            self.seen.update(read((backend, operation)) for backend in BACKENDS for operation in OPERATIONS)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_computes_in_float32_and_leaves_settings_as_they_were(name, dataset, tmp_path):
    """Once with settings made in the older way, which `high` makes for both kinds of device, once by the newer keys."""
    for number, way in enumerate(("high", "everywhere")):
        with kept():
            WAYS[way]()
            before = settings()
            with Looking() as looking:
                ENTRIES[name](dataset, tmp_path / str(number))
            assert looking.seen and looking.seen <= {"ieee", "none"}
            assert settings() == before
            if way == "high":
                assert legacy() == [True, True, "high"]


def test_a_gpu_has_tf32_from_ampere_on(monkeypatch):
    assert not has_tf32(torch.device("cpu")) and not has_tf32(torch.device("meta"))
    for capability, expected in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert has_tf32(torch.device("cuda")) == expected
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert not has_tf32(torch.device("cuda"))
