"""The networks that `verify` and `bench` examine: a recipe's (untrained), a run's, a model's, or one itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pixkit.catalogue.zoo import run_folder
from pixkit.components.spec import ComponentSpec
from pixkit.data import Progress as Loading
from pixkit.data import prepare
from pixkit.data.beside import smaller
from pixkit.data.download import offline
from pixkit.data.loading import measure
from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.network import Autoregressive
from pixkit.recipe import LoadedRecipe, Recipe, load_recipe
from pixkit.recipe.load import completed
from pixkit.recipe.overrides import one_by_one
from pixkit.runs.load import construct, load, revised
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.wrappers import networks_in, unwrapped

Examined = LoadedRecipe | Run | Model | Autoregressive | str | Path
"""A recipe, its file or its name; a run or its folder; a model; a network."""
Shape = Sequence[int]
"""(C, H, W, K), or (C, H, W, K, classes), for images that are missing."""
Read = TypeVar("Read")
SHAPE = "shape=(C, H, W, K)"
"""How a hint names the argument."""


def build_model(
    recipe: LoadedRecipe | Mapping[str, Any] | str | Path,
    spec: ImageSpec | Shape | None = None,
    *,
    classes: int | None = None,
    overrides: Sequence[str] = (),
    device: str = "cpu",
) -> Model:
    """Build a recipe's model, untrained, as a module in training mode.

        >>> model = pixkit.build_model("digits-pixelcnn")
        >>> model = pixkit.build_model({"type": "autoregressive", "backbone": {"type": "pixelcnn"}}, (1, 8, 8, 17))
        >>> report = model.verify()  # a CausalityError if a sub-pixel sees what is drawn after it
        >>> loss = -model.log_prob(torch.zeros(4, 1, 8, 8, dtype=torch.int64)).mean()
        >>> loss.backward()

    The weights are those that training would begin with, and depend only on the recipe's seed. Layers that are
    initialised from the first batch (PixelCNN++'s) are set by ``model.initialise(pixkit.Batch(x, labels, numbers))``.

    Args:
        recipe: a recipe, its file or its name; or a dict, which may leave out everything but the model, or be only the
            model's section.
        spec: shape and levels of the images, as an ImageSpec or (C, H, W, K); by default those of the recipe's data.
        classes: number of label classes, if there are labels.
        overrides: ``key.sub=value``, applied in order.
        device: auto, cpu or cuda.

    Raises:
        RecipeError: if the recipe or an override is wrong, or it asks for labels that do not exist.
        PluginError: if a component is missing.
        DataError: if no spec is given and the recipe's images are missing.
        UsageError: if the device is missing, or the model would not fit into memory.
    """
    if isinstance(recipe, LoadedRecipe):
        loaded = revised(recipe, overrides)
    else:
        loaded = load_recipe(completed(recipe) if isinstance(recipe, Mapping) else recipe, overrides)
    if spec is None:
        dataset = _of_images(prepare, loaded, None)
        spec, found = dataset.spec, dataset.classes
        classes = found if classes is None else classes
    elif not isinstance(spec, ImageSpec):
        spec, found = _given(spec, loaded.recipe)
        classes = found if classes is None else classes
    model = construct(loaded.recipe, spec, classes, pick_device(device))
    for network in networks_in(model).values():
        network.check_width()
        network.check_trains()
    return model


def find_examined(source: LoadedRecipe | str | Path, overrides: Sequence[str] = ()) -> LoadedRecipe | Run:
    """The run in that folder, or else the recipe with that path or name, with overrides applied.

    Raises:
        RecipeError: if the recipe or an override is wrong.
        UsageError: for overrides of a run.
    """
    if isinstance(source, LoadedRecipe):
        return revised(source, overrides)
    run = Run(run_folder(source))
    if not run.started:
        return load_recipe(source, overrides)
    if overrides:
        raise UsageError(
            "a run cannot be overridden",
            where=str(source),
            found=one_by_one(overrides)[0],
            hint="override the recipe instead",
        )
    return run


def networks_of(
    source: Examined,
    *,
    overrides: Sequence[str] = (),
    shape: Shape | None = None,
    device: str = "auto",
    loading: Loading | None = None,
) -> dict[str, Autoregressive]:
    """The autoregressive networks of a model by their names within it, in eval mode.

    A recipe's model is untrained, with the weights that training would begin with. Only the shape of its images is
    needed; they are read, but never downloaded. A run's weights are those of its best checkpoint.

    Args:
        source: see `Examined`.
        overrides: of a recipe, ``key.sub=value``, applied in order.
        shape: channels, rows, columns, levels and perhaps classes of the images, if a recipe's data are missing.
        device: auto, cpu or cuda; a model or a network stays where it is.
        loading: called as loading(what, done, total) while data are read.

    Raises:
        RecipeError: if a recipe or an override is wrong.
        DataError: if images are missing and no shape is given.
        UsageError: if the model has no autoregressive network.
    """
    source = unwrapped(source)
    if isinstance(source, Autoregressive):
        return {"network": source}
    model = _model(source, overrides, shape, device, loading)
    networks = networks_in(model)
    if not networks:
        raise UsageError("the model has no autoregressive network", found=type(model).__name__)
    return networks


def name_of(source: LoadedRecipe | Run) -> str:
    """The recipe's name."""
    return source.recipe.name if isinstance(source, LoadedRecipe) else source.recipe().name


def _model(
    source: LoadedRecipe | Run | Model | str | Path,
    overrides: Sequence[str],
    shape: Shape | None,
    device: str,
    loading: Loading | None,
) -> Model:
    if isinstance(source, Model):
        return source
    found = source if isinstance(source, LoadedRecipe | Run) else find_examined(source, overrides)
    if isinstance(found, Run):
        return load(found, device=device)
    spec, classes = spec_of(found, shape, loading)
    return construct(found.recipe, spec, classes, pick_device(device)).eval()


def spec_of(
    loaded: LoadedRecipe, shape: Shape | None = None, loading: Loading | None = None
) -> tuple[ImageSpec, int | None]:
    """Shape and levels of a recipe's images, and the number of classes; from a given shape, or from its data.

    Raises:
        DataError: if images are missing and no shape is given.
        UsageError: if a shape is given, and arrays beside the images, whose shapes it does not tell.
    """
    return _of_images(measure, loaded, loading) if shape is None else _given(shape, loaded.recipe)


def _given(shape: Shape, recipe: Recipe) -> tuple[ImageSpec, int | None]:
    if len(shape) not in (4, 5):
        raise UsageError(
            "this is not a shape of images", where="shape", found=str(tuple(shape)), expected="C, H, W, K[, CLASSES]"
        )
    channels, height, width, levels = shape[:4]
    spec = ImageSpec(channels, height, width, levels)
    listed = isinstance(getattr(recipe.model.config, "context", None), list)
    asked = getattr(recipe.data.config, "context", {}) if listed else {}
    if files := [name for name, one in asked.items() if isinstance(one, str) or one.shrink is None]:
        raise UsageError(
            "a shape of images does not tell those of the arrays beside them",
            where="shape",
            found=f"data.context: {', '.join(files)}",
            hint="leave the shape out: they are read with the recipe's data",
        )
    beside = tuple(smaller(name, one, spec) for name, one in asked.items())
    return replace(spec, context=beside), shape[4] if len(shape) > 4 else None


def _of_images(
    read: Callable[[ComponentSpec, Path, Loading | None], Read], loaded: LoadedRecipe, loading: Loading | None
) -> Read:
    """Read a recipe's images just for their shape."""
    try:
        with offline():
            return read(loaded.recipe.data, loaded.base, loading)
    except DataError as error:
        if getattr(loaded.recipe.data.config, "context", {}):  # a shape does not tell those of arrays beside the images
            raise
        way_out = f"only the images' shape is needed here: pass it with {SHAPE}"
        error.hint = f"{error.hint}; {way_out}" if error.hint else way_out
        raise
