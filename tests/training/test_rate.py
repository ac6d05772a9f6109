"""How much arithmetic there is, how fast it is done, and how that grows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import CPU, Toy, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.models.base import Phase
from pixkit.training import rate
from pixkit.training.precision import Arithmetic
from pixkit.training.rate import Counting, Products, operations
from pixkit.training.scaling import fitted
from pixkit.training.step import Stepper


def test_products_are_counted_forward_and_backward():
    x, weight = torch.ones(3, 2, 5, 5), torch.ones(7, 2, 3, 3, requires_grad=True)
    a, b = torch.ones(4, 6), torch.ones(6, 2, requires_grad=True)
    with Counting() as found:
        (torch.nn.functional.conv2d(x, weight).sum() + (a @ b).exp().sum()).backward()
    conv, product = 2 * 3 * 7 * 9 * 2 * 9, 2 * 4 * 6 * 2
    assert found.total == 2 * (conv + product)  # and the weights' gradients alone: inputs have none


class Product(Toy):
    """Each phase multiplies images by a weight of its own; the first is a part of the second's input."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.one = nn.Parameter(torch.randn(spec.dims, 5))
        self.two = nn.Parameter(torch.randn(5, 7))

    def phases(self):
        return [Phase("first", [self.one], self.loss), Phase("second", [self.two], self.loss)]

    def loss(self, batch, step):
        return {"loss": (batch.x.flatten(1).float() @ self.one @ self.two).sum()}


def test_the_arithmetic_of_an_image_is_that_of_all_phases_and_of_the_gradients_that_each_needs():
    recipe = toy_recipe(Product, accumulate=3)
    model, dataset = toy_model(recipe)
    stepper = Stepper(model, BatchSequence(dataset, 8, 0), recipe.train, 0, CPU)
    one, two = 2 * 6 * 5, 2 * 5 * 7
    assert operations(stepper) == 3 * (one + two) + two  # the first weight is reached through the second
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize(("second", "count"), [(0.04, 3), (0.2, 1)])
def test_products_are_timed_for_a_tenth_of_a_second_after_one_to_warm_up(monkeypatch, precision, dtype, second, count):
    made = []
    monkeypatch.setattr(rate.time, "perf_counter", lambda: second * len(made))
    monkeypatch.setattr(rate, "SIDES", {"cpu": 4, "cuda": 8})
    monkeypatch.setattr(torch, "mm", lambda one, other, *, out: made.append((one.shape, one.dtype, out.dtype)))
    products = Products(Arithmetic(precision), CPU)
    assert products.rate() == pytest.approx(2 * 4**3 / second)
    assert made == [((4, 4), dtype, dtype)] * (1 + count)


def test_a_gpu_is_waited_for_and_nothing_else_is(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    for name in ("cpu", "cuda"):
        rate.wait(torch.device(name))
    assert waited == [torch.device("cuda")]


@settings(max_examples=25)
@given(st.floats(-3, 3), st.floats(-3, 3), st.lists(st.integers(1, 1000), min_size=3, max_size=6, unique=True))
def test_a_power_law_has_its_exponent_and_no_error(exponent, constant, values):
    found = fitted("width", "seconds", [(x, 2.0**constant * x**exponent) for x in values])
    assert found.exponent == pytest.approx(exponent, abs=1e-6) and found.error == pytest.approx(0, abs=1e-6)


def test_the_error_is_that_of_least_squares():
    found = fitted("width", "seconds", [(1, 1), (2, 4), (4, 8)])
    slope, left = 1.5, 1 / 6  # in powers of 2: the residuals are -1/6, 1/3, -1/6
    assert found.exponent == pytest.approx(slope)
    assert found.error == pytest.approx((left / 1 / 2) ** 0.5)
    assert fitted("width", "seconds", [(1, 1), (2, 4)]).error is None
    assert fitted("width", "seconds", [(2, 1), (2, 4)]) is None
    assert fitted("width", "seconds", [(1, 0), (2, 4)]) is None
