"""Verify causality: the proof, and what a prediction sees."""

from __future__ import annotations

from collections.abc import Sequence

from pixkit.data import Progress as Loading
from pixkit.memory import memory_errors
from pixkit.memory.guard import SMALLER_MODEL
from pixkit.precision import float32_products
from pixkit.readiness.report import Pixel, Report, examine
from pixkit.tasks.networks import Examined, Shape, networks_of


@float32_products()
@memory_errors(SMALLER_MODEL)
def verify(
    source: Examined,
    *,
    pixel: Pixel | None = None,
    overrides: Sequence[str] = (),
    shape: Shape | None = None,
    device: str = "cpu",
    loading: Loading | None = None,
) -> dict[str, Report]:
    """Prove networks causal, or find the leak.

        reports = pixkit.verify("recipes/digits-gated.yaml")
        assert all(report.verdict == "proved" for report in reports.values())
        pixkit.figures.save_sight(reports["network"].sight, "field.png")  # what the middle pixel sees

    The proof follows every operation of the network, site by site and colour by colour, and needs no training; in
    addition, single sub-pixels are changed in float64 and the predictions compared. A leak is a result, not an error.

    Args:
        source: a recipe, its file or its name, whose model is made untrained; a run or its folder; a model; or a
            network (`pixkit.network.Autoregressive`).
        pixel: (colour, row, column) of the prediction whose receptive field is computed; by default the last colour in
            the middle of the image.
        overrides: of a recipe, ``key.sub=value``, applied in order.
        shape: (C, H, W, K) or (C, H, W, K, classes) of the images, if a recipe's data are missing.
        device: auto, cpu or cuda; a model or a network stays where it is.
        loading: called as loading(what, done, total) while data are read.

    Returns:
        A `Report` for each autoregressive network of the model, by its name within it.

    Raises:
        RecipeError: if a recipe or an override is wrong.
        DataError: if images are missing and no shape is given.
        UsageError: if there is no autoregressive network, or no such pixel.
    """
    networks = networks_of(source, overrides=overrides, shape=shape, device=device, loading=loading)
    return {name: examine(network, pixel) for name, network in networks.items()}
