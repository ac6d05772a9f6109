"""The contracts of activations, norms, initialisers and encodings notice what is wrong with one."""

import pytest
import torch
from pydantic import Field
from torch import nn

import pixkit
from pixkit.layers import PointwiseLayer
from pixkit.testing import check_activation, check_encoding, check_initialiser, check_norm, component


def activation(forward, base=(pixkit.Activation, PointwiseLayer), **more):
    return component("activation", type("Faulty", base, {"forward": forward, "__doc__": "Faulty.", **more}))


def ragged(self, x):
    return torch.where(x > 0, x, x / 10)


class Detached(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize(
    ("faulty", "text"),
    [
        (activation(lambda self, x: x[:, :1] * x), "which is another"),
        (activation(lambda self, x: x - x.mean((2, 3), keepdim=True)), "which is another"),
        (activation(lambda self, x: x - x.mean(0, keepdim=True)), "which is another"),
        (activation(lambda self, x: torch.cat([x, x], 1)), r"becomes \[2, 4, 2, 3\], not \[2, 2, 2, 3\]"),
        (
            activation(lambda self, x: x * torch.arange(x.shape[3]), maps=lambda self, maps: maps),
            "a subset of the sites",
        ),
        (activation(lambda self, x: torch.sin(1000 * x)), "in bfloat16"),
        (activation(lambda self, x: x.float().relu()), r"for a network in float64 it returns torch\.float32"),
        (activation(lambda self, x: x.sqrt()), "of finite numbers it gives nan"),
        (activation(lambda self, x: x + torch.rand_like(x)), "asked again, it gives other values"),
        (activation(lambda self, x: 2 * x.detach()), "has no gradient: it is detached"),
        (activation(lambda self, x: Detached.apply(x)), "(?s)Jacobian mismatch|the gradient is not"),
        (activation(ragged, (pixkit.Activation,)), r"readiness cannot follow gt .*PointwiseLayer"),
    ],
)
def test_activations(faulty, text):
    with pytest.raises((AssertionError, RuntimeError), match=text):
        check_activation(faulty)


def test_an_activation_that_readiness_is_told_about_is_fine():
    check_activation(activation(ragged))


class Wide(nn.Module):
    def forward(self, x):
        return x / x.square().mean(1, keepdim=True).add(1e-5).sqrt()


class Whole(PointwiseLayer):
    def forward(self, x):
        return x / x.square().mean((1, 2, 3), keepdim=True).add(1e-5).sqrt()


class Twice(PointwiseLayer):
    def forward(self, x):
        return torch.cat([x, x], 1)


class Frail(PointwiseLayer):
    def forward(self, x):
        return x / 0 if self.training else 2 * x


def norm(layer):
    return component("norm", type("Faulty", (pixkit.Norm,), {"layer": layer, "__doc__": "Faulty."}))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Wide, "which is another"),
        (Whole, "which is another"),
        (Twice, "becomes"),
        (Frail, "in training mode the gradient of 1 images is not finite"),
    ],
)
def test_norms(layer, text):
    with pytest.raises(AssertionError, match=text):
        check_norm(norm(lambda self, maps, groups: layer()))


def initialiser(**methods):
    return component("initialiser", type("Faulty", (pixkit.Initialiser,), {"__doc__": "Faulty.", **methods}))


SEEDED = torch.Generator()


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        ({"fill": lambda self, weight, fan_in, fan_out: None}, "is not filled"),
        ({"fill": lambda self, weight, fan_in, fan_out: weight.normal_().div_(0)}, "not finite"),
        ({"fill": lambda self, weight, fan_in, fan_out: weight.fill_(0.5)}, "are equal"),
        ({"fill": lambda self, weight, fan_in, fan_out: weight.normal_(generator=SEEDED)}, "the same seed gives other"),
        (
            {"fill": lambda self, weight, fan_in, fan_out: weight.copy_(torch.arange(weight.numel()).view_as(weight))},
            "another seed",
        ),
        (
            {
                "fill": lambda self, weight, fan_in, fan_out: weight.normal_(),
                "fill_bias": lambda self, bias, fan_in: None,
            },
            "bias is not filled",
        ),
    ],
)
def test_initialisers(methods, text):
    with pytest.raises(AssertionError, match=text):
        check_initialiser(initialiser(**methods))


class Levels(pixkit.Encoding):
    """A number of each level."""

    factor = 1.0

    def __init__(self, config, image):
        super().__init__(config, image, 1)
        self.unused = nn.Parameter(torch.ones(())) if self.factor is None else None
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x):
        return self.said(x * self.one)

    def said(self, x):
        return x


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        ({"said": lambda self, x: x.roll(1, 3)}, "which is another"),
        ({"said": lambda self, x: x.roll(1, 1) + x}, "which is another"),
        ({"said": lambda self, x: x.double()}, r"in bfloat16 it returns torch\.float64"),
        ({"said": lambda self, x: x.clamp(max=3)}, "only 4 are told apart"),
        ({"factor": None}, "unused gets no gradient"),
        ({"Config": type("Config", (pixkit.ComponentConfig,), {"__annotations__": {"a": int}, "a": Field(1)})}, "'a'"),
    ],
)
def test_encodings(methods, text):
    with pytest.raises(AssertionError, match=text):
        check_encoding(component("encoding", type("Faulty", (Levels,), {"__doc__": "Faulty.", **methods})))


def test_an_encoding_of_numbers_is_fine():
    check_encoding(component("encoding", Levels))
