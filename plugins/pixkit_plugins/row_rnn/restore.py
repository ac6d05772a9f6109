"""`pixkit restore`: can a model trained on one image draw it from nothing?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import pixkit
from pixkit.data import prepare


@dataclass(frozen=True)
class Restored:
    """A run's attempt to redraw its only training image.

    Attributes:
        original: int64 [C, H, W].
        drawn: the image generated from nothing.
        spec: the spec of images.
        kind: whether `nats` is exact, a bound, or there is none.
        nats: the model's score of the original.
    """

    original: Tensor
    drawn: Tensor
    spec: pixkit.ImageSpec
    kind: str
    nats: float | None

    @property
    def levels(self) -> int:
        """K."""
        return self.spec.levels

    @property
    def wrong(self) -> int:
        """Number of sub-pixels that differ."""
        return int((self.original != self.drawn).sum())

    @property
    def fraction(self) -> float:
        """Fraction of the sub-pixels that agree."""
        return 1 - self.wrong / self.original.numel()

    def save(self, path: Path) -> Path:
        """Original, drawn image and their absolute difference, black where they agree, side by side."""
        pair, levels = torch.stack([self.original, self.drawn]), self.levels
        if self.spec.palette is not None:  # token numbers cannot be subtracted
            pair, levels = torch.from_numpy(pixkit.figures.to_bytes(pair, self.spec)).long(), 256
        return pixkit.figures.save_grid(torch.cat([pair, (pair[:1] - pair[1:]).abs()]), levels, path, columns=3)


def restore(run: pixkit.Run | str | Path, *, temperature: float, seed: int, device: str) -> Restored:
    """Generate an image with the run's model, every pixel given its own earlier ones, and compare.

    Raises:
        UsageError: if the run's training set is not a single image that stays the same.
        DataError: if the image has changed since the run was trained.
    """
    run = run if isinstance(run, pixkit.Run) else pixkit.Run.open(run)
    original = training_image(run)
    model = pixkit.load(run, device=device)
    drawn = model.sample(1, seed=seed, temperature=temperature).cpu()
    nats = None
    if model.score_kind != "none":
        batch = pixkit.Batch(original, None, torch.arange(1)).to(model.device)
        with torch.no_grad():
            nats = float(model.eval().score(batch))
    return Restored(original[0], drawn[0], model.spec, model.score_kind, nats)


def training_image(run: pixkit.Run) -> Tensor:
    """The only image that a run was trained on, int64 [1, C, H, W]."""
    section = run.recipe().data
    dataset = prepare(section, Path.cwd(), palette=run.spec.palette)
    if dataset.size("train") != 1 or getattr(section.config, "binarise", None) == "dynamic":
        raise pixkit.UsageError(
            "only a model that was trained on one image can restore it",
            where=str(run.path),
            found=f"{dataset.size('train')} training images: {dataset.description}",
            expected="one, the same at every visit",
            hint="pixkit build one-image-row_rnn",
        )
    if dataset.hashes() != run.settings()["lock"]["data"]["hashes"]:
        raise pixkit.DataError("the image is not the one that the run was trained on", where=str(run.path))
    return dataset.batch("train", torch.arange(1)).x


@click.command("restore")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Where the pictures go, side by side; RUN/restored.png by default.",
)
@click.option(
    "--temperature",
    type=float,
    default=1e-3,
    show_default=True,
    help="Divides logits; near 0 the most probable level is drawn, at 1 the model's own distribution.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the noise.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")
@click.pass_context
def command(
    ctx: click.Context, *, run: Path, out: Path | None, temperature: float, seed: int, device: str, as_json: bool
) -> None:
    """Draw the one image that a model was trained on, from nothing.

    For any run whose training set is one image. The image is generated freely, every pixel given the model's own
    earlier ones, and compared with the original: how much of it is restored, and the original's score. Original,
    generated image and their difference are saved side by side. The exit code is 0 only if the image is restored
    exactly.
    """
    target = out or run / "restored.png"
    if target.suffix != ".png":
        raise click.UsageError(f"-o {target}: name a .png")
    pixkit.figures.require_file(target)
    found = restore(run, temperature=temperature, seed=seed, device=device)
    found.save(target)
    total = found.original.numel()
    if as_json:
        click.echo(json.dumps(_row(found, run, target), indent=2))
    else:
        share = f"{100 * found.fraction:.2f}%"
        click.echo(f"restored  {total - found.wrong} of {total} sub-pixels ({share})")
        if found.nats is not None:
            click.echo(f"score     {'<= ' * (found.kind == 'bound')}{found.nats:.4g} nats for the image")
        click.echo(f"picture   {pixkit.printable(str(target))}: original, generated, difference")
    ctx.exit(int(found.wrong > 0))


def _row(found: Restored, run: Path, target: Path) -> dict[str, Any]:
    return {
        "run": str(run),
        "restored": found.fraction,
        "wrong": found.wrong,
        "sub_pixels": found.original.numel(),
        "score_kind": found.kind,
        "nats": found.nats,
        "picture": str(target),
    }
