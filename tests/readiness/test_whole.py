"""Networks of pixkit's whose trace gives no proof, followed operation by operation; and that both ways agree."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from nets import NETS, net_of
from torch import nn

import pixkit
from pixkit.backbones.conditioners import LabelContext
from pixkit.errors import CausalityError
from pixkit.image import ImageSpec
from pixkit.readiness.check import verify
from pixkit.readiness.report import examine
from pixkit.readiness.trace import Trace
from pixkit.readiness.whole import pixels_seen, prove_whole
from pixkit.testing import component, network

GREY, COLOUR = ImageSpec(1, 3, 4, 2), ImageSpec(3, 3, 3, 3)


class Foreign(pixkit.Backbone):
    """Causal attention in the order of the steps, in plain torch, and a branch that no trace follows."""

    shift, mask = 1, -torch.inf

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 6
        self.inward, self.qkv = nn.Linear(spec.inputs, 6), nn.Linear(6, 18)
        sites = spec.image.height * spec.image.width
        self.register_buffer("hide", torch.full((sites, sites), self.mask).triu(1))

    def forward(self, x):
        if torch.tensor([1.0]).item() < 0:
            return x
        h = self.inward(x.flatten(2).mT)
        h = F.pad(h, (0, 0, self.shift, 0))[:, : h.shape[1]]
        q, k, v = self.qkv(h).chunk(3, -1)
        h = h + torch.softmax(q @ k.mT + self.hide, -1) @ v
        return h.mT.unflatten(2, x.shape[2:])


class Unhidden(Foreign):
    mask = 0.0


class Underflown(Foreign):
    mask = -1e9


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        *(("Plain", {"colours": colours}) for colours in ("sequential", "joint")),
        *((name, {}) for name in ("Gated", "MaskedGated", "Attending", "Recurrent", "MaskedUnet")),
    ],
)
def test_the_output_is_ready_when_the_trace_says_so(name, keys):
    net = net_of(NETS[name], COLOUR, **keys)
    trace, proof = Trace(net), prove_whole(net)
    groups = trace.ready()[trace.output]
    assert proof.verdict == "proved", proof
    assert torch.equal(proof.readiness[0], groups.repeat(len(proof.readiness[0]) // len(groups), 1, 1))


def test_a_backbone_in_plain_torch_is_proved_and_its_receptive_field_is_told():
    net = net_of(Foreign, GREY, colours="joint")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verify(net)
    proof = prove_whole(net)
    assert proof.verdict == "proved"
    assert pixels_seen(net, proof, 0, 1, 2).flatten().tolist() == [True] * 6 + [False] * 6
    report = examine(net, (0, 1, 2))
    assert report.verdict == "proved" and report.dump()["sees"] == 6 and report.dump()["sees_too_early"] == 0


def test_a_leak_of_a_foreign_backbone_is_refused_with_its_line_first():
    """Not with the first operation that the trace takes to mix everything."""
    net = net_of(Unhidden, GREY, colours="joint")
    with pytest.raises(CausalityError) as caught:
        verify(net)
    first, seen, *_ = str(caught.value).split("\n")
    assert f"{__file__}:" in first and "torch.softmax(q @ k.mT + self.hide, -1) @ v" in first
    assert "depends on (colour 0" in seen and "inward (Linear) gives" not in str(caught.value)
    said = examine(net).dump()
    assert said["verdict"] == "leaks" and said["line"]["text"].startswith("h = h + torch.softmax")
    assert said["problem"].startswith(first) and "inward (Linear)" in said["blamed"]


class Labelled(Foreign):
    """The same with a label, which is known from the beginning."""

    conditional = True

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.condition = nn.Linear(spec.context, spec.inputs)

    def forward(self, x, context=None):
        told = self.condition(context.flatten(1))[:, :, None, None]
        return super().forward(x + told) + super().forward(told.expand_as(x)).flip(2)


class LabelledUnhidden(Labelled):
    mask = 0.0


def test_a_label_may_be_read_at_any_time_and_pixels_beside_it_may_not():
    nets = [
        network(component("backbone", cls), GREY, conditioner=LabelContext(3, 2))
        for cls in (Labelled, LabelledUnhidden)
    ]
    good, bad = map(prove_whole, nets)
    assert good.verdict == "proved" and pixels_seen(nets[0], good, 0, 1, 2).sum() == 6
    assert bad.verdict == "leaks" and "torch.softmax" in bad.blame.text


def test_a_backbone_that_is_causal_by_underflow_is_warned_of():
    net = net_of(Underflown, GREY, colours="joint")
    with pytest.warns(RuntimeWarning, match="causal only by underflow"):
        verify(net)
    said = examine(net).dump()
    assert said["verdict"] == "underflow" and said["influence"] is not None
    assert "torch.softmax" in said["line"]["text"]


class SingleMask(Foreign):
    """A mask made in float32 within forward, whatever the type of the queries."""

    def forward(self, x):
        h = F.pad(self.inward(x.flatten(2).mT), (0, 0, 1, 0))[:, :-1]
        q, k, v = (each[:, None] for each in self.qkv(h).chunk(3, -1))
        # The first half of a larger tensor, since a kernel that misreads it goes twice as far.
        hide = torch.zeros(2 * h.shape[1], h.shape[1], dtype=torch.float32)
        hide[: h.shape[1]] = torch.full((h.shape[1], h.shape[1]), -torch.inf, dtype=torch.float32).triu(1)
        h = h + F.scaled_dot_product_attention(q, k, v, attn_mask=hide[: h.shape[1]])[:, 0]
        return h.mT.unflatten(2, x.shape[2:])


def test_a_mask_that_is_misread_in_float64_is_no_leak():
    assert examine(net_of(SingleMask, ImageSpec(1, 4, 4, 2))).verdict == "proved"
