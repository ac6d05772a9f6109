"""The machines and images of runs, and how long they took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pixkit.distribution import is_own
from pixkit.recipe.diff import in_short
from pixkit.report.markup import Element, beside, section
from pixkit.report.subject import Subject, images_of_step
from pixkit.runs.manifest import read_manifest

ENVIRONMENT = ("pixkit", "torch", "python", "numpy", "device", "cuda", "threads", "processor", "platform", "repeatable")
"""Keys of env.json, in the order in which they are shown."""
MEBIBYTE = 2**20

Rows = list[tuple[str, list[str]]]


def environment(subjects: Sequence[Subject]) -> Element:
    """Versions and machines, and the arithmetic of training."""
    rows = [(key, [_text(one.environment.get(key)) for one in subjects]) for key in ENVIRONMENT]
    rows += _each(
        subjects, {"plugins": _plugins, "changed on the way": _previous, "seed": lambda one: one.about["seed"]}
    )
    rows += [
        (name, [_text((one.settings["lock"].get("arithmetic") or {}).get(key)) for one in subjects])
        for name, key in (
            ("precision", "precision"),
            ("memory format", "memory_format"),
            ("matrix products", "products"),
            ("chosen", "reason"),
        )
    ]
    return section("Environment", "environment", beside("What the runs were made on", _marks(subjects), rows))


def data(subjects: Sequence[Subject]) -> Element:
    """The data card: source, shape, levels, counts, and hashes."""
    said = {
        "images": lambda one: one.about["data"],
        "shape": lambda one: one.about["image"],
        "levels": lambda one: one.settings["lock"]["image"]["levels"],
        "classes": _classes,
        "training images": lambda one: one.log.epoch,
        "validation images": lambda one: _count(one, "validation"),
        "test images": lambda one: _count(one, "test"),
    }
    rows = _each(subjects, said)
    sections = [one.settings.get("data", {}) for one in subjects]
    keys = dict.fromkeys(key for said in sections for key in said)
    rows += [(f"data.{key}", [in_short(said[key]) if key in said else "" for said in sections]) for key in keys]
    hashes = [one.settings["lock"]["data"]["hashes"] for one in subjects]
    names = dict.fromkeys(name for found in hashes for name in found)
    rows += [(f"SHA-256, {name}", [_text(found.get(name)) for found in hashes]) for name in names]
    caption = "What the runs were trained on; counts are those of an epoch by the log, and of what was scored"
    return section("Data", "data", beside(caption, _marks(subjects), rows))


def time(subjects: Sequence[Subject]) -> Element:
    """How long training took, and the size of a checkpoint."""
    said = {
        "images a second, median": lambda one: None if one.log.speed is None else f"{one.log.speed:,.1f}",
        "images of a step": lambda one: images_of_step(one.settings),
        "steps and scorings": lambda one: duration(float(one.log.hours[-1]) * 3600 if len(one.log.hours) else None),
        "scorings": lambda one: duration(one.log.scoring or None),
        "batches in parts": lambda one: "; ".join(
            f"{row['phase']}: {row['parts']} from step {row['step']}" for row in one.settings["lock"].get("parts", ())
        ),
        "checkpoint": _checkpoint,
    }
    caption = "Time, without pauses, samples and checkpoints, and room; runs do not record how much memory they took"
    return section("Time and room", "time", beside(caption, _marks(subjects), _each(subjects, said)))


def _marks(subjects: Sequence[Subject]) -> list[str]:
    return [one.mark for one in subjects]


def _each(subjects: Sequence[Subject], said: Mapping[str, Callable[[Subject], Any]]) -> Rows:
    return [(name, [_text(tell(one)) for one in subjects]) for name, tell in said.items()]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}" if type(value) is int else str(value)


def _plugins(one: Subject) -> str:
    """Plugins other than pixkit's own."""
    found = one.environment.get("plugins", {})
    return ", ".join(f"{name} {made}" for name, made in found.items() if not is_own(name.rpartition(":")[0]))


def _previous(one: Subject) -> str:
    count = len(one.environment.get("previous", ()))
    many = "once" if count == 1 else f"{count} times"
    return f"{many}, when the run was resumed: env.json has them all" if count else ""


def _classes(one: Subject) -> str:
    lock = one.settings["lock"]
    names = lock.get("class_names")
    return (
        "" if lock["classes"] is None else f"{lock['classes']}: {', '.join(names)}" if names else str(lock["classes"])
    )


def _count(one: Subject, split: str) -> int | None:
    """The number of scored images of a split, from the final table, otherwise from the last scoring."""
    found = [row["images"] for row in one.about["scores"] if row["split"] == split]
    if not found and split == "validation" and one.validation is not None:
        found = [one.validation.images]
    return max(found, default=None)


def duration(seconds: float | None) -> str:
    """In words; empty if unknown."""
    if seconds is None or np.isnan(seconds):
        return ""
    return (
        f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _checkpoint(one: Subject) -> str:
    """The size of its files, from the manifest of the best one."""
    if not one.about["checkpoints"]:
        return ""
    files = one.run.read_checkpoint("best", read_manifest).files
    told = ", ".join(f"{name} {record.bytes / MEBIBYTE:.2f} MiB" for name, record in sorted(files.items()))
    return told
