"""Runs and their scores, beside each other and beside published figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pixkit.catalogue.published import PUBLISHED, Published
from pixkit.catalogue.recipes import packaged_recipes
from pixkit.report.markup import Element, element, section, table
from pixkit.report.subject import Subject
from pixkit.runs import comparable
from pixkit.runs.figures import UNITS, number, score_cell

SPLITS = ("validation", "test", "train")
"""The order of splits; the first score on the test images is compared with the published figure."""


def overview(subjects: Sequence[Subject]) -> Element:
    """A row for each run, and why their scores may not be comparable."""
    behind = _behind(subjects)
    rows = [
        (
            one.name,
            _state(one.about),
            f"{one.about['step']}/{one.about['steps']}",
            f"{one.about['parameters']:,}",
            score_cell(one.about["validation"]),
            "" if lag is None else f"{lag:.4f}",
            one.about["changed"].replace("T", " "),
        )
        for one, lag in zip(subjects, behind, strict=True)
    ]
    headers = ("run", "state", "steps", "parameters", "validation", "behind the best", "last written")
    notes = [*_running(subjects), *comparable.remarks([one.scored for one in subjects])]
    told = [element("p", f"{note[:1].upper()}{note[1:]}".removesuffix(".") + ".", class_="note") for note in notes]
    return section("Runs", "runs", table("The runs, and their validation scores", headers, rows), told)


def _behind(subjects: Sequence[Subject]) -> list[float | None]:
    scored = [one.scored for one in subjects]
    scores = [one.validation.score if one.validation and comparable.comparable(scored) else None for one in subjects]
    best = min((score for score in scores if score is not None), default=0.0)
    return [None if score is None else score - best for score in scores]


def _state(about: Mapping[str, Any]) -> str:
    return "stopped, not finite" if about["state"] == "stopped" and about["nonfinite"] else str(about["state"])


def _running(subjects: Sequence[Subject]) -> Iterator[str]:
    for one in subjects:
        if one.about["state"] == "running":
            by = f" ({one.about['builder']})" if one.about["builder"] else ""
            yield f"{one.mark} is still being trained{by}: this is its state at step {one.about['step']}."
        if not one.about["checkpoints"]:
            yield f"{one.mark} has no checkpoint yet."


def scores(subjects: Sequence[Subject]) -> Element:
    """The final tables of the runs, and the published figures."""
    rows = [(one.name, *_cells(row)) for one in subjects for row in _sorted(one.about["scores"])]
    rows += [(one.name, *_so_far(one)) for one in subjects if not one.about["scores"] and one.validation]
    headers = ("run", "images of", "weights", "images", "bits", "nats/image", "other figures")
    shown = len(headers) if any(row[-1] for row in rows) else len(headers) - 1
    caption = "Scores; <= marks a bound, ~ an estimate"
    tables = [table(caption, headers[:shown], [row[:shown] for row in rows])] if rows else []
    nothing = None if rows else element("p", "Nothing was scored yet.")
    return section("Scores", "scores", tables, nothing, _beside_published(subjects))


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: SPLITS.index(row["split"]) if row["split"] in SPLITS else len(SPLITS))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    parts = ", ".join(f"{name} {number(value, 'exact', 3)}" for name, value in row.get("parts", {}).items())
    drawn = f"{row['samples']} importance samples" if row.get("samples") else ""
    likely = _likelihood(row) if row["kind"] != "none" else ("", "")
    return row["split"], row["weights"], f"{row['images']:,}", *likely, "; ".join(filter(None, (parts, drawn)))


def _likelihood(row: Mapping[str, Any]) -> tuple[str, str]:
    rate = "bits_per_token" if row.get("bits_per_token") is not None else "bits_per_dim"
    error = "" if row["stderr"] is None else f" +- {row['stderr']:.3f}"
    bits = number(row[rate], row["kind"], 4)
    return f"{bits} {UNITS[rate]}", f"{number(row['nats'], row['kind'], 3)}{error}"


def _so_far(one: Subject) -> tuple[str, ...]:
    """The latest score in the log, if there is no final table yet."""
    score = one.validation
    assert score is not None
    error = "" if score.stderr is None else f" +- {score.stderr:.3f}"
    nats = "" if score.nats is None else f"{number(score.nats, score.kind, 3)}{error}"
    likely = score.unit in UNITS
    told = score_cell(score.dump())
    where = f"step {score.step}, as it was logged"
    images = f"{score.images:,}"
    return "validation", score.weights, images, told if likely else "", nats, where if likely else f"{told}; {where}"


def recipe_name(one: Subject) -> str | None:
    """The packaged recipe of a run: the file that was built, or one of its name; None if there is none."""
    origin = str(one.settings["lock"].get("recipe", ""))
    names = (PurePath(origin).stem, one.settings["name"])
    return next((name for name in names if name in packaged_recipes()), None)


def _beside_published(subjects: Sequence[Subject]) -> Element | None:
    told = [(one, name, PUBLISHED[name]) for one in subjects if (name := recipe_name(one)) in PUBLISHED and name]
    if not told:
        return element("p", "No figure was published for these recipes.", class_="soft")
    rows = [_published_row(*each) for each in told]
    headers = ("run", "recipe", "here", "published, test", "by")
    caption = "Beside published figures: sizes, images and binarisation may differ, as stated there and under Recipes"
    return table(caption, headers, rows)


def _published_row(one: Subject, name: str, published: Published) -> tuple[str, ...]:
    return one.name, name, _here(one), published.figure, published.source


def _here(one: Subject) -> str:
    """The test score, with averaged weights if there are any; the validation score if there is no test score."""
    tests = {row["weights"]: row for row in one.about["scores"] if row["split"] == "test"}
    row = tests.get("ema") or tests.get("raw")
    if row is not None:
        cells = _cells(row)
        return f"test: {'; '.join(filter(None, cells[3:]))}"
    return f"validation: {score_cell(one.about['validation'])}" if one.validation else "not scored yet"
