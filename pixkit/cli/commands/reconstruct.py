"""`pixkit reconstruct`."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch import Tensor

from pixkit import figures
from pixkit.cli.drawing import Drawing, drawing_options
from pixkit.cli.inputs import given_images
from pixkit.cli.options import json_option, quiet_option, run_argument
from pixkit.cli.output import emit, emit_json, table
from pixkit.cli.progress import talking
from pixkit.cli.scores import number
from pixkit.image import Batch
from pixkit.models.latent import LatentModel
from pixkit.randomness import isolated_rng, seed_torch
from pixkit.tasks.latents import latent_model, paired_rows, reconstruct

COLUMNS = 16
"""Images in a row of the picture."""


@click.command()
@run_argument
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@drawing_options
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="FILE.png, originals on top."
)
@json_option
@quiet_option
def command(
    *,
    drawing: Drawing,
    images: tuple[str, ...],
    out: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Encode images and draw them again from their codes.

    An IMAGE is a file, or test:NUMBER of the run's own data. In the picture each row of images has what was drawn
    from their codes below it. The code is the encoder's mean; the pixels are drawn anew, so that details differ by
    chance. Where the model has a bound, each image's is told.
    """
    if out.suffix != ".png":
        raise click.UsageError(f"-o {out}: name a .png")
    drawer = drawing.open()
    model = latent_model(drawer.model, "reconstruct")
    with talking(quiet) as talk:
        x = given_images(images, drawer.run, model.spec, talk, where="IMAGE")
        again = reconstruct(model, x, drawing.seed, drawer.options(talk, "drawing"))
    columns = min(len(x), COLUMNS)
    figures.save_grid(paired_rows(x, again, columns), model.spec.levels, out, columns=columns)
    nats = _bounds(model, x, drawing.seed)
    if as_json:
        rows = [{"image": text, "nats": nats and nats[row]} for row, text in enumerate(images)]
        emit_json({"run": str(drawing.run), "out": str(out), "kind": model.score_kind, "images": rows})
        return
    if nats is not None:
        shown = [number(value, model.score_kind, 2) for value in nats]
        emit(table(("image", "nats"), zip(images, shown, strict=True)))
    emit(str(out))


def _bounds(model: LatentModel, x: Tensor, seed: int) -> list[float] | None:
    """Each image's score, the same for the same seed; None where the model has none."""
    if model.score_kind == "none":
        return None
    with isolated_rng(model.device):
        seed_torch(seed, model.device)
        return model.score(Batch(x.to(model.device), None, torch.arange(len(x)))).tolist()
