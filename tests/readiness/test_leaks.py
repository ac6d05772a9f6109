"""Planted leaks: each is refused, by name, by the model, by a build and by `pixkit verify`."""

import re

import pytest
import torch
from leaks import (
    COLOUR,
    GREY,
    LEAKS,
    Base,
    BatchNormed,
    DenseColours,
    GroupNormed,
    MixedByHand,
    OrdinaryConvolution,
    WrongMaskType,
)
from nets import NETS, net_of
from torch import nn

from pixkit import layers
from pixkit.cli.main import main
from pixkit.components.plugins import plugins
from pixkit.errors import CausalityError
from pixkit.image import ImageSpec
from pixkit.readiness import check
from pixkit.readiness.check import find, verify
from pixkit.readiness.law import find_leak
from pixkit.readiness.probe import probe
from pixkit.readiness.trace import Trace
from pixkit.testing import component, named

DIRECTORY = __file__.rsplit("/", 1)[0]


def model_of(cls, spec):
    head = {"type": "softmax"}
    return named("model", "autoregressive", backbone=component("backbone", cls), head=head).build(spec)


@pytest.mark.parametrize(("cls", "spec", "blamed", "advice"), LEAKS, ids=[leak[0].__name__ for leak in LEAKS])
def test_a_planted_leak_is_refused_naming_the_layer_and_what_to_do(cls, spec, blamed, advice):
    with pytest.raises(CausalityError) as error:
        model_of(cls, spec).verify()
    first, *path = str(error.value).split("\n")
    assert f"the output of {blamed}" in first
    assert first.startswith(f"{cls.__name__}: ")
    marked = [line for line in path if line.endswith("<-- blamed")]
    assert len(marked) == 1 and blamed in marked[0]
    assert path[-1].startswith("  try: ") and advice in path[-1]


def test_what_is_advised_exists_and_is_causal():
    """In place of some that leak: what their refusal says."""
    texts = " ".join(leak[3] for leak in LEAKS)
    assert all(hasattr(layers, name) for name in re.findall(r"pixkit\.layers\.(\w+)", texts))
    for cls, instead in {
        OrdinaryConvolution: lambda spec: layers.MaskedConv2d(6, 6, 3, "B", spec.ordering),
        GroupNormed: lambda spec: layers.ColourLayerNorm(6, spec.ordering.groups),
        DenseColours: lambda spec: layers.Pointwise(6, 6, spec.ordering),
        BatchNormed: lambda spec: nn.BatchNorm2d(6),
    }.items():
        mended = type("Mended", (cls,), {"plant": lambda self, spec, make=instead: setattr(self, "bad", make(spec))})
        assert find(net_of(mended, COLOUR)).problem is None


@pytest.mark.parametrize(("cls", "spec", "blamed", "advice"), LEAKS, ids=[leak[0].__name__ for leak in LEAKS])
def test_the_path_leads_from_a_pixel_drawn_too_late(cls, spec, blamed, advice):
    net = net_of(cls, spec)
    trace = Trace(net)
    leak = find_leak(trace)
    assert leak.readiness > leak.deadline
    assert leak.path[0][0] == trace.output
    name, group, row, column = leak.path[-1]
    assert trace.operations[name].kind == "pixels"
    assert int(net.ordering.group_steps[group, row, column]) + 1 == leak.readiness
    for (reader, *_), (source, *_) in zip(leak.path, leak.path[1:], strict=False):
        assert source in trace.operations[reader].inputs


@pytest.mark.parametrize(("cls", "spec", "blamed", "advice"), LEAKS, ids=[leak[0].__name__ for leak in LEAKS])
def test_the_probe_alone_sees_it_too(cls, spec, blamed, advice):
    """So that the proof's refusal is not a false alarm."""
    with pytest.raises(CausalityError, match="leaks"):
        probe(net_of(cls, spec), probes=spec.dims)


def test_the_probe_finds_nothing_in_sound_networks():
    for cls in NETS.values():
        net = net_of(cls, ImageSpec(1, 3, 4, 2))
        assert (find(net).probes, find(net).seen) == (12, None)


def test_so_many_sub_pixels_are_swapped():
    """One by one: a pass of the image as it is, and one for each."""
    net, calls = net_of(NETS["Plain"], ImageSpec(1, 3, 4, 2)), []
    net.encoding.register_forward_hook(lambda *call: calls.append(call[1][0]))
    for probes, count in ((5, 5), (12, 12), (20, 12)):
        calls.clear()
        probe(net, probes=probes)
        before, *after = calls
        changed = [(x != before).flatten().nonzero().flatten().tolist() for x in after]
        assert len(changed) == count == len({place for (place,) in changed})


def test_several_that_are_drawn_in_turn_are_swapped_in_one_pass():
    net, calls = net_of(NETS["Plain"], ImageSpec(1, 3, 4, 2)), []
    net.encoding.register_forward_hook(lambda *call: calls.append(call[1][0]))
    probe(net, probes=11, together=4)
    before, *after = calls
    changed = [net.ordering.steps[(x != before)[0]].tolist() for x in after]
    assert [len(steps) for steps in changed] == [4, 4, 3]
    in_turn = [step for steps in changed for step in sorted(steps)]
    assert in_turn == sorted(set(in_turn))


def test_of_several_that_are_swapped_together_the_one_that_leaks_is_named():
    cls, spec, *_ = LEAKS[0]
    net, calls = net_of(cls, spec), []
    net.encoding.register_forward_hook(lambda *call: calls.append(call[1][0]))
    with pytest.raises(CausalityError, match="leaks") as caught:
        probe(net, probes=spec.dims, together=spec.dims)
    site = tuple(int((calls[-1] != calls[0]).nonzero()[0, place]) for place in (1, 2, 3))
    assert int((calls[-1] != calls[0]).sum()) == 1
    assert f"depends on (colour {site[0]}, row {site[1]}, column {site[2]})" in caught.value.found


@pytest.mark.parametrize(
    ("size", "proved", "unproved"), [((3, 4), 12, 12), ((4, 4), 16, 16), ((8, 16), 16, 128), ((3, 43), 16, 64)]
)
@pytest.mark.usefixtures("nothing_adopted")
def test_what_is_not_proved_is_probed_the_harder(size, proved, unproved, monkeypatch):
    asked = []
    monkeypatch.setattr(check, "probe", lambda network, **how: asked.append(how["together"]))
    found = [find(net_of(cls, ImageSpec(1, *size, 2))) for cls in (NETS["Plain"], Straight)]
    assert [one.probes for one in found] == [proved, unproved]
    assert [one.problem is None for one in found] == [True, False]
    assert asked == [4, 1]


class Straight(Base):
    """Maps a site to itself by an operation that the engine cannot follow."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return torch.flip(torch.flip(h, (3,)), (3,))


@pytest.mark.usefixtures("nothing_adopted")
def test_a_law_that_fails_without_a_leak_is_a_warning():
    net = net_of(Straight, GREY)
    with pytest.warns(RuntimeWarning, match="no leak was seen.*flip"):
        assert verify(net) is None


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda h: torch.flip(torch.flip(h, (3,)), (3,)), r"flip \(flip\) is not in the table of operations"),
        (lambda h: torch.where(h > 0, h, 0.1 * h), r"gt \(gt\) is not in the table of operations"),
        (lambda h: h.cumsum(1).abs(), r"cumsum \(cumsum\) is not in the table of operations"),
        (lambda h: torch.exp(h, out=None), "exp .exp. is called in a way that its row in the table"),
        (lambda h: h.flatten(2).tanh().unflatten(2, (3, 4)), "flatten .flatten. is not in the table of operations"),
        (lambda h: h * h.dim(), r"mul \(mul\) does not map images \[B, maps, h, w\] to an image"),
    ],
)
@pytest.mark.usefixtures("nothing_adopted")
def test_what_is_taken_to_mix_everything_is_named_and_why(function, why):
    """These networks are causal, and nothing is said that is not known."""

    class Careful(Straight):
        def wrong(self, h):
            return function(h)

    with pytest.warns(RuntimeWarning, match=f"{why}.*, so it is assumed to mix everything") as warned:
        assert verify(net_of(Careful, GREY)) is None
    text = str(warned[0].message)
    assert "Careful: not proved causal: nothing is exported here; the output of " in text and "not causal" not in text


def test_what_is_seen_to_leak_is_not_causal_for_certain():
    with pytest.raises(CausalityError) as error:
        verify(net_of(MixedByHand, GREY))
    first = str(error.value).split("\n")[0]
    assert first.startswith(
        "MixedByHand: not causal: the output of roll (roll) is ready too late; roll (roll) is not in"
    )
    with pytest.raises(CausalityError, match=r"not causal: .*; backbone.bad \(Conv2d\) reads more than its own site"):
        verify(net_of(OrdinaryConvolution, GREY))
    with pytest.raises(CausalityError) as error:
        verify(net_of(WrongMaskType, GREY))
    assert "assumed to mix everything" not in str(error.value)


class Branching(Base):
    """Branches on values, and pools over the image."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h + h.mean((2, 3), keepdim=True) if h.sum() < 1e9 else h


class Steady(Base):
    """Branches on values, the same either way: sound, and not to be traced."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h + 0 if h.sum() > 0 else h


def test_an_untraceable_network_is_a_warning_that_names_it():
    with pytest.warns(RuntimeWarning, match="Steady: the network cannot be traced"):
        assert verify(net_of(Steady, GREY)) is None


def test_an_untraceable_network_that_leaks_is_refused():
    with pytest.raises(CausalityError) as caught:
        verify(net_of(Branching, GREY))
    first, seen, *_, advice = str(caught.value).split("\n")
    assert (
        first.startswith("Branching: the network leaks; the value that is ready too late comes from ")
        and "h.mean((2, 3)" in first
    )
    assert "depends on (colour 0" in seen and advice.startswith("  try: make the blamed line read only")


REGISTER = f"""
import sys
sys.path.insert(0, {DIRECTORY!r})
import leaks
@pixkit.hookimpl
def pixkit_register(registry):
    for cls, *_ in leaks.LEAKS:
        registry.add("backbone", cls.__name__.lower(), cls)
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """Recipes of leaking backbones that come from a plugin, on synthetic images."""
    plugins.cache_clear()
    folder = tmp_path / "site"
    info = folder / "leaky-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pixkit]\nleaky = leaky_module\n", encoding="utf-8")
    (folder / "leaky_module.py").write_text(f"import pixkit\npixkit_api_version = 1\n{REGISTER}", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)

    def write(backbone):
        text = "pixkit: 1\nname: leaky\ndata: {source: digits, limit_train: 32}\nmodel:\n  type: autoregressive\n"
        (tmp_path / "leaky.yaml").write_text(f"{text}  backbone: {backbone}\ntrain: {{steps: 2}}\n", encoding="utf-8")
        return tmp_path / "leaky.yaml"

    yield write
    plugins.cache_clear()


@pytest.mark.parametrize("backbone", ["groupnormed", "ordinaryconvolution", "residualarounda"])
def test_a_build_of_a_leak_exits_with_1(recipes, capsys, tmp_path, backbone):
    assert main(["build", str(recipes(backbone)), "-o", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "not causal: the output of backbone." in error and "<-- blamed" in error
    assert not (tmp_path / "run" / "recipe.lock.yaml").exists()


@pytest.mark.parametrize("backbone", ["groupnormed", "residualarounda"])
def test_verify_of_a_leak_exits_with_1_and_shows_the_path(recipes, capsys, backbone):
    assert main(["verify", str(recipes(backbone)), "--shape", "1,3,4,2"]) == 1
    captured = capsys.readouterr()
    assert "<-- blamed" in captured.out and "it leaks, and backbone." in captured.err


def test_batch_norm_with_running_statistics_is_no_leak():
    class Normed(Base):
        def plant(self, spec):
            self.bad = nn.BatchNorm2d(6)

    assert isinstance(verify(net_of(Normed, GREY)), Trace)
