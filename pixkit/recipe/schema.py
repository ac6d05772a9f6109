"""The recipe: the possible content of a YAML file, and its defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from pixkit.components.config import ComponentConfig
from pixkit.components.spec import DataRef, ModelRef, OptimiserRef, ScheduleRef, TrackerRef


class InitFrom(ComponentConfig):
    """Weights to start from that need not fit."""

    run: str = Field(json_schema_extra={"x-pixkit-path": True})
    """A run, or a checkpoint folder."""
    strict: bool = True
    """Whether all of them have to fit; otherwise those that do are used, and the rest is initialised."""


class TrainConfig(ComponentConfig):
    """How the model is trained."""

    steps: int = Field(default=1000, ge=1, lt=10**18)
    """Total number of optimiser steps."""
    batch_size: int = Field(default=64, ge=1)
    """Images in one step; with `accumulate`, in one part of it."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged into one step."""
    recompute: bool = False
    """Whether the backward pass recomputes the activations of the backbone's blocks instead of keeping them: the same
    digits in less memory, at the cost of up to one more forward pass. A block is a member of a list of modules
    (nn.ModuleList, nn.Sequential) that has submodules. On a GPU, steps are not recorded then."""
    shard: Literal["none", "optimizer"] = "none"
    """What several ranks divide among them: nothing; or the optimiser's state, of which each keeps that of the
    parameters that it updates: the same digits and checkpoints in less memory."""
    optimizer: OptimiserRef = Field(default={"type": "adamw"}, validate_default=True)
    optimizers: dict[str, OptimiserRef] = Field(default_factory=dict)
    """Another optimiser for a phase, by the phase's name."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Arithmetic of the losses and gradients: float32; float32 with products in TF32 on CUDA devices that have it, and
    plain float32 elsewhere; or bfloat16 by autocast, with weights, optimiser and likelihoods in float32. auto measures,
    and uses tf32 if it is 1.1 times faster, bf16 if it is 1.25 times faster. Scores and samples always use float32.
    """
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Layout of the outputs of convolutions; auto measures, and uses channels_last if it is 1.1 times faster. A run
    keeps what was measured at its start; if every build has to give the same digits, set both."""
    fuse: Literal["auto", "on", "off"] = "auto"
    """Whether activations with dropout, gates and weight norms of the layers that support it (PixelCNN++'s,
    PixelSNAIL's and gated PixelCNN's) are fused: on a GPU one launch each, on a CPU with compiled code one pass,
    including the fronts of recurrences. The last digits differ; on a CPU, so do the elements that dropout keeps. auto
    measures it together with the other options, and fuses if that is 1.1 times faster. A run keeps what was measured at
    its start. Unless it is off, Adam and AdamW update in one pass on a CPU, and 1x1 convolutions of channels-last
    images are matrix products there: turn it off for the digits of torch's own operations."""
    capture: Literal["auto", "on", "off"] = "auto"
    """On a GPU: whether a step's work is recorded as CUDA graphs and replayed, with the same digits; auto measures, and
    does so if it is faster. A loss that would change in a replay is launched each time."""
    lag: int = Field(default=2, ge=0, le=16)
    """On a GPU: steps that are launched before the first of them is read, logged and reported to plugins' hooks; 0 if
    hooks must not be late. On a CPU each step is known before the next, whatever this says."""
    schedule: ScheduleRef = Field(default={"type": "constant"}, validate_default=True)
    clip: float | None = Field(default=None, gt=0)
    """Largest norm of a step's gradient."""
    ema: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights; 0 for none."""
    eval_every: int = Field(default=250, ge=1)
    """Steps between scores on the validation images."""
    sample_every: int | None = Field(default=None, ge=1)
    """Steps between sample grids; by default at every scoring."""
    checkpoint_every: int = Field(default=250, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints to keep, beside the best one."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many scorings without a better one."""
    eval_images: int | None = Field(default=None, ge=1)
    """Score at most this many validation images while training."""
    log: list[TrackerRef] = Field(default_factory=list)
    """Trackers that follow training, beside metrics.jsonl and samples/: [tensorboard], or those of plugins."""
    init_from: str | InitFrom | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
    """A run, or a checkpoint folder, with initial weights for training; {run: ..., strict: false} takes what fits."""

    @field_validator("log")
    @classmethod
    def _each_once(cls, log: list[Any]) -> list[Any]:
        said = [each.dump() for each in log]
        twice = [each for number, each in enumerate(said) if each in said[:number]]
        if twice:
            raise ValueError(f"{twice[0]['type']} is named twice, with the same keys: it would show everything twice")
        return log

    @property
    def start(self) -> InitFrom | None:
        """`init_from` in its long form."""
        return InitFrom(run=self.init_from) if isinstance(self.init_from, str) else self.init_from


Weight: TypeAlias = Annotated[float, Field(ge=-1e6, le=1e6)]
"""A weight of guidance."""


class SampleConfig(ComponentConfig):
    """How sample grids are drawn."""

    type: str = Field(default="auto", json_schema_extra={"x-pixkit-auto-or": "sampler"})
    """A sampler's name, or auto: the fastest exact one."""
    count: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, ge=1e-20, le=1e20)
    batch_size: int = Field(default=64, ge=1)
    guidance: Weight | dict[str, Weight] = 0.0
    """How much conditions are strengthened, all that have dropout or each by name (`pixkit.samplers.guidance`): in
    samples of a build, and the default of `pixkit sample`. 0 is the model itself."""


class Recipe(ComponentConfig):
    """A whole recipe."""

    pixkit: Literal[1]
    """Version of the recipe format."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the run's folder."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of initialisation, batches and samples."""
    data: DataRef
    model: ModelRef
    train: TrainConfig = Field(default_factory=TrainConfig)
    sample: SampleConfig = Field(default_factory=SampleConfig)

    def dump(self) -> dict[str, Any]:
        """The recipe as plain data with every default written out."""
        return self.model_dump(mode="json")
