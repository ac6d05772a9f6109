"""`pixkit upscale`."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from pixkit.cli.commands.complete import report, told
from pixkit.cli.commands.sample import picture, saver
from pixkit.cli.drawing import Drawing, drawing_options
from pixkit.cli.inputs import given_image, one_label
from pixkit.cli.options import json_option, quiet_option, run_argument
from pixkit.cli.output import emit, emit_json, is_terminal, pairs
from pixkit.cli.progress import talking
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.layers import Lattice
from pixkit.models.base import Model
from pixkit.samplers import Known
from pixkit.tasks.complete import complete


@click.command()
@run_argument
@click.argument("image")
@click.option("-n", "count", type=click.IntRange(1), default=4, show_default=True, help="How many times to draw.")
@click.option("--factor", type=click.IntRange(2), default=2, show_default=True, help="How much larger to make it.")
@click.option("--label", type=click.IntRange(0), help="The image's class, for a model with labels.")
@drawing_options
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, FILE.npz or a folder.")
@json_option
@quiet_option
def command(
    *,
    drawing: Drawing,
    image: str,
    count: int,
    factor: int,
    label: int | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the pixels between those of a small image.

    IMAGE is taken as every n-th pixel (n is --factor) of an image of the model's size, and the others are drawn from
    their exact distribution given these. That works for models whose ordering draws every n-th pixel before all
    others, as `multiscale` does; others are refused.

    IMAGE is a file of the small size, or test:NUMBER of the run's data, of which every n-th pixel is taken. A picture
    that was made small by averaging is unlike what the model was trained on.

    FILE.png shows the small image enlarged, what was drawn, and, of the run's data, the image itself. FILE.npz and a
    folder hold what was drawn. Of the run's data, the nats of the image's own other pixels are told, given every n-th.
    """
    shown = is_terminal(sys.stdout) and not as_json
    if out is None and not shown and not as_json:
        raise click.UsageError("stdout is no terminal to show images on: name a file or a folder with -o")
    save = None if out is None else saver(out)
    drawer = drawing.open()
    model = drawer.model
    lattice = coarse_lattice(model, factor)
    with talking(quiet) as talk:
        given = given_image(image, drawer.run, small_spec(model.spec, lattice), talk, where="IMAGE")
        whole = tuple(given.shape[1:]) == model.spec.shape
        small = _sites(given, lattice) if whole else given
        known = known_sites(small, lattice, model.spec)
        found = complete(
            model,
            given if whole else known.values,
            known.mask,
            count,
            seed=drawing.seed,
            label=one_label(model, label, 1),
            **drawer.options(talk, "sampling"),
        )
        if not whole:
            found = replace(found, nats=None)
        drawer.summarise(talk, found.summary)
    panels = torch.cat([enlarged(small, lattice, model.spec), found.samples, *([given] if whole else [])])
    if save is not None and out is not None:
        columns = len(panels) if len(panels) <= 10 else None
        save(panels if out.suffix == ".png" else found.samples, model.spec.levels, out, columns)
    if as_json:
        emit_json({"run": str(drawing.run), "image": image, **report(found), "out": None if out is None else str(out)})
        return
    if shown:
        emit(picture(panels, model.spec.levels))
    emit(pairs(told(found)))
    if out is not None:
        emit(str(out))


def coarse_lattice(model: Model, factor: int) -> Lattice:
    """Every `factor`-th site, from where on the model can draw these before all others.

    Raises:
        UsageError: if there is no such place, with the factors for which there is one; if it cannot be given pixels.
    """
    found = _first_drawn(model, factor)
    if found is not None:
        return found
    longest = max(model.spec.height, model.spec.width)
    powers = [2**power for power in range(1, longest.bit_length()) if 2**power < longest]
    good = [str(power) for power in powers if _first_drawn(model, power) is not None]
    nearest = model.completing(_mask(model.spec, Lattice(0, 0, factor))).ordering
    raise UsageError(
        f"the model does not draw one pixel of every {factor} x {factor} before all others",
        where="--factor",
        found=f"{factor}, and the ordering {type(nearest).__name__}",
        expected=" or ".join(good) or "an ordering from coarse to fine",
        hint=None if good else "a model whose recipe has ordering: {type: multiscale}",
    )


def _first_drawn(model: Model, factor: int) -> Lattice | None:
    height, width = model.spec.height, model.spec.width
    for row, column in itertools.product(range(min(factor, height)), range(min(factor, width))):
        mask = _mask(model.spec, Lattice(row, column, factor))
        if Known(mask, mask[None].long()).precede(model.completing(mask).ordering):
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
