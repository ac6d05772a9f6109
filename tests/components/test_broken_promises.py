"""Each plausible mistake of a plugin's author: the error names the component, the rule, what was found, what to do."""

from pathlib import Path

import pytest
import torch
from torch import nn

import pixkit
from pixkit.backbones.encodings import ScaledLevels
from pixkit.components import faults
from pixkit.data import prepare
from pixkit.data.base import DataSource, ImageSet, SourceImages
from pixkit.errors import DataError, PluginError
from pixkit.readiness.probe import probe
from pixkit.testing import GREY, component, named, network
from pixkit.testing.parts import PlainBackbone

SIZE = (GREY.height, GREY.width)


def backbone(init=lambda self: None, out=lambda self, h: h):
    """A sound backbone but for what is done at the end of its constructor and of its forward."""

    class Slip(PlainBackbone):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            init(self)

        def forward(self, x):
            return out(self, super().forward(x))

    return component("backbone", Slip)


BACKBONES = {
    "one map more": (
        backbone(lambda self: setattr(self, "width", 7)),
        "gives 6 maps, its width says 7",
        "self.width = 6",
    ),
    "NHWC": (backbone(out=lambda s, h: h.permute(0, 2, 3, 1)), "does not give features", "permute(0, 3, 1, 2)"),
    "flat": (backbone(out=lambda s, h: h.flatten(2)), "does not give features", "keep rows and columns"),
    "no batch": (backbone(out=lambda s, h: h[0]), "does not give features", "keep the first axis"),
    "smaller": (backbone(out=lambda s, h: h[:, :, 1:]), "does not give features", "padded by k // 2"),
    "two": (backbone(out=lambda s, h: (h, h)), "does not give features", "return only the features"),
    "none": (backbone(out=lambda s, h: None), "does not give features", "return the features at the end"),
    "whole numbers": (backbone(out=lambda s, h: h.long()), "gives features of another type", "no .long()"),
    "not finite": (backbone(out=lambda s, h: h * float("nan")), "gives features that are not finite", "finite numbers"),
    "raises": (backbone(out=lambda s, h: nn.Linear(1, 1)(h)), "fails at images", "test_broken_promises.py, line"),
    "another device": (
        backbone(out=lambda s, h: exec("raise RuntimeError('Expected all tensors to be on the same device')")),
        "fails at images",
        "self.register_buffer(name, tensor)",
    ),
    "constructor": (backbone(lambda s: {}["key"]), "fails to be constructed", "KeyError: 'key'"),
    "no gradient": (backbone(out=lambda s, h: h.detach()), "would not be trained", "no torch.no_grad()"),
    "numpy": (backbone(out=lambda s, h: torch.from_numpy(h.numpy())), "fails where a gradient", "call numpy()"),
}


@pytest.mark.parametrize(("made", "rule", "advice"), BACKBONES.values(), ids=BACKBONES.keys())
def test_a_backbone_is_held_to_its_promises(made, rule, advice):
    with pytest.raises(PluginError) as error:
        checked(network(made, GREY))
    assert rule in error.value.message and advice in str(error.value)
    assert error.value.where.split(".")[-1] in ("test", "Slip")
    if rule == "does not give features":
        assert error.value.expected == f"[3, width, {SIZE[0]}, {SIZE[1]}], width being 6" and advice in error.value.hint


def test_a_backbone_that_takes_float32_alone_is_told_that_leaks_are_looked_for_in_float64():
    with pytest.raises(PluginError) as error:
        probe(network(backbone(out=lambda s, h: h.float()), GREY).float(), probes=1)
    assert error.value.message == "the backbone fails in float64, in which leaks are looked for"
    assert error.value.expected == "a forward that keeps the type of its input: no .float(), no torch.float32"
    assert "RuntimeError: " in error.value.found and error.value.where.endswith(".Slip")


@pytest.mark.parametrize(("text", "advice"), [
    ("all tensors on the same device", "register_buffer(name, tensor)"), ("device: expected cpu", "register_buffer("),
    ("no device", faults.TRACE), ("expected the same shape", faults.TRACE),
])  # fmt: skip
def test_what_to_do_about_tensors_elsewhere_is_said_of_them_alone(text, advice):
    blamed = faults.Blamed("the head", "dist")
    with pytest.raises(PluginError) as error, blamed.at("to draw", "levels"):
        raise RuntimeError(text)
    assert advice in error.value.hint and (error.value.where, error.value.expected) == ("dist", "levels")
    assert error.value.message == "the head fails to draw"
    assert error.value.found.startswith(f"RuntimeError: {text} ({__file__}, line ")


@pytest.mark.parametrize("error", [OSError("disk"), DataError("bad"), MemoryError(), KeyboardInterrupt()])
def test_errors_of_the_system_and_of_pixkit_are_not_the_components(error):
    with pytest.raises(type(error)) as caught, faults.Blamed("the head", "dist").at("to draw", "levels"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda self, x: self.reference * x[..., 1:], "float64 (3, 1, {0}, {2}) of a network in float64"),
        (lambda self, x: x.float(), "float32 (3, 1, {0}, {1}) of a network in float64"),
        (lambda self, x: x.no, "AttributeError"),
    ],
)
def test_an_encoding_is_held_to_its_promises_before_a_backbone_meets_it(forward, said):
    class Slip(ScaledLevels):
        """An encoding."""

    Slip.forward = forward
    net = network(backbone(), GREY)
    net.encoding = Slip(Slip.Config(), GREY).double()
    with pytest.raises(PluginError, match="the encoding") as error:
        net.check_width()
    assert error.value.found.startswith(said.format(*SIZE, SIZE[1] - 1)) and error.value.where.endswith("Slip")


@pytest.mark.parametrize(("held", "found", "expected"), [
    ([nn.Conv2d(6, 6, 1), nn.ELU()], "a list of Conv2d", "nn.ModuleList(...) of it"),
    ([nn.Parameter(torch.ones(1)), 2], "a list of Parameter", "nn.ParameterList(...) of it"),
    ({"blocks": [nn.Conv2d(6, 6, 1)]}, "a dict with a Conv2d deep in it", "nn.ModuleDict(...), and so inside it"),
    (torch.ones(1, requires_grad=True), "a tensor that requires a gradient", "nn.Parameter(...) of it"),
], ids=["a plain list", "a list of parameters", "lists in a dict", "no parameter"])  # fmt: skip
def test_what_torch_does_not_know_of_is_named_with_what_it_is_and_should_be(held, found, expected):
    with pytest.raises(PluginError, match="holds a part that torch does not know") as error:
        checked(network(backbone(lambda self: setattr(self, "more", held)), GREY))
    assert (error.value.found, error.value.expected) == (f"self.more, {found}", expected)
    assert error.value.where.endswith(".Slip") and "requires_grad_(False)" in error.value.hint


def slope(self, h):
    """Features of a gradient within the forward, as of an energy."""
    with torch.enable_grad():
        at = h if h.requires_grad else h.detach().requires_grad_()
        return torch.autograd.grad(at.tanh().sum(), at, create_graph=True)[0]


def when_training(self, h):
    with torch.set_grad_enabled(self.training):
        return h * 1


def seen_twice(self):
    """A parameter by another name, and modules in a tuple and a list; a frozen one."""
    object.__setattr__(self, "weight", next(self.parameters()))
    self.order, self.all = tuple(self.children()), [list(self.parameters()), [self]]
    self.teacher = [nn.Conv2d(6, 6, 1).requires_grad_(False)]


@pytest.mark.parametrize(
    "made",
    [
        backbone(out=slope),
        backbone(out=lambda s, h: torch.func.grad(lambda at: at.tanh().sum())(h)),
        backbone(out=when_training),
        backbone(seen_twice),
        backbone(lambda s: s.requires_grad_(False), lambda s, h: h.detach()),
        backbone(lambda s: s.register_module("norm", nn.BatchNorm2d(6)), lambda s, h: when_training(s, s.norm(h))),
    ],
    ids=["gradient within", "torch.func", "when training", "seen twice", "frozen", "buffers"],
)
def test_what_trains_and_is_saved_is_not_refused_and_stays_as_it_was(made):
    net = network(made, GREY)
    before, drawn = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    checked(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and not any(part.training for part in net.modules())


def test_what_a_head_is_given_lies_in_memory_as_images_do():
    def viewing(self, x):
        return super(type(self), self).site_log_prob(x.view(-1).view(x.shape))

    checked(network(component("backbone", PlainBackbone), GREY, head=head({"site_log_prob": viewing})))


def checked(net):
    net.check_width()
    net.check_trains()


def test_what_does_not_call_its_base_is_no_module():
    class Bare(PlainBackbone):
        def __init__(self, config, spec):
            pass

    with pytest.raises(PluginError, match=r"the backbone 'bare' \(.*\) is not yet a torch module"):
        network(component("backbone", Bare), GREY)


def test_a_registered_component_is_named_with_its_plugin(monkeypatch):
    made = backbone(out=lambda self, h: 1 / 0)
    monkeypatch.setattr("pixkit.components.faults.registry", lambda: [made.entry])
    with pytest.raises(PluginError) as error:
        network(made, GREY).check_width()
    assert error.value.message.startswith("the backbone 'slip' (") and error.value.where == "test"
    assert error.value.hint.startswith("PIXKIT_TRACEBACK=1")


SOFTMAX = named("head", "softmax").cls


def head(changed=None, given=None, **methods):
    """The softmax head with other methods, and with a distribution that has others, or is another."""

    def other(self, params):
        made = SOFTMAX.distribution(self, params)
        made.__class__ = type("Other", (type(made),), changed or {})
        return made

    return component("head", type("Slip", (SOFTMAX,), {"distribution": given or other, **methods}))


def of_base(name, change):
    """A method that changes what the softmax's own gives."""

    def method(self, *args):
        return change(getattr(type(self).__mro__[1], name)(self, *args))

    return {name: method}


HEADS = {
    "projection": (
        head(projection=lambda s, w: nn.Conv2d(w, s.maps + 1, 1)),
        "the wrong thing from `projection`",
        "self.maps",
    ),
    "no distribution": (
        head(distribution=None) and head(given=lambda s, p: None),
        "fails at",
        "PixelDistribution",
    ),
    "raises": (head(given=lambda s, p: 1 / 0), "fails to make a distribution", "ZeroDivisionError"),
    "rank": (
        head(of_base("site_log_prob", lambda x: x[:, None])),
        "the wrong thing from `site_log_prob`",
        "over colours",
    ),
    "sign": (head(of_base("log_prob", lambda x: -x)), "gives probabilities above 1", "without a minus"),
    "not a number": (head(of_base("log_prob", lambda x: x * float("nan"))), "gives no probability", "a number"),
    "not normalised": (head(of_base("level_log_probs", lambda x: x - 1)), "is not normalised", "sum to 0.3679"),
    "of two minds": (head(of_base("site_log_prob", lambda x: x - 1)), "contradicts itself", "level_log_probs"),
    "draws floats": (head(of_base("quantile", lambda x: x.float())), "the wrong thing from `quantile`", "int64"),
    "draws too high": (head(of_base("quantile", lambda x: x + 9)), "draws levels that do not exist", "0.."),
    "draws one too many": (
        head(of_base("quantile", lambda x: torch.full_like(x, GREY.levels))),
        "draws levels that do not exist",
        f"0..{GREY.levels - 1}",
    ),
    "no gradient": (head(of_base("log_prob", lambda x: x.detach())), "would not be trained", "no torch.no_grad()"),
}


@pytest.mark.parametrize(("made", "rule", "advice"), HEADS.values(), ids=HEADS.keys())
def test_a_head_is_held_to_its_promises(made, rule, advice):
    with pytest.raises(PluginError) as error:
        checked(network(component("backbone", PlainBackbone), GREY, head=made))
    assert rule in error.value.message and advice in str(error.value)


def at_last(change):
    """The change, of the last image alone."""
    return lambda x: torch.cat([x[:-1], change(x[-1:])])


AT_LAST = {
    "above 1": ("log_prob", lambda x: 1 - x, "gives probabilities above 1"),
    "not a number": ("log_prob", lambda x: x * float("nan"), "gives no probability"),
    "not normalised": ("level_log_probs", lambda x: x - 1, "is not normalised"),
    "of two minds": ("site_log_prob", lambda x: x - 1, "contradicts itself"),
    "draws too high": ("quantile", lambda x: x + 9, "draws levels that do not exist"),
    "draws too low": ("quantile", lambda x: x - 9, "draws levels that do not exist"),
}


@pytest.mark.parametrize(("method", "change", "rule"), AT_LAST.values(), ids=AT_LAST.keys())
def test_what_is_wrong_with_one_image_alone_is_seen(method, change, rule):
    made = head(of_base(method, at_last(change)))
    with pytest.raises(PluginError) as error:
        checked(network(component("backbone", PlainBackbone), GREY, head=made))
    assert rule in error.value.message


def test_features_of_one_image_that_are_not_finite_are_seen():
    with pytest.raises(PluginError, match="gives features that are not finite"):
        checked(network(backbone(out=lambda s, h: at_last(lambda x: x / 0)(h)), GREY))


@pytest.mark.parametrize("part", ["backbone", "projection"])
def test_of_weights_that_are_not_finite_nobody_is_to_blame(part):
    net = network(component("backbone", PlainBackbone), GREY)
    weight = next(getattr(net, part).parameters())
    with torch.no_grad():
        weight.view(-1)[0] = float("nan")
    net.check_width()


def test_a_model_is_held_to_them_where_it_is_built_from_python(monkeypatch):
    made = backbone(out=lambda self, h: h.detach())
    monkeypatch.setattr(
        pixkit.network, "built", lambda part, *given: (made if part.name == "pixelcnn" else part).build(*given)
    )
    with pytest.raises(PluginError, match="would not be trained"):
        pixkit.build_model({"type": "autoregressive", "backbone": "pixelcnn"}, (1, *SIZE, 4))


def images(count=6, **other):
    return ImageSet(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), **other)


raw = ImageSet
SOURCES = {
    "a pair": (lambda: (1, 2), DataError, "the result of `load` is not of type SourceImages", "SourceImages("),
    "tensors": (
        lambda: SourceImages(torch.zeros(2), images(), 4),
        DataError,
        "train is not of type ImageSet",
        "ImageSet(",
    ),
    "numpy": (
        lambda: SourceImages(ImageSet(torch.zeros(2).numpy()), images(), 4),
        DataError,
        "is not of type Tensor",
        "as_tensor",
    ),
    "no test": (
        lambda: SourceImages(images(), None, 4),
        DataError,
        "test is not of type ImageSet",
        "without pixels if",
    ),
    "levels": (lambda: SourceImages(images(), images(), 4.0), DataError, "levels must be a number", "4.0"),
    "grey": (
        lambda: SourceImages(ImageSet(torch.zeros(5, 4, 4).byte()), images(), 4),
        DataError,
        "shape",
        "pixels[:, None]",
    ),
    "labels": (
        lambda: SourceImages(images(labels=[0] * 6), images(), 4, 2),
        DataError,
        "labels is not of type Tensor",
        "as_tensor",
    ),
    "device": (
        lambda: SourceImages(raw(images().pixels.to("meta")), images(), 4),
        DataError,
        "CPU",
        "pixels.cpu()",
    ),
    "rows": (lambda: SourceImages(images(rows=torch.arange(7)), images(), 4), DataError, "rows must be", "0..5"),
    "groups": (lambda: SourceImages(images(groups=torch.zeros(6)), images(), 4), DataError, "groups must be", "int64"),
    "raises": (lambda: {}["train"], PluginError, "the data 'slip' (", "load(progress), which gives SourceImages"),
}


@pytest.mark.parametrize(("load", "kind", "rule", "advice"), SOURCES.values(), ids=SOURCES.keys())
def test_a_data_source_is_held_to_its_promises(load, kind, rule, advice):
    source = type("Slip", (DataSource,), {"load": lambda self, progress=None: load()})
    with pytest.raises(kind) as error:
        prepare(component("data", source), Path())
    assert rule in error.value.message and advice in str(error.value)
    assert error.value.where.startswith("test")
