"""Train from Python, on images in memory, with a callback for every step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pixkit.data.base import DataConfig, DataSource, SourceImages
from pixkit.data.classes import plain_numbers
from pixkit.data.memory import Array, as_array, given_images
from pixkit.errors import UsageError, listed
from pixkit.recipe import LoadedRecipe, load_recipe, revise_recipe
from pixkit.recipe.load import completed
from pixkit.runs.load import recipe_to_build
from pixkit.runs.run import Run
from pixkit.training.build import BuildResult, build
from pixkit.training.watch import Reporter, Several

Callback = Callable[[int, dict[str, Any]], Any] | Reporter
"""Called as callback(step, metrics) with each row of metrics.jsonl; or a Reporter, which is told more."""


def train(
    recipe: LoadedRecipe | Mapping[str, Any] | Run | str | Path,
    out: str | Path | None = None,
    *,
    images: Array | None = None,
    labels: Array | None = None,
    test_images: Array | None = None,
    test_labels: Array | None = None,
    levels: int | None = None,
    layout: str = "auto",
    callbacks: Callback | Iterable[Callback] = (),
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    extend: int | None = None,
) -> BuildResult:
    """Train a recipe's model on your images: the same as `build`, with everything that a run has.

        result = pixkit.train("digits-pixelcnn", "runs/mine", images=x, labels=y, callbacks=print)
        model = result.load()  # the best checkpoint's

    The images replace the recipe's data, whose keys for levels, binarisation and splits apply to them.

    Args:
        recipe: a recipe, its file or its name; or a dict, which may leave out everything but the model, or be only the
            model's section; to resume, the run's folder also works.
        out: the run directory; if left out, the run to resume, or runs/NAME in the working directory.
        images: the training images, whole numbers [N, C, H, W], [N, H, W, C] or [N, H, W], as a tensor or an array; by
            default the recipe's data. A part of them, by the recipe's `data.validation`, is for validation.
        labels: whole numbers [N], if images have labels; the classes are the distinct ones in ascending order, and
            `Model.class_names` gives the label of each of the model's classes.
        test_images: images for the final scores; without them no test images are scored.
        test_labels: their labels.
        levels: number of levels of the images, 0..levels-1; by default that of the recipe's data, which is 256 unless
            stated, or 2 for booleans.
        layout: NCHW or NHWC, if a shape can be read in both ways.
        callbacks: told of the progress, in the order given. A function is called as callback(step, metrics) with each
            row of metrics.jsonl, where metrics["event"] is "train" or "eval"; a `pixkit.training.Reporter` is told
            more. An exception in one ends the training, once the steps made so far are saved.
        overrides: ``key.sub=value``, applied in order.
        device: auto, cpu or cuda.
        resume: continue the run that is there; the images have to be the same.
        overwrite: replace the run that is there.
        extend: make this many more steps of the run that is there, see `build`; the images have to be the same.

    Warns:
        UserWarning: if the labels are not 0, 1, 2, ..., since the model then numbers the classes differently.

    Raises:
        DataError: if images or labels do not fit.
        UsageError: if an argument that goes with images is given without images, or a callback is invalid.
        PixkitError: as `build`.
    """
    reporter = Several(_reporters(callbacks))  # first, so that an invalid callback is found before anything is read
    loaded, folder = _loaded(recipe, overrides, resume or extend is not None)
    if images is not None:
        given = given_images(
            images,
            labels,
            test_images=test_images,
            test_labels=test_labels,
            levels=_levels(loaded, images) if levels is None else levels,
            layout=layout,
        )
        if given.class_names is not None and not plain_numbers(given.class_names):
            warnings.warn(
                f"the labels are {listed(given.class_names)}, which the model numbers from 0, in this order",
                UserWarning,
                stacklevel=2,
            )
        loaded = _about(loaded, given)
    elif not all(one is None for one in (labels, test_images, test_labels, levels)):
        raise UsageError("labels, test_images and levels need images", where="images", found="none given")
    return build(
        loaded,
        folder if out is None else out,
        device=device,
        resume=resume,
        overwrite=overwrite,
        extend=extend,
        reporter=reporter,
    )


def _reporters(callbacks: Callback | Iterable[Callback]) -> list[Reporter]:
    one = isinstance(callbacks, Reporter) or callable(callbacks) or not isinstance(callbacks, Iterable)
    given: list[Any] = [callbacks] if one else list(cast(Iterable[Callback], callbacks))
    for each in given:
        if not (isinstance(each, Reporter) or callable(each)) or (
            isinstance(each, type) and issubclass(each, Reporter)
        ):
            raise UsageError(
                "not a callback",
                where="callbacks",
                found=f"the class {each.__name__}" if isinstance(each, type) else repr(each),
                expected="functions of (step, metrics), or objects of pixkit.training.Reporter",
            )
    return [each if isinstance(each, Reporter) else _Rows(each) for each in given]


class _Rows(Reporter):
    """Calls a function with each row."""

    def __init__(self, callback: Callable[[int, dict[str, Any]], Any]) -> None:
        self._callback = callback

    def step(self, step: int, metrics: dict[str, Any]) -> None:
        self._callback(step, dict(metrics))

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        self._callback(step, dict(metrics))


def _loaded(
    recipe: LoadedRecipe | Mapping[str, Any] | Run | str | Path, overrides: Sequence[str], resume: bool
) -> tuple[LoadedRecipe, Path | None]:
    """The recipe and, if a run is to be resumed by its folder, that folder."""
    if isinstance(recipe, Mapping):
        return load_recipe(completed(recipe), overrides), None
    return recipe_to_build(recipe, overrides, resume=resume)


def _levels(loaded: LoadedRecipe, images: Array) -> int:
    """The number of levels of the recipe's own images."""
    if as_array(images, "images").dtype == bool:
        return 2
    section = loaded.recipe.data
    source = cast(type[DataSource], section.cls)
    return int(getattr(section.config, "source_levels", None) or source.source_levels)


def _about(loaded: LoadedRecipe, images: SourceImages) -> LoadedRecipe:
    """The recipe with these images in place of its data."""
    plain = loaded.lock()
    kept = {key: value for key, value in plain["data"].items() if key in DataConfig.model_fields}
    plain["data"] = {"source": "memory", **kept, "source_levels": images.levels}
    return replace(loaded, recipe=revise_recipe(plain, name=loaded.origin), images=images)
