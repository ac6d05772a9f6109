"""The contract of conditioners."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pixkit.backbones.conditions import Conditions
from pixkit.components.spec import ComponentSpec
from pixkit.context import LABEL, ContextSpec
from pixkit.errors import RecipeError
from pixkit.randomness import seed_torch
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, PlainBackbone, component, network, randomise
from pixkit.testing.sitewise import check_drawn

ARRAYS = (
    ContextSpec("beside", ()),
    ContextSpec("beside", (), 4),
    ContextSpec("beside", (3,)),
    ContextSpec("beside", (1, 2, 4), 5),
    ContextSpec("beside", (3, 4, 8)),
    ContextSpec("beside", (1, 2), 4),
    ContextSpec("beside", (3, 3), 4),
)
"""Numbers, vectors, images and codes; of the image's size, smaller or larger by a whole factor, and neither."""


class _Summed(PlainBackbone):
    """PlainBackbone with the sum of its context's maps added to its features."""

    conditional = True

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """[B, inputs, H, W] and [B, maps, h, w] to [B, width, H, W]."""
        return super().forward(x) + context[0].sum(1, keepdim=True)


def check_conditioner(given: ComponentSpec) -> None:
    """Check everything that pixkit requires of a conditioner, with random parameters, for every kind of array.

    It accepts at least one kind, and refuses others with a RecipeError from its constructor. It returns as many maps as
    `maps` says, at one site or at all; an image's maps depend on its own array only, and on all entries of it. Its
    parameters get a gradient. A network with it is proved causal, and cached sampling draws the same as ancestral
    sampling.
    """
    check_config(given)
    taken, refused = 0, []
    named = [(array, given.config.model_copy(update={"from": array.name})) for array in ARRAYS]
    for array, own in [*named, *([(ARRAYS[0], given.config)] if given.name == LABEL else [])]:  # the data's own labels
        try:
            seed_torch(0, torch.device("cpu"))
            made = Conditions([replace(given, config=own)], replace(COLOUR, context=(array,)), 3)
        except RecipeError as error:
            refused.append(str(error))
            continue
        taken += 1
        _check_maps(made)
        check_drawn(network(component("backbone", _Summed), made.image, conditioner=made.float()))
    assert taken, f"it accepts none of these arrays: {'; '.join(refused)}"


def _check_maps(made: Conditions) -> None:
    randomise(made.double(), seed=0)
    rows = made.example(3)
    maps: Tensor = made(rows)
    assert torch.isfinite(maps).all(), "maps that are not finite"
    alone = torch.cat([made(row) for row in rows.split(1)])
    torch.testing.assert_close(alone, maps, msg="an image's maps depend on other images of the batch")
    (array,) = (part.spec.array for part in made.conditioners)
    start = made.places[array.name]
    for entry in range(start, start + array.size):
        other = rows.clone()
        other[0, entry] = (other[0, entry] + 1) % array.levels if array.levels else other[0, entry] + 0.3
        assert (made(other) != maps)[0].any(), f"entry {entry - start} of the array has no effect"
    if maps.requires_grad:
        maps.square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, f"{name} gets no gradient"
