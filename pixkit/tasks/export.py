"""Export a run for others: its weights and description, without what only training needs."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from pixkit.catalogue.recipes import packaged_recipes, summary_of
from pixkit.catalogue.zoo import refuse_zoo
from pixkit.errors import KeyPath, UsageError, dotted
from pixkit.figures.targets import filling, require_empty, saving
from pixkit.files import is_file, replacing, write_text
from pixkit.image import Shown
from pixkit.runs import checkpoint as checkpoints
from pixkit.runs.card import CARD, PICTURE, Card, DataCard, WeightsCard
from pixkit.runs.load import opened_run, read_weights
from pixkit.runs.manifest import Manifest, read_manifest
from pixkit.runs.places import ENVIRONMENT, GIVEN, POINTERS, step_name
from pixkit.runs.run import Run
from pixkit.runs.runfile import MOST_TEXT, RunFile
from pixkit.runs.schema import ScoreRow

MADE_WITH = ("pixkit", "torch", "numpy", "python", "threads", "processor")
"""Keys of env.json that a card shows."""
MOST_FILE = 1 << 26
"""The largest palette or picture of samples, in bytes."""


@dataclass(frozen=True, repr=False)
class Exported(Shown):
    """The result of `export_run`.

    Attributes:
        run: the new folder, itself a run.
        card: the text of its README.md.
        size: size of all its files in bytes.
        local: keys of its recipe that name a place on this machine: usually images, which users who score the run have
            elsewhere.
    """

    run: Run
    card: Card
    size: int
    local: list[str]


def export_run(run: Run | str | Path, out: str | Path, *, checkpoint: str = "best", licence: str = "") -> Exported:
    """Write a run to a folder for others: the files that loading, scoring and drawing need, and a card.

        pixkit.tasks.export_run("runs/digits-gated", "digits", licence="mit")
        pixkit.load("digits")

    The folder is a run: recipe, environment, scores, the rows of metrics.jsonl that are scores, a picture of samples,
    and one checkpoint with only the weights that `load` takes: averaged ones if the recipe asks for an average. It is
    about an eighth of the run's size, and cannot be trained further; other runs may start from it, by
    `train.init_from`.

    Args:
        run: the run, its folder, or its name in the folder runs.
        out: the folder, new or empty.
        checkpoint: best, last or step-N.
        licence: of the weights, as hubs name it: mit, cc-by-4.0.

    Raises:
        RunError: if it is not a run, or the folder cannot be written or is not empty.
        CheckpointError: if there is no such checkpoint, or it is damaged.
        PluginError: if a component's plugin is missing.
        UsageError: if the licence is not one word.
    """
    if licence and not all(each.isalnum() or each in ".-+" for each in licence):
        raise UsageError("not the name of a licence", where="licence", found=licence, expected="as in mit or cc-by-4.0")
    refuse_zoo(out)
    opened, target = opened_run(run), require_empty(out)
    part = _part(opened, checkpoint)
    settings = _shared(opened.settings())
    with saving(target), filling(target) as temporary:
        card = _write(Run(temporary), opened, part, settings, licence)
    size = sum(path.stat().st_size for path in target.rglob("*") if is_file(path))
    return Exported(Run(target), card, size, [dotted(key) for key in _local(settings)])


def _write(target: Run, opened: Run, part: _Part, settings: dict[str, Any], licence: str) -> Card:
    """Write the files of the exported run; return its card."""
    scores, folder = _scores(opened, part), target.checkpoint_folder(part.manifest.step)
    said = part.manifest.model_dump(include={"step", "model", "state", "metrics"})
    checkpoints.save(folder, {part.file: part.tensors}, **said)
    picture = _copied(opened.path / PICTURE, target.path / PICTURE) if part.best else False
    _copied(opened.palette, target.palette)
    card = _card(opened, settings["lock"], read_manifest(folder), scores.get("scores", []), licence)
    write_text(target.path / CARD, card.text(picture))
    rows = [json.dumps(row) for row in opened.rows() if row.get("event") == "eval"]
    target.write_text(target.metrics, "".join(f"{row}\n" for row in rows))
    if scores:
        target.write_json(target.scores, scores)
    for pointer in POINTERS:
        target.point(pointer, part.manifest.step)
    target.write_json(target.path / ENVIRONMENT, opened.environment())
    target.write_text(target.given, RunFile(opened.given, MOST_TEXT).text_if_any() or "")
    target.write_settings(settings)
    return card


@dataclass(frozen=True)
class _Part:
    """The exported weights, the name of their file without suffix, and their checkpoint's manifest."""

    tensors: dict[str, Tensor]
    file: str
    manifest: Manifest
    name: str
    best: bool

    @property
    def kind(self) -> str:
        """The name that scores use."""
        return "ema" if self.file == "ema" else "raw"


def _part(run: Run, checkpoint: str) -> _Part:
    averaged = run.recipe().train.ema > 0

    def read(folder: Path) -> tuple[dict[str, Tensor], Manifest, str]:
        return read_weights(folder, "ema", averaged), read_manifest(folder), folder.name

    tensors, manifest, name = run.read_checkpoint(checkpoint, read)
    best = name == run.checkpoint("best").name
    return _Part(tensors, "ema" if "ema" in manifest.files else "model", manifest, name, best)


def _copied(source: Path, target: Path) -> bool:
    """Copy a file if it exists, following a link; return whether it does."""
    content = RunFile(source, MOST_FILE).content_if_any()
    if content is None:
        return False
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return True


def _shared(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the recipe's name, or that of the file in the run, instead of its path on this machine."""
    packaged = {str(path): name for name, path in packaged_recipes().items()}
    return {**settings, "lock": {**settings["lock"], "recipe": packaged.get(settings["lock"].get("recipe"), GIVEN)}}


def _command(lock: dict[str, Any]) -> str:
    """The command that makes such a run."""
    commands = [["pixkit", "build", lock["recipe"], *lock.get("overrides", [])]]
    commands += [["pixkit", "build", "RUN", "--extend", str(each["steps"])] for each in lock.get("segments", [])[1:]]
    return " && ".join(map(shlex.join, commands))


def _scores(run: Run, part: _Part) -> dict[str, Any]:
    """The rows of the final table for these weights; empty if it is of another checkpoint."""
    final = run.final_scores()
    if final.get("checkpoint") != part.name:
        return {}
    return {**final, "scores": [row for row in final["scores"] if row["weights"] == part.kind]}


def _card(run: Run, lock: dict[str, Any], manifest: Manifest, scores: list[dict[str, Any]], licence: str) -> Card:
    recipe, environment = run.recipe(), run.environment()
    [(name, record)] = manifest.files.items()
    return Card(
        name=recipe.name,
        summary=summary_of(run.given) if is_file(run.given) else "",
        command=_command(lock),
        date=datetime.now(UTC).date().isoformat(),
        licence=licence,
        made_with={key: str(environment[key]) for key in MADE_WITH if key in environment},
        weights=WeightsCard(
            kind="ema" if name == "ema" else "raw",
            file=f"checkpoints/{step_name(manifest.step)}/{name}.safetensors",
            sha256=record.sha256,
            bytes=record.bytes,
            parameters=lock["parameters"],
        ),
        data=DataCard(**lock["data"], licence=recipe.data.cls.licence),
        scores=[ScoreRow.model_validate(row) for row in scores],
    )


def _local(section: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    """Keys of a recipe, except in the section `lock`, that hold an absolute path."""
    if isinstance(section, str) and os.path.isabs(section):
        yield above
    for key, value in section.items() if isinstance(section, dict) else ():
        if above or key != "lock":
            yield from _local(value, (*above, key))
