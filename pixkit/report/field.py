"""The sub-pixels that a model sees as it draws an image, and the order in which it draws."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pixkit.errors import PixkitError, message
from pixkit.figures.fields import Painted, painted_order, painted_sight
from pixkit.network import Autoregressive
from pixkit.readiness.report import Sight, chosen_pixel, sight_of
from pixkit.readiness.trace import Trace
from pixkit.report.markup import Element, element, section
from pixkit.report.picture import data_uri
from pixkit.report.subject import Subject
from pixkit.runs.load import construct
from pixkit.wrappers import networks_in

SIDE = 224
"""Approximate size of a panel in pixels of the screen."""
NETWORKS = 4
"""The largest number of a model's networks that are shown."""
ROOM = 18
"""Size in pixels of a square in which a number fits."""


def fields(subjects: Sequence[Subject], say: Callable[[str], None]) -> Element:
    """Two pictures for each network; runs of the same model share them.

    Args:
        subjects: the runs.
        say: told which pictures are missing, and why.
    """
    groups: dict[str, list[Subject]] = {}
    for one in subjects:
        lock = one.settings["lock"]
        key = json.dumps([one.settings["model"], lock["image"], lock["classes"]], sort_keys=True, default=str)
        groups.setdefault(key, []).append(one)
    parts = [part for number, group in enumerate(groups.values(), 1) for part in _of_model(number, group, say)]
    said = "Of the model with initial weights: what it can see does not depend on them."
    return section("What a pixel sees, and the order of drawing", "fields", element("p", said, class_="soft"), parts)


def _of_model(number: int, group: Sequence[Subject], say: Callable[[str], None]) -> Iterator[Element]:
    one = group[0]
    yield element("h3", f"{', '.join(each.mark for each in group)}: {one.about['model']}")
    try:
        model = construct(one.run.recipe(), one.run.spec, one.run.classes, torch.device("cpu")).eval()
        networks = networks_in(model)
        if not networks:
            yield element("p", "The model has no autoregressive network.")
        for place, (name, network) in enumerate(list(networks.items())[:NETWORKS], 1):
            yield _of_network(f"field-{number}-{place}", name if len(networks) > 1 else "", network)
        if len(networks) > NETWORKS:
            yield element("p", f"{len(networks) - NETWORKS} more networks are not shown.")
    except PixkitError as error:
        say(f"{one.mark}: what a pixel sees cannot be shown: {message(error)}")
        yield element("p", f"This cannot be shown: {message(error)}", class_="note")


def _of_network(name: str, called: str, network: Autoregressive) -> Element:
    pixel = chosen_pixel(network, None)
    sight = sight_of(Trace(network), pixel)
    counts = {kind: int((sight == kind).sum()) for kind in Sight}
    before = counts[Sight.SEEN] + counts[Sight.BLIND]
    place = f"colour {pixel[0]}, row {pixel[1]}, column {pixel[2]}"
    words = f"The prediction of {place} sees {counts[Sight.SEEN]} of the {before} sub-pixels drawn before it"
    words += f"; blind spot: {counts[Sight.BLIND]}."
    if counts[Sight.LEAK]:
        words += f" It sees {counts[Sight.LEAK]} too early."
    steps, ordering = network.ordering.steps.numpy(), network.ordering
    order = f"{type(ordering).__name__}, {ordering.colours} colours, {ordering.count} steps: from dark to bright."
    heads = [element("p", called)] if called else []
    pictures = (
        _figure(f"{name}-sight", "What one prediction sees", words, painted_sight(sight.numpy()), None),
        _figure(f"{name}-order", "The order of drawing", order, painted_order(steps), steps),
    )
    return element("div", heads, element("div", pictures, class_="fields"))


def _figure(name: str, title: str, words: str, painted: Painted, steps: np.ndarray | None) -> Element:
    """A panel for each colour, one unit per sub-pixel, and the legend."""
    colours, entries = painted
    panels, height, width = colours.shape[:3]
    cell = max(SIDE // max(height, width), 1)
    across = panels * (width + 1) - 1
    parts = [
        element("image", href=data_uri(panel), x=number * (width + 1), y=0, width=width, height=height)
        for number, panel in enumerate(colours)
    ]
    if steps is not None and cell >= ROOM:
        parts += [_number(steps, colours, place, width) for place in np.ndindex(steps.shape)]
    picture = element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", words, id=f"{name}-desc"),
        parts,
        viewBox=f"0 0 {across} {height}",
        width=across * cell,
        height=height * cell,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    keys = [element("span", _key(colour), word) for word, colour in entries]
    return element("figure", picture, element("figcaption", words), element("p", keys, class_="keys"))


def _number(steps: np.ndarray, colours: np.ndarray, place: tuple[int, ...], width: int) -> Element:
    panel, row, column = place
    classes = "cell on-bright" if int(colours[place].sum()) > 384 else "cell on-dark"
    across = panel * (width + 1) + column + 0.5
    return element("text", int(steps[place]), x=across, y=row + 0.65, text_anchor="middle", class_=classes)


def _key(colour: tuple[int, int, int]) -> Element:
    square = element("rect", width=10, height=10, fill=f"#{bytes(colour).hex()}")
    return element("svg", square, viewBox="0 0 10 10", class_="key", aria_hidden="true")
