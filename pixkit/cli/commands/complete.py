"""`pixkit complete`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from pixkit.cli.commands.sample import picture
from pixkit.cli.drawing import Drawing, drawing_options
from pixkit.cli.inputs import given_image, given_mask, one_label
from pixkit.cli.options import json_option, quiet_option, run_argument
from pixkit.cli.output import emit, emit_json, is_terminal, pairs
from pixkit.cli.progress import talking
from pixkit.cli.untrained import Numbers
from pixkit.components.plugins import registry
from pixkit.figures.panels import completion_panels, save_panels
from pixkit.files import replacing
from pixkit.image import ImageSpec
from pixkit.orderings.base import Ordering
from pixkit.tasks.complete import Completion, complete, hide_box, hide_random, keep_edge

Hole = Callable[[ImageSpec], Tensor]
"""The known sub-pixels, bool [C, H, W], of images of a spec."""
CORNERS = Numbers(lambda numbers: len(numbers) == 4, "T,L,H,W: top, left, height, width")


@click.command()
@run_argument
@click.argument("image")
@click.option("--mask", type=click.Path(path_type=Path), help="A picture of the image's size; white is missing.")
@click.option("--box", type=CORNERS, metavar="T,L,H,W", help="A box is missing: top, left, height, width.")
@click.option("--keep-top", type=click.IntRange(1), metavar="N", help="All but the first N rows is missing.")
@click.option("--keep-bottom", type=click.IntRange(1), metavar="N", help="All but the last N rows is missing.")
@click.option("--keep-left", type=click.IntRange(1), metavar="N", help="All but the first N columns is missing.")
@click.option("--keep-right", type=click.IntRange(1), metavar="N", help="All but the last N columns is missing.")
@click.option(
    "--random", "share", type=click.FloatRange(0, 1, min_open=True), help="This share of the pixels is missing."
)
@click.option("-n", "count", type=click.IntRange(1), default=8, show_default=True, help="How many completions.")
@click.option("--label", type=click.IntRange(0), help="The image's class, for a model with labels.")
@drawing_options
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="FILE.png or FILE.npz.")
@json_option
@quiet_option
def command(
    *,
    drawing: Drawing,
    image: str,
    mask: Path | None,
    box: tuple[int, ...] | None,
    keep_top: int | None,
    keep_bottom: int | None,
    keep_left: int | None,
    keep_right: int | None,
    share: float | None,
    count: int,
    label: int | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the missing part of an image, and score the true one.

    IMAGE is a file of the model's size, or test:NUMBER of the run's data. One of --mask, --box, --keep-SIDE and
    --random says what of it is missing. Of a model with several orderings, the one is used that draws the missing part
    last.

    Where every known pixel is drawn before every missing one, the completions follow p(missing | known), and
    -log p(missing | known) of IMAGE's own content is told in nats. Elsewhere the known pixels are clamped: a missing
    one is drawn given those alone that come before it, and no nats are told.

    FILE.png shows the image, what was given, the uncertainty (of each pixel the entropy given what was drawn before it,
    the mean over the completions) and the completions. FILE.npz holds the arrays samples [N, C, H, W], original,
    known [C, H, W] and uncertainty [H, W].
    """
    edges = {"top": keep_top, "bottom": keep_bottom, "left": keep_left, "right": keep_right}
    hole = _hole(mask, box, edges, share, drawing.seed)
    shown = is_terminal(sys.stdout) and not as_json
    if out is None and not shown and not as_json:
        raise click.UsageError("stdout is no terminal to show images on: name a file with -o")
    if out is not None and out.suffix not in (".png", ".npz"):
        raise click.UsageError(f"-o {out}: name a .png or a .npz")
    drawer = drawing.open()
    model = drawer.model
    with talking(quiet) as talk:
        whole = given_image(image, drawer.run, model.spec, talk, where="IMAGE")
        found = complete(
            model,
            whole,
            hole(model.spec),
            count,
            seed=drawing.seed,
            label=one_label(model, label, 1),
            **drawer.options(talk, "completing"),
        )
        drawer.summarise(talk, found.summary)
    if out is not None:
        _save(found, whole, model.spec.levels, out)
    if as_json:
        emit_json({"run": str(drawing.run), "image": image, **report(found), "out": None if out is None else str(out)})
        return
    if shown:
        emit(picture(torch.cat([whole, whole * found.known, found.samples]), model.spec.levels))
    emit(pairs(told(found)))
    if out is not None:
        emit(str(out))


def report(found: Completion) -> dict[str, Any]:
    """What is told of a completion, as plain data; `nats` and `entropy` are None where known pixels were clamped."""
    missing = int((~found.known).sum())
    return {
        "kind": "exact" if found.exact else "clamped",
        "nats": found.nats,
        "entropy": found.entropy,
        "missing": missing,
        "bits_per_dim": None if found.nats is None else found.nats / (missing * float(np.log(2))),
        "ordering": ordering_words(found.ordering),
        "n": len(found.samples),
    }


def told(found: Completion) -> dict[str, str]:
    """The same in words; what is not known is left out."""
    plain = report(found)
    words = {"ordering": plain["ordering"], "missing": f"{plain['missing']} sub-pixels"}
    if not found.exact:
        return words | {"kind": "clamped: some known pixels are drawn after missing ones, so there are no nats"}
    words["kind"] = "exact"
    if found.nats is not None:
        words["true content"] = f"{found.nats:.3f} nats, {plain['bits_per_dim']:.4f} bits/dim, given what is known"
    return words | {"completions": f"~ {found.entropy:.3f} nats (their entropy, from {plain['n']})"}


def ordering_words(ordering: Ordering) -> str:
    """An ordering's name and those of its keys that are not as usual."""
    components, config = registry(), ordering.config
    names = [entry.name for entry in components if entry.cls is type(ordering)]
    required = {key: getattr(config, key) for key, field in type(config).model_fields.items() if field.is_required()}
    usual = type(config).model_validate(required, context={"registry": components}).model_dump(mode="json")
    words = [*names[:1]] or [type(ordering).__name__]
    for key, value in config.model_dump(mode="json").items():
        if value != usual[key] or key in required:
            words.append(key if value is True else f"{key} {value}")
    return ", ".join(words)


def _hole(
    mask: Path | None,
    box: tuple[int, ...] | None,
    edges: Mapping[Any, int | None],
    share: float | None,
    seed: int,
) -> Hole:
    """What the one option that is given says; click.UsageError for none or several."""
    ways: dict[str, Hole] = {}
    if mask is not None:
        ways["--mask"] = lambda spec: given_mask(mask, spec)
    if box is not None:
        ways["--box"] = lambda spec: hide_box(spec.shape, *box)
    for side, kept in edges.items():
        if kept is not None:
            ways[f"--keep-{side}"] = lambda spec, side=side, kept=kept: keep_edge(spec.shape, side, kept)  # type: ignore[misc]
    if share is not None:
        ways["--random"] = lambda spec: hide_random(spec.shape, share, seed)
    if len(ways) != 1:
        found = " and ".join(ways) if ways else "nothing"
        raise click.UsageError(
            f"{found} says what is missing: give one of --mask, --box, --keep-top, --keep-bottom, --keep-left, "
            "--keep-right, --random"
        )
    return next(iter(ways.values()))


def _save(found: Completion, whole: Tensor, levels: int, out: Path) -> None:
    if out.suffix == ".png":
        panels = completion_panels(whole, found.known, found.samples, found.uncertainty, levels)
        kind = "clamped" if found.nats is None else f"exact; the true content: {found.nats:.2f} nats"
        save_panels(panels, out, note=f"{kind} ({ordering_words(found.ordering)})")
        return
    kept = np.uint8 if levels <= 256 else np.int32
    with replacing(out) as temporary:
        np.savez_compressed(
            temporary,
            samples=found.samples.numpy().astype(kept),
            original=whole[0].numpy().astype(kept),
            known=found.known.numpy(),
            uncertainty=found.uncertainty.numpy(),
        )
