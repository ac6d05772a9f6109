"""Measure how fast a model samples."""

from __future__ import annotations

from collections.abc import Sequence

from pixkit.data import Progress
from pixkit.errors import UsageError
from pixkit.memory import memory_errors
from pixkit.precision import float32_products
from pixkit.tasks.networks import Examined, Shape, networks_of
from pixkit.tasks.timing import SamplingTimes, time_sampling

BATCHES = (1, 16, 64, 256)


@float32_products()
@memory_errors("smaller batches")
def bench(
    source: Examined,
    batches: Sequence[int] = BATCHES,
    *,
    rounds: int = 3,
    overrides: Sequence[str] = (),
    shape: Shape | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, SamplingTimes]:
    """Time one forward pass, ancestral sampling, and cached sampling with every executor.

        times = pixkit.bench("recipes/mnist-pixelcnn.yaml", [1, 16], shape=(1, 28, 28, 2))["network"]
        for row in times.rows:
            print(row.batch, row.sampler, row.executor, row.seconds, row.note)

    They take turns in one process, and medians are reported. Weights do not matter: a recipe's model is untrained.

    Args:
        source: a recipe, its file or its name; a run or its folder; a model; or a network in eval mode.
        batches: the batch sizes to measure.
        rounds: number of turns, of which medians are taken.
        overrides: of a recipe, ``key.sub=value``, applied in order.
        shape: (C, H, W, K) or (C, H, W, K, classes) of the images, if a recipe's data are missing.
        device: auto, cpu or cuda; a model or a network stays where it is.
        progress: called as progress(what, done, total).

    Returns:
        The times in seconds of each autoregressive network of the model, by its name within it. If an executor cannot
        run a network, its note says why.

    Raises:
        RecipeError: if a recipe or an override is wrong.
        DataError: if images are missing and no shape is given.
        UsageError: if there is no autoregressive network, or a batch is empty.
        CausalityError: if a network is not proved causal.
    """
    if not batches or min(batches) < 1:
        raise UsageError(
            "batch sizes must be positive", where="batches", found=str(list(batches)), expected="1 or more"
        )
    networks = networks_of(source, overrides=overrides, shape=shape, device=device, loading=progress)
    return {
        name: time_sampling(network, batches, rounds=rounds, progress=progress) for name, network in networks.items()
    }
