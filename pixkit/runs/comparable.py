"""Whether scores of several runs can be compared, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pixkit.runs.validation import Validation

OTHER_IMAGES = "the runs do not have the same validation images: their scores do not compare"
Images = Mapping[str, Any]
"""Settings that determine a run's validation images and their levels: equal for two runs with the same images."""
Scored = tuple[Validation | None, Images]


def images_of(settings: Mapping[str, Any]) -> Images:
    """The images of a run.

    The choice of validation images does not depend on how many of the others are used: `limit_train` and `limit_test`
    do not matter.

    Args:
        settings: the contents of recipe.lock.yaml.
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
    """The unit of all scores; None if they differ or there are no scores."""
    units = {score.unit for score, _ in scored if score}
    return units.pop() if len(units) == 1 else None


def comparable(scored: Sequence[Scored]) -> bool:
    """Whether a lower score is a better one."""
    return unit_of(scored) is not None and _same_images(scored)


def remarks(scored: Sequence[Scored]) -> list[str]:
    """Reasons why scores may not be comparable."""
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
