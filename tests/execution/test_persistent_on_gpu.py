"""What only a GPU shows of its kernel: every family's images, from one compilation."""

import pytest
import torch
from families import networks, sample, stated

from pixkit.execution.choose import choose
from pixkit.execution.cuda.driver import Kernel
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


@pytest.mark.parametrize("name", sample())
def test_a_recipe_is_drawn_by_the_executor_that_is_for_it_as_by_the_reference(name, monkeypatch):
    launches, launch = [], Kernel.launch
    monkeypatch.setattr(Kernel, "launch", lambda self, *args: launches.append(args) or launch(self, *args))
    nets = [*networks(name, side=4, most=1)]
    assert nets
    for net in nets:
        plan = make_plan(Trace(net.cuda()))
        context = net.example_context(3)
        chosen = choose("auto", plan, 3, context)
        assert chosen.name == ("graphs" if stated(name)["backbone"]["type"] == "row_rnn" else "persistent"), chosen
        found = []
        for executor in (chosen.executor, ReferenceExecutor(plan, 3, context)):
            with torch.no_grad():
                executor.walk(net.uniforms(Noise(3, range(3))).flatten(3), 4.0, None)
            found.append(executor.pixels.cpu())
        assert torch.equal(*found)
        assert len(launches) <= 20
