"""Whether scores of several runs say which of them is better, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pixkit.runs.validation import Validation

OTHER_IMAGES = "the runs do not have the same validation images: their scores do not compare"
Images = Mapping[str, Any]
"""What decides which validation images a run has, and as what levels: the same of two runs that have the same."""
Scored = tuple[Validation | None, Images]


def images_of(settings: Mapping[str, Any]) -> Images:
    """That of a run.

    What sets images apart for validation does not depend on how many of the others are used: `limit_train` and
    `limit_test` make no difference.

    Args:
        settings: what recipe.lock.yaml says.
    """
    data, lock = settings.get("data", {}), settings["lock"]
    hashes = lock["data"]["hashes"]
    seen = {"image": lock["image"]}
    if data.get("binarise") is not None:
        seen |= {key: data.get(key) for key in ("binarise", "threshold", "split_seed")}
    if "validation" in hashes:
        return {**seen, "hash": hashes["validation"]}
    return {
        **seen,
        "hash": hashes.get("train"),
        **{key: data.get(key) for key in ("source", "validation", "split_seed")},
    }


def unit_of(scored: Sequence[Scored]) -> str | None:
    """What all scores are in; None where they are not in one, or there is none."""
    units = {score.unit for score, _ in scored if score}
    return units.pop() if len(units) == 1 else None


def comparable(scored: Sequence[Scored]) -> bool:
    """Whether a lower score is a better one."""
    return unit_of(scored) is not None and _same_images(scored)


def remarks(scored: Sequence[Scored]) -> list[str]:
    """Why scores may not compare."""
    found, scores = [], [score for score, _ in scored if score]
    if not _same_images(scored):
        found.append(OTHER_IMAGES)
    elif len({score.images for score in scores}) > 1:
        found.append("scores are of different numbers of validation images")
    if scores and unit_of(scored) is None:
        found.append("scores are in different units")
    if len({score.kind for score in scores}) > 1:
        found.append("some scores are exact and others are not")
    return found


def _same_images(scored: Sequence[Scored]) -> bool:
    return all(images == scored[0][1] for _, images in scored)
