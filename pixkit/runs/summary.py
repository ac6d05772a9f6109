"""The existing runs, and a summary of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pixkit.errors import PixkitError, RunError, UsageError, message
from pixkit.files import is_folder, kind_at, looking_at
from pixkit.recipe.varied import keys_in, short_names, varied
from pixkit.runs import places
from pixkit.runs.manifest import read_manifest
from pixkit.runs.metrics import last_row
from pixkit.runs.run import Run
from pixkit.runs.segments import recipe_as_trained, segments_in_words
from pixkit.runs.state import changed_at, state_of
from pixkit.runs.validation import validation_of


def find_runs(folder: str | Path) -> list[Run]:
    """The runs in a folder and its subfolders by name, including damaged ones. The folder may be a run itself.

    Numbers in names are compared by value: r2 comes before r10.

    Raises:
        UsageError: if there is no such folder.
        RunError: if it cannot be read.
    """
    top = Path(folder)
    with looking_at(top):
        if not is_folder(top):
            raise UsageError("there is no such folder", where=str(folder))
        inside = sorted(top.iterdir(), key=_by_name)
    found = [Run(top)] if _may_be_run(top) else []
    for path in inside:
        found += [Run(path)] if _may_be_run(path) else [Run(below) for below in _below(path) if _may_be_run(below)]
    return found


def _below(path: Path) -> list[Path]:
    """The contents of a folder that is not a run, such as a sweep's."""
    try:
        return sorted(path.iterdir(), key=_by_name) if is_folder(path) and not path.name.startswith(".") else []
    except OSError:  # nothing says that an unreadable folder is a run
        return []


def _by_name(path: Path) -> list[tuple[int, str]]:
    """A key to sort names by, with numbers compared by value."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", path.name)]


def _may_be_run(path: Path) -> bool:
    """Whether it is a run, even a damaged one, or the system cannot tell: `summary` then raises."""
    try:
        if not is_folder(path):
            return False
        kind_at(path / places.SETTINGS)
        return Run(path).started or Run(path).resembles_run
    except PermissionError:  # the folder is private to another user
        return False
    except (OSError, RunError):
        return True


def summary(run: Run) -> dict[str, Any]:
    """A summary of a run and its scores as plain data; neither torch nor the plugins are needed.

    `state` is running, stopped or done; `step` is that of the last checkpoint or, while the run is being built, the
    last one logged; `segments` is how the steps of an extended run were asked for, `6 + 3`, else None; `validation` is
    as in `pixkit.runs.validation.Validation`, of the best checkpoint.

    Raises:
        RunError: if it is damaged.
        CheckpointError: if a checkpoint does not match its `best` or `last`.
    """
    return _described(run, Run.open(run.path).settings())


def _described(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    lock, environment, final = settings["lock"], run.environment(), run.final_scores()
    steps = run.steps()
    best = run.read_checkpoint("best", read_manifest) if steps else None
    state, builder = state_of(run)
    logged = last_row(run.metrics) if state == "running" else None
    scores = final.get("scores", [])
    found = None if best is None else validation_of(scores, best.metrics, best.step)
    return {
        "name": settings["name"],
        "path": str(run.path),
        "state": state,
        "builder": None if builder is None else str(builder),
        "nonfinite": run.stopped_by_values,
        "model": _model(settings["model"]),
        "data": lock["data"]["description"],
        "image": str(run.spec_of(settings)),
        "classes": lock.get("class_names") or lock["classes"],
        "parameters": lock["parameters"],
        "step": max(steps[-1] if steps else 0, logged["step"] if logged else 0),
        "steps": settings["train"]["steps"],
        "segments": segments_in_words(settings),
        "checkpoints": [places.step_name(step) for step in steps],
        "best": None if best is None else places.step_name(best.step),
        "seed": settings["seed"],
        "pixkit": environment.get("pixkit"),
        "changed": changed_at(run),
        "validation": None if found is None else found.dump(),
        "scores": scores,
    }


def summaries(runs: list[Run]) -> list[dict[str, Any]]:
    """For each run its summary and, as `differs`, the keys in which its recipe differs from another's.

    Keys are shortened to their last parts as long as they stay unique: `lr` for train.optimizer.lr. For a run that
    cannot be read there are `name`, `path` and the reason as `error`.
    """
    found: list[dict[str, Any]] = []
    recipes: list[dict[str, Any]] = []
    for run in runs:
        try:
            settings = Run.open(run.path).settings()
            found.append(_described(run, settings))
            recipes.append(recipe_as_trained(settings))
        except PixkitError as error:
            found.append({"name": run.path.name, "path": str(run.path), "error": message(error)})
    differing = varied(recipes)
    names = short_names(
        {key for values in differing for key in values}, {key for one in recipes for key in keys_in(one)}
    )
    sound = iter(differing)
    return [
        row if "error" in row else {**row, "differs": {names[key]: value for key, value in next(sound).items()}}
        for row in found
    ]


def _model(section: dict[str, Any]) -> str:
    """The names of the most telling parts of the model: the model, its backbone and its head."""
    parts = [section, *(section.get(key) for key in ("backbone", "head"))]
    names = [part.get("type") for part in parts if isinstance(part, dict)]
    return " ".join(name for name in names if isinstance(name, str))
