"""Shared by the verbs that draw: the model, the options of drawing, and given images."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from torch import Tensor

from pixkit.data import Dataset
from pixkit.data import Progress as Loading
from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.models.request import SampleRequest
from pixkit.noise import Noise
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import SampleConfig
from pixkit.runs.load import load, load_data
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.samplers import Drawn, Sampler, sampler_for
from pixkit.samplers.batch import Guidance, check_batch_size, check_temperature
from pixkit.tasks.inputs import Values, as_tensors, named_images
from pixkit.wrappers import unwrapped

Source = Model | Run | str | Path
"""A trained model, or the run that it is loaded from, or that run's folder."""
Images = Values | str | Path | Sequence[str | Path]
"""Images as levels, int64 [N, C, H, W], or by name: pictures, folders of them, arrays (.npy, .npz), or SPLIT:NUMBER of
the run's own data."""


class DrawingOptions(TypedDict, total=False):
    """How `pixkit.sample`, `complete`, `upscale` and `reconstruct` draw, and from what; all are optional.

    Attributes:
        seed: seed of the noise; 0 by default.
        temperature: divides logits (and scales); 1 is the model's own distribution.
        sampler: a sampler, or its name; "auto" is the fastest exact one.
        batch_size: images drawn together; the result does not depend on it.
        device: auto, cpu or cuda. Like `checkpoint` and `weights`, only for a run: a model stays where it is.
        checkpoint: best, last or step-N.
        weights: ema (the raw ones if there is no average) or raw.
        progress: called as progress(done, total) while images are drawn.
        loading: called as loading(what, done, total) while the run's data are read.
        ranks: the processes that draw together, taking batches in turn; all have to pass the same arguments.

    Temperature, sampler and batch size default to those of the run's recipe, section `sample`, or to a recipe's
    defaults.
    """

    seed: int
    temperature: float | None
    sampler: str | Sampler | None
    batch_size: int | None
    device: str
    checkpoint: str
    weights: str
    progress: Progress | None
    loading: Loading | None
    ranks: Ranks


def open_drawer(
    source: Source,
    *,
    seed: int = 0,
    temperature: float | None = None,
    sampler: str | Sampler | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    checkpoint: str = "best",
    weights: str = "ema",
    progress: Progress | None = None,
    loading: Loading | None = None,
    ranks: Ranks = ALONE,
) -> Drawer:
    """Load the model if necessary; see `DrawingOptions`.

    Raises:
        RunError: if there is no such run.
        CheckpointError: if there is no such checkpoint, or it is damaged.
        PluginError: if a component of it, or the sampler, is missing.
        UsageError: if the device is missing, or a number is out of range.
    """
    if temperature is not None:
        check_temperature(temperature)
    if batch_size is not None:
        check_batch_size(batch_size)
    source = unwrapped(source)
    run, section = None, SampleConfig()
    if isinstance(source, Model):
        model = source
    else:
        run = source if isinstance(source, Run) else Run.open(source)
        section = run.recipe().sample
        model = load(run, device=str(pick_device(device, ranks)), checkpoint=checkpoint, weights=weights)
    return Drawer(
        model,
        run,
        seed,
        section.temperature if temperature is None else temperature,
        sampler_for(section.type if sampler is None else sampler).shared(ranks),
        section.batch_size if batch_size is None else batch_size,
        section.count,
        section.guidance,
        progress,
        loading,
    )


@dataclass(frozen=True)
class Drawer:
    """A model, the run that it comes from (None if a model was given), and the options of drawing.

    `count` and `guidance` are those of the recipe's section `sample`.
    """

    model: Model
    run: Run | None
    seed: int
    temperature: float
    sampler: Sampler
    batch_size: int
    count: int
    guidance: Guidance
    progress: Progress | None
    loading: Loading | None

    @functools.cached_property
    def data(self) -> Dataset:
        """The run's data, read once.

        Raises:
            UsageError: if the model was given without its run.
        """
        if self.run is None:
            raise UsageError("a model that was not opened with its run has no data", where="model", expected="a run")
        return load_data(self.run, progress=self.loading)

    def draw(self, n: int, **request: Any) -> Drawn:
        """Draw `n` images; `request` holds other arguments of `Model.request`."""
        return self.model.draw(self.request(n, **request))

    def request(self, n: int, **request: Any) -> SampleRequest:
        """The request that `draw` makes to the model."""
        request |= {"seed": self.seed, "progress": self.progress}
        how: dict[str, Any] = {"temperature": self.temperature, "sampler": self.sampler, "batch_size": self.batch_size}
        return self.model.request(n, **how, **request)

    def decode(self, z: Tensor, noise: Noise) -> Drawn:
        """Draw an image for each code of a latent model, z [B, ...]."""
        model = self.latent_model("decode")
        return model.draw_from(
            z,
            noise,
            temperature=self.temperature,
            sampler=self.sampler,
            batch_size=self.batch_size,
            progress=self.progress,
        )

    def latent_model(self, where: str) -> LatentModel:
        """The model, if it is a latent one.

        Raises:
            UsageError: if not.
        """
        self.model.require("has_latent", where)
        return cast(LatentModel, self.model)

    def images(self, given: Images, *, spec: ImageSpec | None = None, where: str = "image") -> Tensor:
        """The given images, int64 [N, C, H, W] on the CPU, read if given by name; files have to match `spec`.

        Raises:
            DataError: if an image cannot be read or does not fit.
            UsageError: if there is no image with that number.
        """
        given = as_tensors(given)
        if isinstance(given, Tensor):
            return given.cpu()
        return self.named_images(given, spec=spec, where=where)[1]

    def named_images(
        self, given: Images, *, spec: ImageSpec | None = None, where: str = "image"
    ) -> tuple[list[str], Tensor]:
        """The same, with their names: those of files as given, numbers for tensors."""
        given = as_tensors(given)
        if isinstance(given, Tensor):
            return [str(number) for number in range(len(given))], given.cpu()
        names = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
        return named_images(names, spec or self.model.spec, self.run, where=where, loading=self.loading)
