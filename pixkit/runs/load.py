"""Load a run's model, recipe and data."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixkit.catalogue.zoo import refuse_zoo, run_folder
from pixkit.components.faults import built
from pixkit.components.plugins import plugins as loaded_plugins
from pixkit.data import Dataset, Progress, prepare
from pixkit.data.classes import how_to_label, renumbered
from pixkit.data.former import numbered_as_before
from pixkit.data.loading import Numbering
from pixkit.data.palette_file import read_palette
from pixkit.errors import CheckpointError, DataError, RecipeError, UsageError, listed
from pixkit.files import is_folder, is_there
from pixkit.image import ImageSpec
from pixkit.layers.modes import outside_inference
from pixkit.memory import MemoryGuard, available
from pixkit.models.base import Model
from pixkit.models.labelled import NoLabels
from pixkit.randomness import derive, isolated_rng, seed_torch
from pixkit.recipe import LoadedRecipe, Recipe, find_recipe, load_recipe, revise_recipe
from pixkit.recipe.load import is_yaml, no_recipe
from pixkit.recipe.overrides import one_by_one
from pixkit.runs import checkpoint as checkpoints
from pixkit.runs.card import CARD
from pixkit.runs.manifest import read_manifest
from pixkit.runs.places import GIVEN, SETTINGS
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.runs.runfile import MOST_TEXT, RunFile
from pixkit.runs.versions import warn_of_others

WEIGHTS = ("ema", "raw")


def load(
    run: Run | str | Path,
    *,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    checkpoint: str = "best",
    weights: str = "ema",
    plugins: str | Path | Iterable[str | Path] = (),
    trainable: bool = False,
) -> Model:
    """Load a run's model, in evaluation mode, with its parameters frozen.

        >>> model = pixkit.load("zoo:digits-gated")  # or "runs/digits-gated"
        >>> x = model.sample(2, context=[3, 4], seed=0)  # a three and a four
        >>> x.shape
        torch.Size([2, 1, 8, 8])
        >>> model.log_prob(x, [3, 4]).shape  # many images are scored in batches, since no gradients are kept
        torch.Size([2])

    Args:
        run: the run, its folder, its name in the folder runs, or zoo:NAME.
        device: auto, cpu or cuda.
        dtype: converted to, after loading; defaults to that of training.
        checkpoint: best, last or step-N.
        weights: ema (raw if there is no average) or raw.
        plugins: Python files with a plugin's hooks, for components that the run needs; may be a single one.
        trainable: leave the parameters trainable: `log_prob` then has gradients. To continue training, also call
            ``model.train()``.

    Raises:
        RunError: if it is not a run.
        PluginError: if a component's plugin is missing, or a plugin file cannot be loaded.
        CheckpointError: if there is no such checkpoint, or it is damaged or another model's.
        UsageError: if the device is missing, or for other weights.

    Warns:
        RuntimeWarning: if a plugin that provides one of its components is not the version that the run was made with.
    """
    for file in [plugins] if isinstance(plugins, str | Path) else plugins:
        loaded_plugins().load_file(file)
    opened = opened_run(run)
    where = pick_device(device)
    recipe = opened.recipe()
    warn_of_others(opened.path, recipe)
    with outside_inference():  # else its weights could not be trained
        # Before the model is made, which takes longer than a concurrent build may keep the checkpoint.
        tensors, folder = opened.read_checkpoint(
            checkpoint, lambda folder: (read_weights(folder, weights, recipe.train.ema > 0), folder)
        )
        model = construct(recipe, opened.spec, opened.classes, where)
        if torch.get_default_dtype() != torch.float32:  # in which the model was made, but perhaps not trained
            model.to(dtype=_trained_in(tensors))
        model.class_names = opened.class_names
        checkpoints.load_model(model, tensors, str(folder))
        return model.to(dtype=dtype).eval().requires_grad_(trainable)


def _trained_in(tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """The type of a checkpoint's numbers if there is only one, else None."""
    found = {value.dtype for value in tensors.values() if value.is_floating_point()}
    return found.pop() if len(found) == 1 else None


def load_data(run: Run | str | Path, overrides: Sequence[str] = (), progress: Progress | None = None) -> Dataset:
    """Read the images that a run was trained on again.

    Their classes have the run's numbers if the run knows them all. Tokens are those of the run's palette.

    Args:
        run: the run, or its folder.
        overrides: ``data.key=value``, for example where the images have moved; relative paths in them start from the
            working directory.
        progress: told of downloads and of long reading.

    Raises:
        RunError: if it is not a run.
        RecipeError: if an override does not fit.
        DataError: if images are missing or damaged.

    Warns:
        RuntimeWarning: if, without overrides, they are not those that the run was built with.
    """
    opened = opened_run(run)
    data, palette = locked_recipe(opened, overrides).data, opened.spec.palette
    asked = getattr(data.config, "palette", None)
    if palette is not None and asked not in (None, getattr(opened.recipe().data.config, "palette", None)):
        given = read_palette(asked, data.build(Path.cwd()).resolve)[0] if isinstance(asked, str) else None
        if given != palette:
            raise RecipeError("a run keeps its palette, which its tokens use", where="data.palette", found=str(asked))
    try:
        dataset = prepare(data, Path.cwd(), progress, numbering=numbering_of(opened), palette=palette)
    except DataError as error:
        gone = error.message.startswith("there is no") or "No such file" in str(error.found)
        if gone and not overrides and not is_there(opened.path / CARD):  # what was exported is not resumed
            moved = f"if the data have moved: pixkit build {shlex.quote(str(opened.path))} --resume KEY=PLACE"
            error.hint = f"{moved} ({error.hint})" if error.hint else moved
        raise
    if not overrides:
        warn_of_other_data(opened, dataset.hashes())
    return dataset


def warn_of_other_data(run: Run, hashes: Mapping[str, str], files: str = "") -> None:
    """Warn if images, or the arrays beside them, have changed since a run was built.

    Args:
        run: the run.
        hashes: `Dataset.hashes`, or some of them.
        files: `SourceImages.files`, of images that are not read; an older run has none to compare.
    """
    locked = run.settings()["lock"]["data"]
    wrong = sorted(name for name, found in hashes.items() if locked["hashes"].get(name) != found)
    wrong += ["files"] if files and locked.get("files") not in (None, files) else []
    if wrong:
        said = {
            "context": "the arrays of data.context",
            "split": "the choice of splits",
            "files": "names, sizes or labels of the images' files",
        }
        names = listed(said.get(name, f"the {name} images") for name in wrong)
        warnings.warn(
            f"{run.path}: the data are not those that the run was built with: {names} have changed",
            RuntimeWarning,
            stacklevel=1,  # once, wherever it is read
        )


def numbering_of(run: Run) -> Numbering | None:
    """How a run numbers classes: by its class names; a run of 0.1, which stored none, by that version's rule."""
    if run.classes is None:
        return None
    names = run.class_names
    if names is None:
        return numbered_as_before
    return lambda _, images: renumbered(images, names) if set(images.class_names or ()) <= set(names) else images


def recipe_to_build(
    recipe: LoadedRecipe | Mapping[str, Any] | Run | str | Path, overrides: Sequence[str] = (), *, resume: bool = False
) -> tuple[LoadedRecipe, Path | None]:
    """The recipe to build and, if it is that of a run to resume, the run's folder.

    Args:
        recipe: a recipe, or anything that `load_recipe` takes, or a run to resume, or its folder.
        overrides: ``key.sub=value``, applied in order.
        resume: whether a run's folder may be meant.

    Raises:
        RecipeError: if the recipe, or an override, is wrong.
        RunError: if the run's recipe no longer validates.
        PluginError: if a component's plugin is missing.
    """
    if isinstance(recipe, LoadedRecipe):
        return revised(recipe, overrides), None
    if isinstance(recipe, Mapping) or (isinstance(recipe, str) and is_yaml(recipe)):
        return load_recipe(recipe, overrides), None
    if not isinstance(recipe, str | os.PathLike | Run):
        raise no_recipe(recipe)
    if not isinstance(recipe, Run):
        if resume:
            refuse_zoo(recipe)
        recipe = run_folder(recipe)
    run = recipe if isinstance(recipe, Run) else Run(recipe)
    if not resume or not run.started:
        file = run.path if isinstance(recipe, Run) else find_recipe(recipe)
        if run.started and is_folder(file):
            raise RecipeError(
                "this is a run",
                where=str(file),
                expected="a recipe",
                hint=f"continue it with --resume (from Python resume=True), or make another one from {file / GIVEN}",
            )
        return load_recipe(file, overrides), None
    hint = "move it away: the run is continued by its recipe.lock.yaml"
    text = RunFile(run.given, MOST_TEXT, hint=hint).text_if_any() or ""
    return LoadedRecipe(locked_recipe(run, overrides), run.given, text, one_by_one(overrides), Path.cwd()), run.path


def revised(loaded: LoadedRecipe, overrides: Sequence[str]) -> LoadedRecipe:
    """The recipe with more overrides."""
    if not overrides:
        return loaded
    recipe = revise_recipe(loaded.lock(), overrides, name=loaded.origin if loaded.path is None else str(loaded.path))
    return replace(loaded, recipe=recipe, overrides=(*loaded.overrides, *one_by_one(overrides)))


def locked_recipe(run: Run, overrides: Sequence[str] = ()) -> Recipe:
    """The locked recipe of a run, with overrides applied.

    Its own paths are absolute; relative ones in overrides start from the working directory.
    """
    recipe = run.recipe()
    return revise_recipe(recipe.dump(), overrides, name=str(run.path / SETTINGS)) if overrides else recipe


def opened_run(run: Run | str | Path) -> Run:
    """The run itself, or the one in a folder; RunError if there is none."""
    return run if isinstance(run, Run) else Run.open(run)


def construct(recipe: Recipe, spec: ImageSpec, classes: int | None, device: torch.device) -> Model:
    """Build the recipe's model with the initial weights of the recipe's seed, the same for every device.

    Raises:
        UsageError: if it would not fit into memory; raised before the memory is allocated.
    """
    cpu = torch.device("cpu")
    with isolated_rng(cpu):
        seed_torch(derive(recipe.seed, "construct"), cpu)
        with MemoryGuard(available(cpu).free):
            try:
                model: Model = built(recipe.model, spec, classes)
            except NoLabels as error:
                error.hint = how_to_label(recipe.data.config)
                raise
    return model.to(device)


def read_weights(folder: Path, weights: str, averaged: bool | None = None) -> dict[str, Tensor]:
    """A checkpoint's weights: 'raw', or 'ema', which falls back to raw if the recipe asked for no average.

    Args:
        folder: the checkpoint's.
        weights: which.
        averaged: whether the recipe asked for an average; None if that is unknown: then the checkpoint decides.

    Raises:
        UsageError: for another name.
        CheckpointError: if the checkpoint is damaged, or has no average although the recipe asked for one.
    """
    if weights not in WEIGHTS:
        raise UsageError("no such weights", where="weights", found=weights, expected=" or ".join(WEIGHTS))
    manifest = read_manifest(folder)
    there = "ema" in manifest.files
    if weights == "ema" and averaged and not there:
        raise CheckpointError(
            "the recipe asks for averaged weights, and there are none in this checkpoint",
            where=str(folder),
            hint="use the weights as trained: raw",
        )
    return checkpoints.read_tensors(folder, manifest, "ema" if weights == "ema" and there else "model")
