"""`pixkit reconstruct`."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch import Tensor

from pixkit import figures
from pixkit.build import load
from pixkit.cli.conditions import given_images
from pixkit.cli.door import open_door
from pixkit.cli.latents import latent_model, paired_rows, reconstruct
from pixkit.cli.options import (
    checkpoint_option,
    device_option,
    json_option,
    quiet_option,
    run_argument,
    sampler_option,
    seed_option,
    temperature_option,
    weights_option,
)
from pixkit.cli.output import emit, emit_json, table
from pixkit.cli.scores import number
from pixkit.cli.talk import talking
from pixkit.image import Batch
from pixkit.models.latent import LatentModel
from pixkit.run import Run
from pixkit.training.randomness import isolated_rng, seed_torch

COLUMNS = 16
"""Images in a row of the picture."""


@click.command()
@run_argument
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@seed_option
@temperature_option
@sampler_option
@checkpoint_option
@weights_option
@device_option
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="FILE.png, originals on top."
)
@json_option
@quiet_option
def command(
    *,
    run: Path,
    images: tuple[str, ...],
    seed: int,
    temperature: float | None,
    sampler: str | None,
    checkpoint: str,
    weights: str,
    device: str,
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
    open_door()
    opened = Run.open(run)
    defaults = opened.recipe().sample
    model = latent_model(load(opened, device=device, checkpoint=checkpoint, weights=weights), "reconstruct")
    with talking(quiet) as talk:
        x = given_images(images, opened, model.spec, talk, where="IMAGE")
        options = {
            "temperature": temperature or defaults.temperature,
            "batch_size": defaults.batch_size,
            "sampler": sampler or defaults.type,
        }
        again = reconstruct(model, x, seed, lambda done, total: talk.progress("drawing", done, total), options)
    columns = min(len(x), COLUMNS)
    figures.save_grid(paired_rows(x, again, columns), model.spec.levels, out, columns=columns)
    nats = _bounds(model, x, seed)
    if as_json:
        rows = [{"image": text, "nats": nats and nats[row]} for row, text in enumerate(images)]
        emit_json({"run": str(run), "out": str(out), "kind": model.score_kind, "images": rows})
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
