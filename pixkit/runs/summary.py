"""Which runs there are, and what each is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pixkit.errors import UsageError
from pixkit.files import looking_at
from pixkit.runs import places
from pixkit.runs.run import Run


def find_runs(folder: str | Path) -> list[Run]:
    """The runs in a folder by name, the folder itself first if it is one; those that are damaged, too.

    Raises:
        UsageError: if there is no such folder.
        RunError: if it cannot be read.
    """
    top = Path(folder)
    if not os.path.isdir(top):
        raise UsageError("there is no such folder", where=str(folder))
    with looking_at(top):
        runs = [Run(path) for path in (top, *sorted(top.iterdir())) if os.path.isdir(path)]
    return [run for run in runs if run.started or run.resembles_run]


def summary(run: Run) -> dict[str, Any]:
    """What a run is and how it scored, as plain data; neither torch nor the plugins are needed.

    Raises:
        RunError: if it is damaged.
        CheckpointError: if what it has is not what its `best` or `last` says.
    """
    settings = Run.open(run.path).settings()
    lock, environment = settings["lock"], run.environment()
    steps = run.steps()
    return {
        "name": settings["name"],
        "path": str(run.path),
        "model": _model(settings["model"]),
        "data": lock["data"]["description"],
        "image": str(run.spec),
        "parameters": lock["parameters"],
        "step": steps[-1] if steps else 0,
        "steps": settings["train"]["steps"],
        "checkpoints": [places.step_name(step) for step in steps],
        "best": run.checkpoint("best").name if steps else None,
        "seed": settings["seed"],
        "pixkit": environment.get("pixkit"),
        "scores": run.final_scores().get("scores", []),
    }


def _model(section: dict[str, Any]) -> str:
    """The names of the model's parts that say most: the model, its backbone and its head."""
    parts = [section, *(section.get(key) for key in ("backbone", "head"))]
    names = [part.get("type") for part in parts if isinstance(part, dict)]
    return " ".join(name for name in names if isinstance(name, str))
