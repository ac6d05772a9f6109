"""Do he_normal and he_uniform converge faster than torch's own initialisation? A picture of loss curves answers.

    python tests/benchmarks/row_rnn_initialisers.py -o curves.png [KEY=VALUE]...

The recipe `one-image-row_rnn` is trained with each initialiser from several seeds, everything else alike. Drawn are
the nats of the one image at each step, the median over seeds and the band from the least to the largest. Overrides
are the recipe's (model.backbone.cell=rnn, train.optimizer.lr=1e-3). A table goes to stdout.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixkit.data import prepare
from pixkit.data.dataset import BatchSequence
from pixkit.files import replacing
from pixkit.recipe import load_recipe
from pixkit.runs.load import construct
from pixkit.training.step import Stepper

COLOURS = {"torch": (110, 110, 110), "he_normal": (200, 60, 40), "he_uniform": (40, 100, 200)}
"""The initialisers, each with the colour of its curve."""
THRESHOLDS = (1000.0, 100.0, 10.0)
"""Nats of the image that the table gives the steps to; an untrained model has 3072 ln 2 = 2129."""
SIZE, LEFT, TOP, RIGHT, BOTTOM = (900, 560), 70, 40, 20, 50
INK, LINES, PAPER = (32, 32, 32), (225, 225, 225), (255, 255, 255)

Curves = dict[str, NDArray[np.float64]]


@click.command()
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The PNG to write.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--steps", type=click.IntRange(2), default=200, show_default=True)
def main(overrides: tuple[str, ...], out: Path, seeds: int, steps: int) -> None:
    """Train, draw, print."""
    curves = {
        name: np.array([nats_by_step((*overrides, f"seed={seed}", f"model.backbone.init={name}"), steps)
                        for seed in range(seeds)])
        for name in COLOURS
    }  # fmt: skip
    title = f"nats of the image by step, median and range of {seeds} seeds  {' '.join(overrides)}"
    with replacing(out) as temporary:
        draw(curves, title).save(temporary, format="PNG")
    click.echo(
        "initialiser  " + "".join(f"steps to {limit:g}".rjust(15) for limit in THRESHOLDS) + "   nats at the end"
    )
    for name, values in curves.items():
        median = np.median(values, 0)
        click.echo(name.ljust(13) + "".join(steps_to(median, limit).rjust(15) for limit in THRESHOLDS)
                   + f"{median[-1]:18.2f}")  # fmt: skip
    click.echo(str(out))


def nats_by_step(overrides: tuple[str, ...], steps: int) -> list[float]:
    """Train the recipe with these overrides; the nats of the image before each step's update."""
    loaded = load_recipe("one-image-row_rnn", overrides)
    recipe, cpu = loaded.recipe, torch.device("cpu")
    dataset = prepare(recipe.data, loaded.base)
    model = construct(recipe, dataset.spec, dataset.classes, cpu)
    feed = BatchSequence(dataset, recipe.train.batch_size, recipe.seed)
    stepper = Stepper(model, feed, recipe.train, recipe.seed, cpu)
    return [stepper.make(step)["nats"] for step in range(1, steps + 1)]


def steps_to(median: NDArray[np.float64], limit: float) -> str:
    """The first step at which the median is at most `limit`."""
    below = np.flatnonzero(median <= limit)
    return str(below[0] + 1) if len(below) else "not reached"


def draw(curves: Curves, title: str) -> Image.Image:
    """Median lines over bands, nats on a logarithmic axis."""
    every = np.concatenate(list(curves.values()))
    low, high = np.floor(np.log10(every.min())), np.ceil(np.log10(every.max()))
    steps = every.shape[1]
    width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM
    canvas = Image.new("RGB", SIZE, PAPER)

    def places(values: NDArray[np.float64]) -> list[tuple[float, float]]:
        down = TOP + height * (high - np.log10(values)) / (high - low)
        return list(zip(LEFT + width * np.arange(steps) / (steps - 1), down, strict=True))

    pen = ImageDraw.Draw(canvas)
    for power in range(int(low), int(high) + 1):
        y = TOP + height * (high - power) / (high - low)
        pen.line((LEFT, y, LEFT + width, y), fill=LINES)
        pen.text((LEFT - 8, y), f"{10.0**power:g}", fill=INK, anchor="rm")
    for step in np.linspace(1, steps, 6).round().astype(int).tolist():
        x = LEFT + width * (step - 1) / (steps - 1)
        pen.line((x, TOP, x, TOP + height), fill=LINES)
        pen.text((x, TOP + height + 8), str(step), fill=INK, anchor="mt")
    for name, values in curves.items():
        band = Image.new("L", SIZE)
        ImageDraw.Draw(band).polygon([*places(values.max(0)), *places(values.min(0))[::-1]], fill=50)
        canvas.paste(COLOURS[name], mask=band)
    for place, (name, values) in enumerate(curves.items()):
        pen.line(places(np.median(values, 0)), fill=COLOURS[name], width=3)
        pen.line((LEFT + 20, SIZE[1] - 110 + 16 * place, LEFT + 50, SIZE[1] - 110 + 16 * place), COLOURS[name], 3)
        pen.text((LEFT + 58, SIZE[1] - 110 + 16 * place), name, fill=INK, anchor="lm")
    pen.text((LEFT, TOP - 14), title, fill=INK, anchor="lm")
    pen.text((LEFT + width / 2, SIZE[1] - 14), "step", fill=INK, anchor="mm")
    return canvas


if __name__ == "__main__":
    main()
