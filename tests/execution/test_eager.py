"""The eager executor computes what the reference executor computes."""

import itertools

import pytest
import torch

from pixkit.components.plugins import registry
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

OPTIONS = [
    {"activation": "relu"},
    {"activation": "elu", "norm": "batch"},
    {"activation": "concatenated_elu", "norm": "layer"},
    {"activation": "maxout"},
]


def walked(executor, plan, noise):
    net = plan.trace.network
    made = executor(plan, len(noise))
    with torch.no_grad():
        made.walk(noise.uniforms(net.head.draws, net.spec).flatten(3), 0.9, None)
    return made.pixels, made.params(torch.arange(net.spec.sites))


@pytest.mark.parametrize(
    ("ordering", "options"),
    [*zip(registry().names("ordering"), itertools.cycle(OPTIONS), strict=False), *(("raster", one) for one in OPTIONS)],
)
def test_same_levels_and_parameters_as_the_reference(ordering, options):
    for spec, colours in (
        (ImageSpec(1, 5, 6, 2), "auto"),
        (ImageSpec(3, 3, 4, 5), "auto"),
        (ImageSpec(3, 3, 4, 5), "joint"),
    ):
        backbone = named("backbone", "pixelcnn", width=24, layers=2, **options)
        net = network(backbone, spec, ordering=named("ordering", ordering, colours=colours))
        plan, noise = make_plan(Trace(net)), Noise(3, range(7))
        levels, params = walked(EagerExecutor, plan, noise)
        expected_levels, expected_params = walked(ReferenceExecutor, plan, noise)
        assert torch.equal(levels, expected_levels)
        assert torch.allclose(params, expected_params, atol=1e-10)


def test_taps_are_gathered_and_asked_for_only_where_colours_are_drawn_one_by_one_at_several_sites(monkeypatch):
    asked = []

    def general(self, instruction, sites):
        asked.append(len(sites))
        ReferenceExecutor._execute(self, instruction, sites)

    monkeypatch.setattr(EagerExecutor, "_execute", general)
    for ordering, channels, several in (
        *(("raster", 1, False), ("raster", 3, False)),
        *(("row_at_once", 1, False), ("row_at_once", 3, True)),
    ):
        net = network(named("backbone", "pixelcnn", width=6, layers=1), ImageSpec(channels, 2, 3, 2),
                      ordering=named("ordering", ordering))  # fmt: skip
        asked.clear()
        walked(EagerExecutor, make_plan(Trace(net)), Noise(0, range(1)))
        assert set(asked) == ({3} if several else set())
