"""What foreign networks are rewritten into runs in compiled code, where there are instructions for it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pixkit.backbones.base import Backbone
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Cached
from pixkit.testing.parts import component, network


class Turned(Backbone):
    """A start token, heads side by side in one projection, and halves that change places."""

    bias = False

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 4
        self.start, self.embed = nn.Parameter(torch.ones(1, 1, 4)), nn.Linear(1, 4)
        self.read, self.norm = nn.Linear(4, 12), nn.LayerNorm(2)

    def forward(self, x):
        tokens = self.embed(x.flatten(2).transpose(1, 2))
        h = torch.cat([self.start.expand(len(x), -1, -1), tokens[:, :-1]], 1)
        query, key, value = self.read(h).view(*h.shape[:2], 2, 3, 2).permute(3, 0, 2, 1, 4)
        mask = torch.ones(h.shape[1], h.shape[1], dtype=h.dtype).tril().log() * (2 if self.bias else 1)
        mask = mask + torch.arange(h.shape[1], dtype=h.dtype) * self.bias
        h = h + F.scaled_dot_product_attention(self.norm(query), key, value, mask).transpose(1, 2).flatten(2)
        return torch.cat([-h[..., 2:], h[..., :2]], -1).transpose(1, 2).unflatten(2, x.shape[2:])


class Biased(Turned):
    bias = True


@pytest.mark.needs_compiler
@pytest.mark.parametrize("cls", [Turned, Biased])
def test_tables_run_in_compiled_code(cls):
    net = network(component("backbone", cls), ImageSpec(1, 2, 4, 3))
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(1, range(3)))
    assert torch.equal(Cached(Cached.Config(executor="native")).sample(net, Noise(1, range(3))), expected)
