"""Which runs there are, and what each is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixkit.errors import RunError, UsageError
from pixkit.files import is_folder, kind_at, looking_at
from pixkit.runs import places
from pixkit.runs.run import Run


def find_runs(folder: str | Path) -> list[Run]:
    """The runs in a folder by name, the folder itself first if it is one; those that are damaged, too.

    Raises:
        UsageError: if there is no such folder.
        RunError: if it cannot be read.
    """
    top = Path(folder)
    with looking_at(top):
        if not is_folder(top):
            raise UsageError("there is no such folder", where=str(folder))
        inside = sorted(top.iterdir())
    return [Run(path) for path in (top, *inside) if _may_be_run(path)]


def _may_be_run(path: Path) -> bool:
    """Whether it is a run, be it a damaged one, or the system cannot tell: `summary` says so then."""
    try:
        if not is_folder(path):
            return False
        kind_at(path / places.SETTINGS)
        return Run(path).started or Run(path).resembles_run
    except PermissionError:  # nobody else may look into that folder
        return False
    except (OSError, RunError):
        return True


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
        "classes": lock.get("class_names") or run.classes,
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
