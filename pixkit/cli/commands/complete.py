"""`pixkit complete`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

from pixkit.cli.drawing import conditions_given, conditions_option, drawing_options, one_of, picture
from pixkit.cli.options import Numbers, images_argument, json_option, naming_options, quiet_option, run_argument
from pixkit.cli.output import emit, emit_json, emit_line, emit_picture, is_terminal, pairs
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.figures.targets import require_file, saving
from pixkit.runs.figures import UNITS
from pixkit.tasks.complete import Completion, complete_each
from pixkit.tasks.masks import Mask, hide_box, hide_random, keep_edge

CORNERS = Numbers(lambda numbers: len(numbers) == 4, "T,L,H,W: top, left, height, width")


@click.command()
@run_argument
@images_argument
@click.option(
    "--mask", type=click.Path(path_type=Path), help="A file of the image's size; white marks what is missing."
)
@click.option("--box", type=CORNERS, metavar="T,L,H,W", help="A box is missing: top, left, height, width.")
@click.option("--keep-top", type=click.IntRange(1), metavar="N", help="All but the first N rows are missing.")
@click.option("--keep-bottom", type=click.IntRange(1), metavar="N", help="All but the last N rows are missing.")
@click.option("--keep-left", type=click.IntRange(1), metavar="N", help="All but the first N columns are missing.")
@click.option("--keep-right", type=click.IntRange(1), metavar="N", help="All but the last N columns are missing.")
@click.option(
    "--random", "share", type=click.FloatRange(0, 1, min_open=True), help="This share of the pixels is missing."
)
@click.option("-n", "count", type=click.IntRange(1), default=8, show_default=True, help="Number of completions.")
@click.option("--label", metavar="CLASS", help="The image's class, for a model with labels.")
@conditions_option
@drawing_options
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="FILE.png or FILE.npz.")
@json_option
@quiet_option
def command(
    *,
    run: Path,
    drawing: dict[str, Any],
    images: tuple[str, ...],
    mask: Path | None,
    box: tuple[int, ...] | None,
    keep_top: int | None,
    keep_bottom: int | None,
    keep_left: int | None,
    keep_right: int | None,
    share: float | None,
    count: int,
    label: str | None,
    given: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the missing part of an image, and score the true one.

    IMAGE is a picture, a folder or archive of pictures, an array of levels (.npy, .npz) or test:NUMBER of the run's
    data; files are prepared like the run's data. One of --mask, --box, --keep-SIDE and --random defines the missing
    part: in a mask, the values 128..255, or 1 if all are 0 and 1. If a model has several orderings, the one that draws
    the missing part last is used.

    Where every known pixel is drawn before every missing one, the completions follow p(missing | known), and -log
    p(missing | known) of IMAGE's own content is shown in nats. Otherwise the known pixels are clamped: a missing one is
    drawn given only those that come before it, and no nats are shown.

    For several images the results are in FILE-0.png, FILE-1.png and so on. FILE.png shows the image, the known part,
    the uncertainty (for each pixel the entropy given what was drawn before it, averaged over the completions) and the
    completions. FILE.npz holds the arrays samples [N, C, H, W], original, known [C, H, W] and uncertainty [H, W].
    """
    edges = {"top": keep_top, "bottom": keep_bottom, "left": keep_left, "right": keep_right}
    known = _known(mask, box, edges, share, drawing["seed"])
    shown = is_terminal(sys.stdout) and not as_json
    _check_out(out, needed=not shown and not as_json)
    loaded_plugins()
    quiet = quiet or not drawing["ranks"].first
    with naming_options(), show_progress(quiet) as progress:
        options: dict[str, Any] = {"label": label, "context": conditions_given(given) or None, **drawing}
        options |= progress.hooks("completing")
        found = complete_each(opened_run(run, quiet), images, known, count, **options)
        for summary in dict.fromkeys(each.summary for each in found):
            progress.remark(summary)
    if not drawing["ranks"].first:
        return
    outs = [None if out is None else one_of(out, number, len(found)) for number in range(len(found))]
    for each, place in zip(found, outs, strict=True):
        if place is not None:
            with saving(place):
                each.save(place)
        if not as_json:
            _show(each, place, images=shown, named=len(found) > 1)
    if as_json:
        rows = [
            {"image": each.name, **each.dump(), "out": None if place is None else str(place)}
            for each, place in zip(found, outs, strict=True)
        ]
        emit_json({"run": str(run), **(rows[0] if len(rows) == 1 else {"completions": rows})})


def _check_out(out: Path | None, *, needed: bool) -> None:
    if out is None and needed:
        raise click.UsageError("stdout is not a terminal to show images on: name a file with -o")
    if out is not None and out.suffix not in (".png", ".npz"):
        raise click.UsageError(f"-o {out}: name a .png or a .npz")
    if out is not None:
        require_file(out)


def _show(found: Completion, out: Path | None, *, images: bool, named: bool) -> None:
    """Print a completion and its file; also the images, if stdout is a terminal."""
    if images:
        given = found.image.where(found.known, torch.tensor(found.spec.blank))
        emit_picture(picture(torch.cat([found.image, given, found.samples]), found.spec))
    emit(pairs(({"image": found.name} if named else {}) | told(found)))
    if out is not None:
        emit_line(out)


def told(found: Completion) -> dict[str, str]:
    """A completion in words; unknown values are left out."""
    plain = found.dump()
    words = {"ordering": plain["ordering"], "missing": f"{plain['missing']} sub-pixels"}
    if not found.exact:
        return words | {"kind": "clamped: some known pixels are drawn after missing ones, so there are no nats"}
    words["kind"] = "exact"
    if found.nats is not None:
        rate = found.spec.rate
        words["true content"] = f"{found.nats:.3f} nats, {plain[rate]:.4f} {UNITS[rate]}, given what is known"
    return words | {"completions": f"~ {found.entropy:.3f} nats (their entropy, from {plain['n']})"}


def _known(
    mask: Path | None,
    box: tuple[int, ...] | None,
    edges: Mapping[Any, int | None],
    share: float | None,
    seed: int,
) -> Path | Mask:
    """The known part according to the one option given; click.UsageError for none or several."""
    ways: dict[str, Path | Mask] = {}
    if mask is not None:
        ways["--mask"] = mask
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
            f"{found} gives the missing part: use one of --mask, --box, --keep-top, --keep-bottom, --keep-left, "
            "--keep-right, --random"
        )
    return next(iter(ways.values()))
