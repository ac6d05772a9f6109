"""The contract of orderings and of tap shapes."""

from __future__ import annotations

import itertools

import torch

from pixkit.components.spec import ComponentSpec
from pixkit.image import ImageSpec
from pixkit.orderings.base import Ordering, OrderingConfig
from pixkit.testing.configs import check_config, resolve

SIZES = ((1, 1), (1, 5), (4, 1), (2, 2), (3, 5), (8, 7))


def check_ordering(ordering: ComponentSpec) -> None:
    """Check everything that pixkit requires of an ordering, for several sizes, all symmetries and colour modes.

    Its configuration survives a round trip and has the common keys; every sub-pixel has one step and no step is empty;
    the eight symmetries are those of the rectangle; it is the same every time and does not use torch's generator.
    """
    check_config(ordering)
    assert issubclass(ordering.cls.Config, OrderingConfig), "its Config must derive from pixkit.Ordering.Config"
    state = torch.random.get_rng_state()
    for height, width in SIZES:
        for flips in itertools.product([False, True], repeat=3):
            _check_steps(ordering, height, width, flips)
    assert torch.equal(state, torch.random.get_rng_state()), "torch's generator was used: give the ordering a seed"


def _check_steps(ordering: ComponentSpec, height: int, width: int, flips: tuple[bool, ...]) -> None:
    transpose, horizontal, vertical = flips
    keys = {"transpose": transpose, "flip_horizontal": horizontal, "flip_vertical": vertical}
    turned = resolve(ordering, {**ordering.dump(), **keys})
    upright = resolve(ordering, {**ordering.dump(), **dict.fromkeys(keys, False)})
    spec = ImageSpec(3, height, width, 4)
    sequential: Ordering = turned.build(spec, "sequential")
    joint: Ordering = turned.build(spec, "joint")
    where = f"{ordering.name}, {height}x{width}, {keys}"
    assert torch.equal(turned.build(spec, "joint").steps, joint.steps), (
        f"{where}: building it twice gives different steps"
    )
    for built in (sequential, joint):
        assert built.steps.unique().tolist() == list(range(built.count)), f"{where}: a step is missing or empty"
        rows = [built.sites_at(step)[0] for step in range(built.count)]
        assert all(len(found) for found in rows), f"{where}: a step without a site"
    site = joint.group_steps[0]
    for colour in range(3):
        assert torch.equal(sequential.steps[colour], site * 3 + colour), (
            f"{where}: colours are not drawn one after the other"
        )
    plain = upright.build(ImageSpec(1, *((width, height) if transpose else (height, width)), 4), "joint").steps[0]
    expected = (plain.T if transpose else plain).flip([0] * vertical + [1] * horizontal)
    assert torch.equal(site, expected), f"{where}: not the symmetry that the keys ask for"


def check_mask(mask: ComponentSpec) -> None:
    """Check everything that pixkit requires of a tap shape: a plain answer for any tap, the same every time."""
    check_config(mask)
    shape = mask.build()
    for dy, dx in itertools.product(range(-5, 6), repeat=2):
        answer = shape.has(dy, dx)
        assert isinstance(answer, bool), f"has({dy}, {dx}) is {answer!r}, not True or False"
        assert mask.build().has(dy, dx) == answer, f"has({dy}, {dx}) differs between calls"
