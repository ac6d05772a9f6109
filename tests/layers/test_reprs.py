"""What `print(model)` says of each layer, head and model that says something."""

import importlib
import pkgutil

import pytest
import torch
from torch import nn

import pixkit
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d, RowLSTM
from pixkit.layers.local import LocalConv2d
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.sequence import RunningScan, SequenceRecurrence
from pixkit.layers.site_attention import SiteAttention
from pixkit.layers.site_function import Read, SiteFunction
from pixkit.layers.site_products import Products, SiteProducts
from pixkit.layers.window import Window
from pixkit.testing import named

pytestmark = pytest.mark.quick
SPEC = ImageSpec(3, 4, 5, 4)


def ordering(name="raster"):
    return named("ordering", name).build(SPEC, "sequential")


def model(name, classes=None, **keys):
    return named("model", name, backbone={"type": "pixelcnn", "width": 6, "layers": 1}, **keys).build(SPEC, classes)


SAID = [
    (lambda: MaskedConv2d(6, 3, 5, "B", ordering()), "6, 3, 5 cropped to 3x5, type B, shared"),
    (lambda: MaskedConv2d(6, 3, 3, "A", ordering("hilbert")), "6, 3, 3 cropped to 3x3, type A, per site"),
    (lambda: LocalConv2d(6, 3, 3, "A", ordering(), dilation=2), "6, 3, 3, type A, dilation 2, 1 patterns"),
    (lambda: RowLSTM(3, ordering()), "12, 3, taps=3"),
    (lambda: Rearrange([(2, 1, 3), (1, 1, 3)], torch.zeros(4, 3).long(), (3, 1)), "(2, 1, 3), (1, 1, 3) to (4, 3, 1)"),
    (lambda: Window(torch.zeros(3, 4, 2), None, torch.zeros(5, 3).long(), (1, 5)), "2, 4, taps=3"),
    (lambda: SiteFunction(torch.amax, [Read((2,), torch.float32), -1], axes=0), "amax"),
    (lambda: SiteFunction(nn.Tanh(), [Read((2,), torch.float32)], axes=1), "Tanh()"),
    (lambda: SequenceRecurrence("gru", torch.zeros(6, 2), None, (torch.zeros(2), torch.zeros(2))), "gru, 2"),
    (lambda: RunningScan("cummax"), "cummax"),
    (lambda: SiteAttention(torch.ones(3, 4) > 0, heads=2), "heads=2, queries=3, keys=4"),
    (lambda: SiteProducts(Products(), torch.ones(2, 3, 4) > 0, heads=2), "heads=2, queries=3, keys=4"),
    (lambda: model("autoregressive").network.head, "3x4x5, K = 4, sequential colours"),
    (lambda: model("autoregressive"), "3x4x5, K = 4"),
    (lambda: model("autoregressive", 10), "3x4x5, K = 4, 10 classes"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), SAID)
def test_what_is_printed(make, said):
    part = make()
    assert part.extra_repr() == said


def test_every_class_that_says_something_is_asked():
    names = [each.name for each in pkgutil.walk_packages(pixkit.__path__, "pixkit.") if ".testing" not in each.name]
    near = ("pixkit.layers", "pixkit.heads", "pixkit.models", "pixkit.backbones")
    classes = {
        value
        for name in names if name.startswith(near)
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == name
    }  # fmt: skip
    speaking = {cls for cls in classes if "extra_repr" in vars(cls)}
    assert len(speaking) > 10
    asked = {base for make, _ in SAID for base in type(make()).__mro__}
    assert not speaking - asked
