"""The model that `verify` and `bench` look at: a recipe's, untrained, without a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import torch

from pixkit.cli.progress import Talk
from pixkit.data import prepare
from pixkit.data.download import offline
from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.network import Autoregressive
from pixkit.recipe import LoadedRecipe
from pixkit.runs.load import construct


class Numbers(click.ParamType):
    """Whole numbers with commas between them."""

    name = "numbers"

    def __init__(self, accept: Callable[[tuple[int, ...]], bool], words: str) -> None:
        self.accept, self.words = accept, words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if all(part.isascii() and part.isdigit() for part in parts) and self.accept(tuple(map(int, parts))):
            return tuple(map(int, parts))
        self.fail(f"'{value}' is not {self.words}", param, ctx)


shape_option = click.option(
    "--shape",
    type=Numbers(
        lambda n: len(n) in (4, 5) and min(n[:3]) >= 1 and n[3] >= 2, "C,H,W,K: channels, rows, columns, levels"
    ),
    metavar="C,H,W,K[,CLASSES]",
    help="Channels, rows, columns and levels of the images, if the recipe's data are not there.",
)


def subject(
    loaded: LoadedRecipe, shape: tuple[int, ...] | None, device: torch.device, talk: Talk
) -> tuple[Model, dict[str, Autoregressive]]:
    """The recipe's model with initial weights, in eval mode, and its autoregressive networks by name.

    The images are only asked for their shape; they are read, never downloaded.

    Raises:
        DataError: if they are not there and no shape is given.
        UsageError: if the model has no autoregressive network.
    """
    if shape is None:
        spec, classes = _from_data(loaded, talk)
    else:
        spec, classes = ImageSpec(*shape[:4]), shape[4] if len(shape) > 4 else None
    model = construct(loaded.recipe, spec, classes, device).eval()
    networks = {name: module for name, module in model.named_modules() if isinstance(module, Autoregressive)}
    if not networks:
        raise UsageError(
            "the model has no autoregressive network", where=loaded.recipe.name, found=type(model).__name__
        )
    return model, networks


def _from_data(loaded: LoadedRecipe, talk: Talk) -> tuple[ImageSpec, int | None]:
    try:
        with offline():
            dataset = prepare(loaded.recipe.data, loaded.base, talk.progress)
    except DataError as error:
        way_out = "only the images' shape is needed here: --shape C,H,W,K gives it without them"
        error.hint = f"{error.hint}; {way_out}" if error.hint else way_out
        raise
    return dataset.spec, dataset.classes
