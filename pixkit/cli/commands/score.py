"""`pixkit score`."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import click

from pixkit import figures
from pixkit.cli.drawing import conditions_given, conditions_option, one_of
from pixkit.cli.group import plugin_option
from pixkit.cli.image_rows import MAP, MASK, rows_as
from pixkit.cli.options import (
    against_options,
    checkpoint_option,
    device_option,
    images_argument,
    labels_option,
    naming_options,
    quiet_option,
    run_argument,
    seed_option,
    weights_option,
    with_options,
)
from pixkit.cli.output import emit, emit_json, pairs
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.figures.targets import require_empty, require_file, saving
from pixkit.ranks import for_one_process, launched
from pixkit.tasks.scoring import Tally, common_top, save_map, score, set_threshold, several, unlikely

NO_FOLDER = ""
"""The value of --map without a folder."""


@click.command()
@run_argument
@images_argument
@click.option(
    "--map", "folder", is_flag=False, flag_value=NO_FOLDER, metavar="[DIR]",
    help="Write nats of each site as NUMBER.npy and NUMBER.png into a new folder; without DIR, only for -o.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="FILE.png, a mask of unlikely sites: white."
)
@click.option("--above", type=float, metavar="NATS", help="Nats above which -o marks a site; C ln K by default.")
@labels_option
@conditions_option
@click.option(
    "--importance",
    type=click.IntRange(1),
    metavar="N",
    help="For a latent model: estimate the likelihood from N samples an image.",
)
@with_options(against_options)
@click.option("--flag", is_flag=True, help="Show which images exceed the run's threshold.")
@click.option(
    "--set-threshold",
    "false_alarms",
    type=float,
    metavar="RATE",
    help="Set the run's threshold, which images like these exceed at most at this rate; no rows are printed.",
)
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images at a time.")
@seed_option
@checkpoint_option
@weights_option
@plugin_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print only JSON Lines on stdout, one object an image.")
@click.option("--csv", "as_csv", is_flag=True, help="Print only CSV on stdout, one line an image.")
@quiet_option
def command(
    *,
    run: Path,
    images: tuple[str, ...],
    folder: str | None,
    out: Path | None,
    above: float | None,
    flag: bool,
    false_alarms: float | None,
    given: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Score images one by one, and show where they are unlikely.

    An IMAGE is a picture, a folder or archive of pictures, an array of levels (.npy, .npz), test:NUMBER of the run's
    data, or a part of them: test:0:100, test:: for all. Files are prepared like the run's data. Rows come in the order
    of the images, as soon as they are scored; an unreadable image also has a row, and then the exit code is 3.

    Nats are -log p of an image; for a latent model a bound, marked "<=". For a model with labels they are conditional
    on the label, from --labels or the run's data; for other images, or with --labels all, they are of p(x) = mean over
    labels y of p(x | y), beside those given the likeliest label. For a model with a list of conditions they are
    conditional on each image's own, of the run's data or made of the image, or on those of --given, for all images or
    a row for each; what --given leaves out is hidden if it may be.

    With --map pictures of all images share one scale, from 0 to the larger of 5 and C ln K nats per site, the cost if
    all K levels of C colours were equally likely. `pixkit complete --mask` redraws what -o marks; for several images
    there are FILE-0.png, FILE-1.png and so on.

    Likelihoods alone do not reveal anomalies. --complexity, --typicality, --background and --local correct them; all
    are large for images unlike the run's data. --set-threshold stores a limit of one of them in the run, from held-out
    images, and --flag applies it: `pixkit docs scores`. Under torchrun the ranks share the batches; rank 0 prints.
    """
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    if folder == NO_FOLDER and out is None:
        raise click.UsageError("--map needs a folder, or a mask with -o")
    if above is not None and out is None:
        raise click.UsageError("--above needs a mask: name a file with -o")
    target = require_empty(folder) if folder else None
    if out is not None:
        if out.suffix != ".png":
            raise click.UsageError(f"-o {out}: name a .png")
        require_file(out)
    loaded_plugins()
    options["context"] = conditions_given(given) or None
    if false_alarms is not None:
        for_one_process("setting a threshold")
        if folder is not None or out is not None or flag or as_csv:
            raise click.UsageError("--set-threshold prints no rows: leave out --map, -o, --flag and --csv")
        _set_threshold(run, images, false_alarms, options, as_json=as_json, quiet=quiet)
        return
    tally = Tally()
    with launched() as ranks, naming_options(), show_progress(quiet or not ranks.first, streaming=True) as progress:
        spec = (opened := opened_run(run, quiet or not ranks.first)).spec
        options |= {"maps": target is not None or out is not None, "flag": flag, "ranks": ranks}
        found = score(opened, images, **options, **progress.hooks("scoring"))
        if not ranks.first:
            deque(found, maxlen=0)
            return
        files = [*MAP * (target is not None), *MASK * (out is not None)]
        rows = rows_as("json" if as_json else "csv" if as_csv else "plain", lambda: [*found.columns, *files])
        ahead, count = several(found)
        for number, each in enumerate(ahead):
            row = each.dump(spec)
            if target is not None and each.sites is not None:
                row |= save_map(target, number, each.sites, common_top(spec))
            if out is not None and each.sites is not None:
                marked = unlikely(each.sites, spec, above)
                mask = one_of(out, number, count)
                with saving(mask):
                    figures.save_mask(marked, mask)
                row |= {"mask": str(mask), "marked": int(marked.sum())}
            tally.add(each)
            with progress.printing():
                rows.add(row)
        with progress.printing():
            rows.close()
        progress.remark(tally.summary(spec))
        tally.check()


def _set_threshold(
    run: Path, images: tuple[str, ...], rate: float, options: Any, *, as_json: bool, quiet: bool
) -> None:
    """Set the run's threshold and print it."""
    with naming_options(), show_progress(quiet) as progress:
        found = set_threshold(opened_run(run, quiet), images, rate, **options, **progress.hooks("scoring"))
    if as_json:
        emit_json({"run": str(run), **found.dump()})
    else:
        emit(pairs(found.in_words()))
