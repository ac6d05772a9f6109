"""The arithmetic of a training step."""

import itertools
import json
import os
import signal

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toys import CPU, Toy, Unscored, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.errors import RecipeError
from pixkit.execution.native.fusing import LEANEST
from pixkit.image import ImageSpec
from pixkit.precision import OPERATIONS, read
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.load import construct, load, load_data
from pixkit.training import precision
from pixkit.training.autotune import seconds_of
from pixkit.training.build import build
from pixkit.training.memory import estimate
from pixkit.training.precision import Arithmetic, ChannelsLast, point_product, side_by_side
from pixkit.training.rounding import largest_change, remark
from pixkit.training.step import Stepper
from pixkit.training.watch import Reporter

HALF = ("train.precision=bf16", "train.memory_format=channels_last")
SMALL = (
    "data.limit_train=100",
    "data.limit_test=20",
    "model.backbone.width=12",
    "model.backbone.layers=1",
    "train.batch_size=8",
    "train.schedule.warmup=2",
    "train.eval_every=4",
    "train.checkpoint_every=3",
    "train.steps=8",
    "sample.count=2",
)


class Spy(Toy):
    """Two layers whose results and loss are kept to be looked at."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        self.seen = []

    def score(self, batch):
        hidden = torch.relu(self.first(batch.x.float()))
        params = self.second(hidden)
        self.seen += [hidden, params]
        return F.cross_entropy(params.float(), batch.x[:, 0], reduction="none").flatten(1).sum(1)


class Heard(Reporter):
    """Keeps messages, and what went on after training."""

    def __init__(self):
        self.texts, self.work = [], []

    def message(self, text):
        self.texts.append(text)

    def working(self, what, done, total):
        self.work.append((what, done, total))


def stepper_of(model=Spy, **train):
    recipe = toy_recipe(model, **train)
    built, dataset = toy_model(recipe)
    return Stepper(built, BatchSequence(dataset, recipe.train.batch_size, 0), recipe.train, 0, CPU)


def small(*overrides):
    return load_recipe("digits-pixelcnn", [*SMALL, *overrides])


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_loss_is_computed_as_the_recipe_says_and_nothing_else_is(precision, dtype, memory_format):
    stepper = stepper_of(precision=precision, memory_format=memory_format)
    row = stepper.make(1)
    hidden, params = stepper.model.seen
    assert (hidden.dtype, params.dtype) == (dtype, dtype)
    assert hidden.is_contiguous(memory_format=torch.channels_last) == (memory_format == "channels_last")
    assert hidden.is_contiguous() == (memory_format == "contiguous")
    for parameter in stepper.model.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.is_contiguous()
    found = [parameter.grad for parameter in stepper.model.parameters() if parameter.grad is not None]
    found += [value for state in stepper.phases[0].optimizer.state.values() for value in state.values()]
    assert {kept.dtype for kept in found} == {torch.float32}
    assert row["nats"] == pytest.approx(stepper_of().make(1)["nats"], rel=1e-2)
    stepper.model.seen.clear()
    stepper.model.score(next(stepper.batches(1)))
    assert stepper.model.seen[0].dtype == torch.float32


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_products_are_in_tf32_where_it_is_said_in_losses_and_gradients(precision):
    """Whether a device has TF32 or not, this is what torch is told; a CPU pays no heed to it."""
    seen = {"loss": set(), "gradient": set()}

    class Asking(Spy):
        def score(self, batch):
            note("loss")
            self.second.weight.register_hook(lambda gradient: note("gradient"))
            return super().score(batch)

    def note(place):
        seen[place].update(read(("cuda", operation)) for operation in OPERATIONS)

    told = {"tf32" if precision == "tf32" else "ieee"}
    stepper = stepper_of(Asking, precision=precision)
    before = [read(("cuda", operation)) for operation in OPERATIONS]
    stepper.make(1)
    assert seen["loss"] == seen["gradient"] == told
    seen["loss"].clear()
    seconds_of(stepper, Arithmetic(precision))
    assert seen["loss"] == seen["gradient"] == told
    assert [read(("cuda", operation)) for operation in OPERATIONS] == before


def test_on_a_device_without_tf32_it_is_said_to_be_float32(tmp_path):
    heard = Heard()
    loaded = small("train.precision=tf32", "train.memory_format=contiguous", "train.steps=3")
    run = build(loaded, tmp_path / "run", device="cpu", reporter=heard).run
    said = "fp32, contiguous: as the recipe says, except tf32, which this device does not have"
    assert f"training in {said}" in heard.texts
    lock = run.settings()["lock"]["arithmetic"]
    assert (lock["precision"], lock["products"]) == ("fp32", "ieee")
    plain = build(small("train.steps=3"), tmp_path / "plain", device="cpu").run
    assert files_of(plain) == files_of(run)


def test_a_run_in_tf32_goes_on_in_float32_where_there_is_none_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("pixkit.training.precision.has_tf32", lambda device: True)
    options = ("train.precision=tf32", "train.memory_format=contiguous", "train.schedule.type=constant")
    run = build(small(*options, "train.steps=2"), tmp_path / "run", device="cpu").run
    assert run.settings()["lock"]["arithmetic"]["precision"] == "tf32"
    assert run.settings()["lock"]["arithmetic"]["products"] == "tf32"
    monkeypatch.undo()
    heard = Heard()
    build(small(*options, "train.steps=3"), run.path, device="cpu", resume=True, reporter=heard)
    said = "fp32, contiguous: as the recipe says, except tf32, which this device does not have"
    assert f"going on in {said}" in heard.texts
    lock = run.settings()["lock"]
    assert (lock["arithmetic"]["precision"], lock["arithmetic"]["products"]) == ("fp32", "ieee")
    assert "step 2, arithmetic.precision: tf32 -> fp32" in lock["changes"]


def test_layouts_agree():
    rows = [stepper_of(memory_format=name).make(1) for name in ("contiguous", "channels_last")]
    assert rows[1] == pytest.approx(rows[0], rel=1e-5)


def test_auto_is_plain_until_it_is_measured():
    assert Arithmetic.of(toy_recipe().train) == Arithmetic("fp32", "contiguous")
    assert str(Arithmetic("bf16", "channels_last")) == "bf16, channels_last"


@pytest.mark.parametrize("bias", [True, False])
def test_1x1_convolutions_of_maps_side_by_side_are_products_of_matrices(bias):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    for options in ({}, {"stride": 2}, {"padding": 1}, {"groups": 3}, {"kernel_size": 3}):
        layer = nn.Conv2d(3, 6, **{"kernel_size": 1, **options}, bias=bias).double()
        product = point_product(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        assert (product is None) == bool(options)
        with ChannelsLast(products=True):
            found = layer(x)
        torch.testing.assert_close(found, layer(x), rtol=1e-12, atol=1e-12)
        assert found.is_contiguous(memory_format=torch.channels_last)
    assert point_product(x, torch.zeros(7, 3, 1, 1, dtype=torch.float64)).shape == (2, 7, 4, 5)
    assert point_product(x[0], torch.zeros(7, 3, 1, 1, dtype=torch.float64)) is None


@pytest.mark.parametrize("maps", [1, 2, 3])
def test_the_first_convolution_is_computed_with_channels_side_by_side(maps):
    """Also of a single map, which has no layout of its own; nothing is left to bring into it."""
    layer, x = nn.Conv2d(maps, 4, 3).double(), torch.randn(2, maps, 5, 6, dtype=torch.float64)
    image, weight = side_by_side(x, layer.weight)
    assert F.conv2d(image, weight).is_contiguous(memory_format=torch.channels_last)
    assert not F.conv2d(x, layer.weight).is_contiguous(memory_format=torch.channels_last)
    found = []
    for aligned in (True, False):
        with ChannelsLast(aligned=aligned):
            out = layer(x)
        found.append([out, *torch.autograd.grad(out.square().sum(), layer.parameters())])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, rtol=1e-12, atol=1e-12)
    x = x.contiguous(memory_format=torch.channels_last)
    assert side_by_side(x, layer.weight)[1].shape[1] == max(maps, 2)


def test_which_1x1_convolutions_are_products(monkeypatch):
    """In bfloat16 they are for runs that were begun with that."""
    asked, (layer, x) = [], (nn.Conv2d(2, 2, 1), torch.randn(1, 2, 3, 3))
    monkeypatch.setattr(precision, "point_product", lambda *given: asked.append(given))
    for kind, lean in itertools.product(("fp32", "bf16"), range(LEANEST + 1)):
        with Arithmetic(kind, "channels_last", lean=lean).forward(CPU):
            assert layer(x).dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[kind]
        assert len(asked) == (lean > 0 and (kind == "fp32" or lean == 1)), (kind, lean)
        asked.clear()


def test_what_is_no_image_keeps_its_layout():
    x = torch.randn(3, 4, 5)
    with ChannelsLast():
        assert F.conv2d(x, torch.randn(2, 3, 1, 1)).shape == (2, 4, 5)
        assert F.conv_transpose2d(x[None], torch.randn(3, 2, 1, 1)).is_contiguous(memory_format=torch.channels_last)
        assert (x + 1).is_contiguous()


@pytest.mark.parametrize("precision", ["fp16", "float16", "16"])
def test_other_precisions_are_refused(precision):
    with pytest.raises(RecipeError, match="precision"):
        small(f"train.precision={precision}")


class HalfLoss(Spy):
    """Sums up in half precision."""

    def loss(self, batch, step):
        return {"loss": self.second(self.first(batch.x.float())).mean()}


def test_a_loss_in_half_precision_is_refused():
    stepper_of(HalfLoss, precision="fp32").make(1)
    with pytest.raises(ValueError, match=r"bfloat16; sum the output"):
        stepper_of(HalfLoss, precision="bf16").make(1)


def test_half_precision_takes_less_memory():
    single, half = (estimate(stepper_of(precision=name, batch_size=64), CPU).activations for name in ("fp32", "bf16"))
    assert half < single


@pytest.mark.parametrize("head", ["softmax", "logistic_mixture", "normal_mixture"])
def test_likelihoods_under_autocast_are_those_of_float32_arithmetic(head):
    recipe = small(f"model.head.type={head}").recipe
    model = construct(recipe, ImageSpec(1, 8, 8, 17), None, CPU).eval()
    network, x = model.network, torch.randint(17, (4, 1, 8, 8))
    with torch.no_grad():
        nn.init.normal_(network.projection.weight)
        with Arithmetic("bf16", "channels_last").forward(CPU):
            params, nats = network(x), network.log_prob(x)
        assert params.dtype == torch.bfloat16
        assert nats.dtype == torch.float32
        assert torch.equal(nats, network.head.distribution(params.float()).log_prob(x))


class SignalAt(Reporter):
    """Sends this process a signal when a step was made."""

    def __init__(self, step):
        self.at = step

    def step(self, step, metrics):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def files_of(run):
    paths = list(run.checkpoints.rglob("*.safetensors"))
    return {path.relative_to(run.path): path.read_bytes() for path in [*paths, run.samples / "best.npz", run.scores]}


def test_a_bf16_run_that_was_interrupted_ends_bit_for_bit_like_one_that_was_not(tmp_path):
    whole = build(small(*HALF), tmp_path / "whole", device="cpu").run
    cut = build(small(*HALF), tmp_path / "cut", device="cpu", reporter=SignalAt(5))
    assert cut.interrupted == signal.SIGINT
    resumed = build(small(*HALF), tmp_path / "cut", device="cpu", resume=True).run
    assert files_of(resumed) == files_of(whole)
    assert len(files_of(whole)) >= 8
    plain = build(small(), tmp_path / "plain", device="cpu").run
    assert files_of(plain) != files_of(whole)


def test_how_far_bf16_moves_a_score_is_measured_and_told(tmp_path):
    heard = Heard()
    result = build(small(*HALF, "train.steps=2"), tmp_path / "run", device="cpu", reporter=heard)
    notes = json.loads(result.run.scores.read_text())["notes"]
    told = [text for text in notes if text in heard.texts]
    assert len(told) == 1 and told[0].startswith("in bf16, which it was trained in, an image's score differs from")
    model, data = load(result.run, device="cpu"), load_data(result.run)
    batch = data.batch("test", torch.arange(8))
    with torch.no_grad():
        exact = model.score(batch)
        with Arithmetic("bf16", "channels_last").forward(CPU):
            moved = model.score(batch)
    assert f"{float((moved.double() - exact.double()).abs().max()):.2g} nats (over 8 test images)" in told[0]
    assert largest_change(model, batch, Arithmetic()) == 0
    nn.init.normal_(model.network.projection.weight)
    assert largest_change(model, batch, Arithmetic("bf16")) > 0.01
    assert remark(model, data, 8, Arithmetic()) is None


class Drawing(Toy):
    """Draws when it scores."""

    def score(self, batch):
        return torch.rand(len(batch.x))


@pytest.mark.parametrize(("data", "size", "images"), [
    ({}, 5, "5 test"), ({}, 99, "11 test"), ({"tests": 0}, 99, "4 validation"),
    ({"tests": 0, "validation": 0.0}, 36, "36 train"),
])  # fmt: skip
def test_a_score_is_looked_at_on_the_first_images_that_there_are_of_tests_or_else_others(data, size, images):
    model, dataset = toy_model(toy_recipe(Spy, data=data))
    assert f"(over {images} images)" in remark(model, dataset, size, Arithmetic("bf16"))
    drawing, _ = toy_model(toy_recipe(Drawing))
    assert remark(drawing, dataset, size, Arithmetic("bf16")).endswith(f"at most 0 nats (over {images} images)")
    assert remark(toy_model(toy_recipe(Unscored))[0], dataset, size, Arithmetic("bf16")) is None


def test_where_it_cannot_be_measured_that_is_said(tmp_path):
    class Single(Spy):
        def score(self, batch):
            nats = super().score(batch)
            if self.seen[-1].dtype != torch.float32:
                raise RuntimeError("no")
            return nats

    model, dataset = toy_model(toy_recipe(Single))
    assert remark(model, dataset, 4, Arithmetic("bf16")) == "cannot tell how far bf16 moves a score: RuntimeError"


def test_what_bf16_saved_is_float32(tmp_path):
    run = build(small(*HALF, "train.steps=2"), tmp_path / "run", device="cpu").run
    folder = run.checkpoint("last")
    manifest = checkpoint.verify(folder)
    for name in ("model", "ema", "optimizer"):
        assert {value.dtype for value in checkpoint.read_tensors(folder, manifest, name).values()} == {torch.float32}
    assert run.settings()["lock"]["arithmetic"]["precision"] == "bf16"
