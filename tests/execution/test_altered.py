"""Modules that do something else than their class: sampled as they are, or by whole passes, and the reason given."""

import pytest
import torch
from altered import SOUND, Planted
from leaks import GREY
from nets import net_of

from pixkit.errors import PixkitError
from pixkit.execution.lowering.lower import Unsupported
from pixkit.layers import MaskedConv2d
from pixkit.noise import Noise
from pixkit.readiness.check import find
from pixkit.samplers import Ancestral, Auto, Cached


class Beside(Planted):
    """A layer that at later steps reads what the module has been given at earlier ones."""

    def plant(self, spec):
        super().plant(spec)
        self.side = MaskedConv2d(6, 6, 3, "B", spec.ordering)

    def wrong(self, h):
        return self.side(h) + self.bad(h)


@pytest.mark.parametrize(("make", "said"), [case[1:] for case in SOUND], ids=[case[0] for case in SOUND])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_every_sampler_draws_what_whole_passes_draw(make, said, nothing_adopted):
    net = net_of(type("Altered", (Beside,), {"make": staticmethod(make)}), GREY, gain=0.7)
    noise = Noise(1, range(8))
    expected = Ancestral(Ancestral.Config()).sample(net, noise)
    assert len(expected.unique()) > 1
    drawn = Auto(Auto.Config()).draw(net, noise)
    assert torch.equal(drawn.images, expected)
    planned = said in (None, "native")
    assert (find(net).problem is None) == planned
    for executor in ("auto", "native", "eager", "reference"):
        sampler = Cached(Cached.Config(executor=executor))
        if not planned:
            with pytest.raises(PixkitError) as error:
                sampler.sample(net, noise)
            assert said in str(error.value)
        elif executor == "native" and said is None:
            with pytest.raises(Unsupported, match=r"no instruction for backbone\.bad"):
                sampler.sample(net, noise)
        else:
            assert torch.equal(sampler.sample(net, noise), expected), executor


@pytest.mark.parametrize("name", ["hooked 1x1", "parametrised norm"])
def test_what_the_trace_does_not_know_is_adopted_and_drawn_alike(name):
    make = {case[0]: case[1] for case in SOUND}[name]
    net = net_of(type("Altered", (Beside,), {"make": staticmethod(make)}), GREY, gain=0.7)
    noise = Noise(1, range(8))
    expected = Ancestral(Ancestral.Config()).sample(net, noise)
    assert find(net).problem is None
    for executor in ("auto", "eager", "reference"):
        assert torch.equal(Cached(Cached.Config(executor=executor)).sample(net, noise), expected), executor
