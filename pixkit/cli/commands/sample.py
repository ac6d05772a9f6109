"""`pixkit sample`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from pixkit import figures
from pixkit.cli.drawing import Drawing, Options, drawing_options
from pixkit.cli.inputs import Labels, codes_to_draw, given_images, known_rows, labels_to_draw
from pixkit.cli.options import quiet_option, run_argument
from pixkit.cli.output import emit, is_terminal
from pixkit.cli.progress import talking
from pixkit.models.base import Model
from pixkit.samplers import Drawn
from pixkit.tasks import latents
from pixkit.tasks.latents import latent_model

Save = Callable[[Any, int, Path, int | None], object]
"""Called as save(images, levels, path, columns of a grid)."""


@click.command()
@run_argument
@click.option("-n", "count", type=click.IntRange(1), help="How many images; the recipe's sample.count if left out.")
@click.option(
    "--label", "labels", type=Labels(), metavar="N[,N...]|all", help="Draw -n images of each of these classes."
)
@click.option("--code", "codes", type=Labels(), metavar="K[,K...]|all", help="Draw -n images of each categorical code.")
@click.option(
    "--interpolate", nargs=2, metavar="A B", help="From the code of one image to that of another; see --given."
)
@click.option(
    "--vary",
    metavar="pixels|latent|latentL",
    help="What differs: the pixels' noise (of one code), the code (under one noise), or latent level L alone.",
)
@click.option("--guidance", type=click.FloatRange(0), help="More like the label than the model says; 0 is the model.")
@click.option("--given", metavar="IMAGE", help="Continue an image: a file, or test:NUMBER of the run's data.")
@click.option("--rows", type=click.IntRange(1), help="With --given: how many of its rows are given.")
@drawing_options
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, FILE.npz or a folder.")
@quiet_option
def command(
    *,
    drawing: Drawing,
    count: int | None,
    labels: tuple[int, ...] | str | None,
    codes: tuple[int, ...] | str | None,
    interpolate: tuple[str, str] | None,
    vary: str | None,
    guidance: float | None,
    given: str | None,
    rows: int | None,
    out: Path | None,
    quiet: bool,
) -> None:
    """Draw images from a trained model.

    With -o they go into a grid (FILE.png), an archive of the levels themselves (FILE.npz, array
    `samples`, [N, C, H, W]) or a folder of PNG pictures, whose path is printed. On a terminal they are
    shown there too.

    What is left out is taken from the recipe's section `sample`. An image depends on the seed and its number
    alone, not on how many are drawn or how.

    With --label the images of a class make a row of the grid. A model with labels draws each class in turn where no
    label is given. With --given and --rows the first rows are an image's own and the others are drawn; under a raster
    ordering that is exact.

    Of a latent model, --code does the same for each value of a categorical code, and --interpolate and --vary show
    what the code and the pixels' noise each decide.
    """
    if (given is None) != (rows is None):
        raise click.UsageError("--given and --rows go together: --given IMAGE --rows 10")
    wish = Wish(labels, codes, interpolate, vary, guidance, given, rows)
    save = None if out is None else saver(out)
    shown = is_terminal(sys.stdout)
    if save is None and not shown:
        raise click.UsageError("stdout is no terminal to show images on: name a file or a folder with -o")
    drawer = drawing.open()
    model = drawer.model
    number = count or (8 if wish.in_rows else drawer.run.recipe().sample.count)
    with talking(quiet) as talk:

        def images(texts: Sequence[str]) -> Tensor:
            return given_images(texts, drawer.run, model.spec, talk, where=wish.source)

        drawn = wish.draw(model, number, drawing.seed, drawer.options(talk, "sampling"), images)
        drawer.summarise(talk, drawn.summary)
    x = drawn.images
    if shown:
        emit(picture(x, model.spec.levels))
    if save is not None and out is not None:
        save(x, model.spec.levels, out, number if wish.in_rows else None)
        emit(str(out))


@dataclass(frozen=True)
class Wish:
    """What the options ask to be drawn; each attribute is an option's value, None if it was left out.

    Raises:
        click.UsageError: if two of them do not go together.
    """

    labels: tuple[int, ...] | str | None
    codes: tuple[int, ...] | str | None
    interpolate: tuple[str, str] | None
    vary: str | None
    guidance: float | None
    given: str | None
    rows: int | None

    def __post_init__(self) -> None:
        names = {"--label": self.labels, "--code": self.codes, "--given": self.given}
        alone = {"--interpolate": self.interpolate, "--vary": self.vary}
        used = [name for name, value in (names | alone | {"--guidance": self.guidance}).items() if value is not None]
        if len(used) > 1 and (set(used) & set(alone) or {"--label", "--code"} <= set(used)):
            raise click.UsageError(f"{' and '.join(used)} do not go together")

    @property
    def in_rows(self) -> bool:
        """Whether -n is the number of images in a row of the grid."""
        return self.labels is not None or self.codes is not None or self.interpolate is not None

    @property
    def source(self) -> str:
        """The option that names images."""
        return "--given" if self.interpolate is None else "--interpolate"

    def draw(
        self, model: Model, number: int, seed: int, options: Options, images: Callable[[Sequence[str]], Tensor]
    ) -> Drawn:
        """The images; `images` gives those that are named."""
        if self.interpolate is not None:
            latent = latent_model(model, "--interpolate")
            return latent.draw_from(*latents.interpolate(latent, images(self.interpolate), number, seed), **options)
        if self.vary is not None:
            latent = latent_model(model, "--vary")
            return latent.draw_from(*latents.vary(latent, self.vary, number, seed), **options)
        conditions: dict[str, Any] = {"guidance": self.guidance} if self.guidance else {}
        if self.labels is not None:
            conditions["context"] = labels_to_draw(model, self.labels, number)
        if self.codes is not None:
            conditions["context"] = codes_to_draw(model, self.codes, number)
        if self.given is not None and self.rows is not None:
            conditions["known"] = known_rows(images([self.given]), self.rows)
        count = len(conditions["context"]) if "context" in conditions else number
        return model.draw(model.request(count, seed=seed, **options, **conditions))


def saver(out: Path) -> Save:
    """What writes to that path: its suffix says it.

    Raises:
        click.UsageError: for another suffix.
        RunError: for a folder with something in it.
    """
    if out.suffix == ".png":
        return lambda x, levels, path, columns: figures.save_grid(x, levels, path, columns=columns)
    if out.suffix == ".npz":
        return lambda x, levels, path, columns: figures.save_npz(x, levels, path)
    if out.suffix and not out.is_dir():
        raise click.UsageError(f"-o {out}: name a .png, a .npz, or a folder (no suffix)")
    figures.require_empty(out)
    return lambda x, levels, path, columns: figures.save_images(x, levels, path)


def picture(x: Any, levels: int) -> str:
    """As many of the images as fit the terminal."""
    size = shutil.get_terminal_size()
    plain = os.environ.get("NO_COLOR") or "utf" not in (sys.stdout.encoding or "").lower()
    paint = figures.shades if plain else figures.truecolour
    return figures.preview(x, levels, paint, width=size.columns, lines=size.lines - 3)
