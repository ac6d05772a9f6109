"""`pixkit upscale`."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import click
import torch
from torch import Tensor

from pixkit.autoregressive import Autoregressive
from pixkit.build import load
from pixkit.cli.conditions import given_image, one_label
from pixkit.cli.door import open_door
from pixkit.cli.options import (
    checkpoint_option,
    device_option,
    quiet_option,
    run_argument,
    seed_option,
    temperature_option,
    weights_option,
)
from pixkit.cli.output import emit, is_terminal
from pixkit.cli.sample import picture, saver
from pixkit.cli.talk import talking
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.layers import Lattice
from pixkit.models.base import Model
from pixkit.ordering import Ordering
from pixkit.run import Run
from pixkit.samplers import Known, sampler_for


@click.command()
@run_argument
@click.argument("image")
@click.option("-n", "count", type=click.IntRange(1), default=4, show_default=True, help="How many times to draw.")
@click.option("--factor", type=click.IntRange(2), default=2, show_default=True, help="How much larger to make it.")
@seed_option
@click.option("--label", type=click.IntRange(0), help="The image's class, for a model with labels.")
@temperature_option
@checkpoint_option
@weights_option
@device_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, FILE.npz or a folder.")
@quiet_option
def command(
    *,
    run: Path,
    image: str,
    count: int,
    factor: int,
    seed: int,
    label: int | None,
    temperature: float | None,
    checkpoint: str,
    weights: str,
    device: str,
    out: Path | None,
    quiet: bool,
) -> None:
    """Draw the pixels between those of a small image.

    IMAGE is taken as every n-th pixel (n is --factor) of an image of the model's size, and the others are drawn from
    their exact distribution given these. That works for models whose ordering draws every n-th pixel before all
    others, as `multiscale` does; others are refused.

    IMAGE is a file of the small size, or test:NUMBER of the run's data, of which every n-th pixel is taken. A picture
    that was made small by averaging is unlike what the model was trained on.

    FILE.png shows the small image enlarged, what was drawn, and, of the run's data, the image itself. FILE.npz and a
    folder hold what was drawn.
    """
    shown = is_terminal(sys.stdout)
    if out is None and not shown:
        raise click.UsageError("stdout is no terminal to show images on: name a file or a folder with -o")
    save = None if out is None else saver(out)
    open_door()
    opened = Run.open(run)
    model = load(opened, device=device, checkpoint=checkpoint, weights=weights)
    lattice = coarse_lattice(ordering_of(model), factor)
    chosen = sampler_for("auto")
    with talking(quiet) as talk:
        given = given_image(image, opened, small_spec(model.spec, lattice), talk, where="IMAGE")
        whole = tuple(given.shape[1:]) == model.spec.shape
        small = _sites(given, lattice) if whole else given
        drawn = model.sample(
            count,
            seed=seed,
            temperature=temperature or opened.recipe().sample.temperature,
            sampler=chosen,
            known=known_sites(small, lattice, model.spec),
            context=one_label(model, label, count),
            progress=lambda done, total: talk.progress("sampling", done, total),
        ).cpu()
        if chosen.summary():
            talk.say(chosen.summary())
    panels = torch.cat([enlarged(small, lattice, model.spec), drawn, *([given] if whole else [])])
    if shown:
        emit(picture(panels, model.spec.levels))
    if save is not None and out is not None:
        columns = len(panels) if len(panels) <= 10 else None
        save(panels if out.suffix == ".png" else drawn, model.spec.levels, out, columns)
        emit(str(out))


def ordering_of(model: Model) -> Ordering:
    """The ordering of the model's one autoregressive network.

    Raises:
        UsageError: if it has none, or several.
    """
    networks = [module for module in model.modules() if isinstance(module, Autoregressive)]
    if len(networks) != 1:
        raise UsageError(
            "only a model of one autoregressive network can be given pixels",
            where=type(model).__name__,
            found=f"{len(networks)} networks",
        )
    return networks[0].ordering


def coarse_lattice(ordering: Ordering, factor: int) -> Lattice:
    """Every `factor`-th site, from where on these are drawn before all others.

    Raises:
        UsageError: if there is no such place, with the factors for which there is one.
    """
    found = _first_drawn(ordering, factor)
    if found is not None:
        return found
    longest = max(ordering.spec.height, ordering.spec.width)
    powers = [2**power for power in range(1, longest.bit_length()) if 2**power < longest]
    good = [str(power) for power in powers if _first_drawn(ordering, power) is not None]
    raise UsageError(
        f"the model does not draw one pixel of every {factor} x {factor} before all others",
        where="--factor",
        found=f"{factor}, and the ordering {type(ordering).__name__}",
        expected=" or ".join(good) or "an ordering from coarse to fine",
        hint=None if good else "a model whose recipe has ordering: {type: multiscale}",
    )


def _first_drawn(ordering: Ordering, factor: int) -> Lattice | None:
    height, width = ordering.spec.height, ordering.spec.width
    for row, column in itertools.product(range(min(factor, height)), range(min(factor, width))):
        mask = _mask(ordering.spec, Lattice(row, column, factor))
        if Known(mask, mask[None].long()).precede(ordering):
            return Lattice(row, column, factor)
    return None


def small_spec(spec: ImageSpec, lattice: Lattice) -> ImageSpec:
    """The image of the lattice's sites alone."""
    rows, columns = (len(range(first, size, lattice.stride)) for first, size in _axes(spec, lattice))
    return ImageSpec(spec.channels, rows, columns, spec.levels)


def known_sites(small: Tensor, lattice: Lattice, spec: ImageSpec) -> Known:
    """A small image, int64 [1, C, h, w], at the lattice's sites of a large one."""
    values = torch.zeros(1, *spec.shape, dtype=torch.int64)
    _sites(values, lattice).copy_(small)
    return Known(_mask(spec, lattice), values)


def enlarged(small: Tensor, lattice: Lattice, spec: ImageSpec) -> Tensor:
    """A small image with each of its pixels over its block: [1, C, h, w] to [1, C, H, W]."""
    rows, columns = (
        ((torch.arange(size) - first).div(lattice.stride, rounding_mode="floor")).clamp(min=0)
        for first, size in _axes(spec, lattice)
    )
    return small[:, :, rows[:, None], columns]


def _axes(spec: ImageSpec, lattice: Lattice) -> tuple[tuple[int, int], tuple[int, int]]:
    return (lattice.row, spec.height), (lattice.column, spec.width)


def _mask(spec: ImageSpec, lattice: Lattice) -> Tensor:
    mask = torch.zeros(spec.shape, dtype=torch.bool)
    _sites(mask, lattice).fill_(True)
    return mask


def _sites(x: Tensor, lattice: Lattice) -> Tensor:
    """A view of the lattice's sites, [..., H, W] to [..., h, w]."""
    return x[..., lattice.row :: lattice.stride, lattice.column :: lattice.stride]
