"""Which runs there are, and what each is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixkit.errors import UsageError
from pixkit.runs.run import Run


def find_runs(folder: str | Path) -> list[Run]:
    """The runs in a folder by name, the folder itself first if it is one.

    Raises:
        UsageError: if there is no such folder.
    """
    top = Path(folder)
    if not top.is_dir():
        raise UsageError("there is no such folder", where=str(folder))
    runs = [Run(path) for path in (top, *sorted(top.iterdir())) if path.is_dir()]
    return [run for run in runs if run.started]


def summary(run: Run) -> dict[str, Any]:
    """What a run is and how it scored, as plain data; neither torch nor the plugins are needed."""
    settings = run.settings()
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
        "checkpoints": [f"step-{step}" for step in steps],
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
