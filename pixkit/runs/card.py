"""The card of an exported run: README.md, for people, model hubs and pixkit.

Its front matter is YAML: keys that hubs know, and under `pixkit` what others need to know about the weights.
"""

from __future__ import annotations

import re
from typing import Any

from pixkit.errors import RecipeError, RunError
from pixkit.numerals import significant
from pixkit.recipe.dump import dump_yaml
from pixkit.recipe.yaml import parse_written
from pixkit.runs.contents import Contents
from pixkit.runs.runfile import MOST_TEXT, RunFile
from pixkit.runs.schema import Count, Record, ScoreRow, typed

CARD = "README.md"
PICTURE = "samples/best.png"
"""The picture that the card shows, as drawn by the build."""


class DataCard(Record):
    """The images that weights were trained on: description, SHA-256 of their splits, and their licence, if known."""

    description: str
    hashes: dict[str, str]
    licence: str = ""


class WeightsCard(Record):
    """The weights: ema or raw, their file in the run, its SHA-256 and bytes, and the model's number of parameters."""

    kind: str
    file: str
    sha256: str
    bytes: Count
    parameters: Count


class Card(Record):
    """The card of an exported run.

    Attributes:
        name: the recipe's.
        summary: the first line of the recipe.
        command: the command that makes it.
        date: of the export, ISO 8601.
        licence: of the weights, as hubs name it; empty if the exporter named none.
        made_with: versions of pixkit, torch and whatever else affects digits.
        weights: see `WeightsCard`.
        data: see `DataCard`.
        scores: of these weights, as in scores.json.
    """

    name: str
    summary: str
    command: str
    date: str
    licence: str = ""
    made_with: dict[str, str]
    weights: WeightsCard
    data: DataCard
    scores: list[ScoreRow]

    def text(self, picture: bool) -> str:
        """The text of README.md; with the picture of samples beside it, if there is one."""
        hub: dict[str, Any] = {"license": self.licence} if self.licence else {}
        head = dump_yaml({**hub, "library_name": "pixkit", "tags": ["pixkit"], "pixkit": self.model_dump()})
        return f"---\n{head}---\n{self.body(picture)}\n"

    def body(self, picture: bool = False) -> str:
        """The part after the front matter."""
        parts = [f"# {self.name}", self.summary, f"![Samples]({PICTURE})" if picture else "", USE, *self._tables()]
        return "\n\n".join(part for part in parts if part)

    def _tables(self) -> list[str]:
        rows = [f"| {row.split}, {row.images} images | {score_of(row)} |" for row in self.scores]
        scores = "\n".join(["| images | score |", "| --- | --- |", *rows]) if rows else ""
        data, weights = self.data, self.weights
        kind = "averaged" if weights.kind == "ema" else "of the last step"
        made = ", ".join(f"{name} {version}" for name, version in self.made_with.items())
        facts = [
            f"Images: {data.description}. {data.licence}".rstrip(),
            f"Weights: {weights.parameters:,} parameters, {kind}.",
            *([f"Licence of the weights: {self.licence}."] if self.licence else []),
            f"Made on {self.date} by `{self.command}`, with {made}.",
        ]
        return [scores, "\n".join(f"- {fact}" for fact in facts)]


USE = """```
pixkit sample RUN -o grid.png
```

RUN is the path of this folder; from Python, `pixkit.load(RUN)`."""


def score_of(row: ScoreRow) -> str:
    """A score in a few words: bits/dim or bits/token and nats, with their sign."""
    if row.nats is None:
        return ", ".join(f"{name} {significant(value, 4)}" for name, value in row.parts.items() if value is not None)
    sign = {"bound": "<= ", "estimate": "~ "}.get(row.kind, "")
    rate, unit = (row.bits_per_dim, "bits/dim") if row.bits_per_dim is not None else (row.bits_per_token, "bits/token")
    error = "" if row.stderr is None else f" +- {row.stderr:.2f}"
    return f"{sign}{rate or 0:.4f} {unit}, {sign}{row.nats:.2f} nats{error}"


def read_card(run: Contents) -> Card | None:
    """The card of a run; None if it has none, since README.md may be a user's own file.

    Raises:
        RunError: if it is damaged.
    """
    path = run.path / CARD
    text = RunFile(path, MOST_TEXT, hint="`pixkit export` writes one").text_if_any()
    found = re.match(r"---\n(.*?\n)---\n", text or "", re.DOTALL)
    if found is None:
        return None
    try:
        said = parse_written(found[1], str(path))
    except RecipeError as error:
        raise RunError("cannot be read", where=str(path), found=str(error)) from None
    if not isinstance(said, dict) or "pixkit" not in said:
        return None
    return typed(Card, said["pixkit"], str(path))
