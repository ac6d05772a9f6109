"""Norms over all maps of a site are torch's, and say that they mix colours."""

import pytest
import torch
from torch import nn

import pixkit
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d, SiteLayerNorm, SiteRMSNorm
from pixkit.readiness.trace import Trace
from pixkit.testing import component, network


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SiteLayerNorm(12), nn.LayerNorm(12)),
        (SiteLayerNorm(12, eps=0.5, bias=False), nn.LayerNorm(12, eps=0.5, bias=False)),
        (SiteLayerNorm(12, weight=False, bias=False), nn.LayerNorm(12, elementwise_affine=False)),
        (SiteRMSNorm(12), nn.RMSNorm(12)),
        (SiteRMSNorm(12, eps=0.5, weight=False), nn.RMSNorm(12, eps=0.5, elementwise_affine=False)),
    ],
    ids=str,
)
def test_torchs_norms_along_the_maps(ours, theirs, dtype):
    ours, theirs = ours.to(dtype), theirs.to(dtype)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    with torch.no_grad():
        for index, (name, own) in enumerate(ours.named_parameters()):
            own.copy_(torch.linspace(-1, 2, 12) + index)
            theirs.get_parameter(name).copy_(own)
    x = torch.randn(2, 12, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype) * 1e-3
    assert torch.equal(ours(x), theirs(x.movedim(1, -1)).movedim(-1, 1))


def test_a_bias_after_the_mean_square():
    layer = SiteRMSNorm(2, eps=0.0, bias=True)
    nn.init.constant_(layer.bias, 3.0)
    assert layer(torch.tensor([1.0, 7.0]).view(1, 2, 1, 1)).flatten().tolist() == pytest.approx([3.2, 4.4])


class Normed(pixkit.Backbone):
    """A norm over the maps of all colours after the first layer."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 6
        self.stem, self.norm = MaskedConv2d(spec.inputs, 6, 3, "A", spec.ordering), SiteRMSNorm(6)

    def forward(self, x):
        return self.norm(self.stem(x))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_result_is_ready_when_the_maps_of_all_colours_are(channels):
    trace = Trace(network(component("backbone", Normed), ImageSpec(channels, 2, 3, 4)))
    operations, ready = list(trace.operations.values()), trace.ready()
    (norm,) = (operation for operation in operations if isinstance(operation.module, SiteRMSNorm))
    assert norm.kind == "channels" and norm.groups_apart is False
    assert torch.equal(ready[norm.name], ready[norm.inputs[0]].amax(0, keepdim=True).expand(channels, -1, -1))
