"""The page: its parts in order, with head and contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pixkit.distribution import version
from pixkit.report.facts import data, environment, time
from pixkit.report.field import fields
from pixkit.report.learning import learning
from pixkit.report.markup import Element, element
from pixkit.report.recipes import recipes
from pixkit.report.samples import samples
from pixkit.report.scores import overview, scores
from pixkit.report.style import STYLE, policy
from pixkit.report.subject import Subject, read_subjects
from pixkit.runs.run import Run

PARTS = (
    ("Runs", "runs"), ("Learning curves", "curves"), ("Scores", "scores"), ("Samples", "samples"),
    ("What a pixel sees", "fields"), ("Recipes", "recipes"), ("Environment", "environment"), ("Data", "data"),
    ("Time", "time"),
)  # fmt: skip
"""The parts of the page, for its contents."""


def _nobody(text: str) -> None:
    """Ignores the message."""


def page(
    runs: Run | str | Path | Sequence[Run | str | Path], *, field: bool = True, say: Callable[[str], None] = _nobody
) -> str:
    """One page about runs, as HTML; they may be in progress.

        Path("report.html").write_text(pixkit.report.page("runs/digits-pixelcnn"), encoding="utf-8")

    It is self-contained, loads nothing and runs nothing, and is well-formed XML. The same runs give the same bytes.

    Args:
        runs: the runs, or their folders.
        field: show what a pixel sees and the order of drawing, for which each model is built, untrained, and traced: a
            second or less for most, minutes for the largest.
        say: told, in a line each, what cannot be shown; the page also says so, in its place.

    Raises:
        RunError: if one of them is damaged, or is not a run.
        CheckpointError: if a checkpoint of one is damaged.
    """
    subjects = read_subjects([runs] if isinstance(runs, Run | str | Path) else runs)
    parts = [
        overview(subjects),
        learning(subjects),
        scores(subjects),
        samples(subjects, say),
        *([fields(subjects, say)] if field else []),
        recipes(subjects, say),
        environment(subjects),
        data(subjects),
        time(subjects),
    ]
    shown = [(title, name) for title, name in PARTS if field or name != "fields"]
    links = [element("li", element("a", title, href=f"#{name}")) for title, name in shown]
    head = element(
        "header", element("h1", _title(subjects)), element("nav", element("ul", links), aria_label="Contents")
    )
    foot = element("p", f"Written by pixkit {version()}.", class_="soft")
    body = element("body", head, element("main", parts), element("footer", foot))
    return f"<!DOCTYPE html>\n{element('html', _head(_title(subjects)), body, lang='en')}\n"


def _title(subjects: Sequence[Subject]) -> str:
    names = list(dict.fromkeys(one.about["name"] for one in subjects))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{shown}: {len(subjects)} runs" if len(subjects) > 1 else shown


def _head(title: str) -> Element:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        Element(f"<style>{STYLE}</style>"),
    )
