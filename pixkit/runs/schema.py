"""Schemas of a run's files: types, ranges, and which version of pixkit may have written them.

Unknown keys are allowed: a newer pixkit may write more. If the meaning of a key changes, the file's `format` increases,
and an older pixkit reports that it is too old.
"""

from __future__ import annotations

import itertools
import reprlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pixkit.context import MOST_VALUES, ContextSpec
from pixkit.errors import PixkitError, RunError
from pixkit.runs.runfile import MOST_JSON, RunFile

Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, le=2**24)]
MOST_DIMS = 2**28
Figure = float | None
"""A number; None if it was not finite."""
T = TypeVar("T", bound="Record")


class Record(BaseModel):
    """The contents of a file, or a part of it."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, defer_build=True)

    version_key: ClassVar[str] = "format"
    newest: ClassVar[int] = 1


class Environment(Record):
    """env.json."""

    pixkit: str | None = None
    plugins: dict[str, str] = Field(default_factory=dict)
    previous: list[dict[str, Any]] = Field(default_factory=list)


class ScoreRow(Record):
    """A row of scores.json, see `pixkit.tasks.scores.Scores`."""

    split: str
    weights: str
    kind: Literal["exact", "bound", "estimate", "none"]
    images: Count
    nats: Figure
    stderr: Figure
    bits_per_dim: Figure
    bits_per_token: Figure = None
    parts: dict[str, Figure] = Field(default_factory=dict)
    samples: Count | None = None


class FinalScores(Record):
    """scores.json."""

    scores: list[ScoreRow] = Field(default_factory=list)


class Row(Record):
    """A row of metrics.jsonl."""

    step: Count
    event: str = ""


class Beside(Record):
    """An array beside the images."""

    name: str
    shape: list[Size]
    levels: Annotated[int, Field(ge=1, le=MOST_VALUES)] | None = None
    shrink: Annotated[int, Field(ge=2)] | None = None
    by: Literal["average", "every"] = "average"

    def spec(self) -> ContextSpec:
        """As images have it."""
        return ContextSpec(self.name, tuple(self.shape), self.levels, self.shrink, self.by)


class Image(Record):
    """Shape and levels of images."""

    channels: Size
    height: Size
    width: Size
    levels: Annotated[int, Field(ge=2, le=2**24)]
    palette: str | None = None
    context: list[Beside] = Field(default_factory=list)

    @model_validator(mode="after")
    def _of_this_world(self) -> Image:
        if self.channels * self.height * self.width > MOST_DIMS:
            raise ValueError(f"more than {MOST_DIMS} sub-pixels an image")
        return self


class Data(Record):
    """The images that a run was trained on."""

    description: str
    hashes: dict[str, str]
    files: str | None = None
    levels: Annotated[int, Field(ge=2, le=65536)] | None = None


class MeasuredArithmetic(Record):
    """The arithmetic of training, see `pixkit.training.precision.Choice`."""

    precision: str
    memory_format: str
    products: str = "mixed"
    fused: bool = False
    reason: str
    seconds: dict[str, float]


class StepsWay(Record):
    """How steps are made, see `pixkit.training.way.Way`."""

    way: str
    reason: str


class Division(Record):
    """The step from which a phase's batches are split into this many parts, see `pixkit.training.parts`."""

    step: Count
    phase: str
    parts: Annotated[int, Field(ge=1, le=2**24)]


class Segment(Record):
    """A number of steps that were asked for after `step` were made, see `pixkit.training.segments`."""

    step: Count
    steps: Annotated[int, Field(ge=1, lt=2**63)]


class Deterministic(Record):
    """Whether steps use deterministic kernels, see `pixkit.training.kernels`; which operations have none."""

    deterministic: bool
    without: list[str] = Field(default_factory=list)


class Lock(Record):
    """The section `lock` of recipe.lock.yaml."""

    recipe: str = ""
    overrides: list[str] = Field(default_factory=list)
    image: Image
    classes: Annotated[int, Field(ge=1, le=2**24)] | None
    class_names: list[str] | None = None
    data: Data
    parameters: Count
    arithmetic: MeasuredArithmetic | None = None
    steps: StepsWay | None = None
    parts: list[Division] = Field(default_factory=list)
    kernels: Deterministic | None = None
    segments: list[Segment] = Field(default_factory=list)
    changes: list[str]

    @field_validator("segments")
    @classmethod
    def _in_turn(cls, segments: list[Segment]) -> list[Segment]:
        starts = [segment.step for segment in segments]
        if starts and (starts[0] != 0 or any(b <= a for a, b in itertools.pairwise(starts))):
            raise ValueError("segments from step 0 on, one after another")
        return segments

    @model_validator(mode="after")
    def _a_name_each(self) -> Lock:
        names = self.class_names
        if names is not None and (len(names) != self.classes or len(set(names)) < len(names)):
            raise ValueError(f"{self.classes} class_names, all different")
        return self


class LockedModel(Record):
    """The section `model` of a recipe; other keys belong to its component."""

    type: str


class LockedTraining(Record):
    """The section `train` of a recipe."""

    steps: Count


class Settings(Record):
    """recipe.lock.yaml: its own section, and the part of the recipe that is readable without its plugins."""

    version_key: ClassVar[str] = "pixkit"

    name: str
    seed: Count
    model: LockedModel
    train: LockedTraining
    lock: Lock


def typed(model: type[T], value: Any, where: str, *, error: type[PixkitError] = RunError, hint: str | None = None) -> T:
    """Validate the contents of a file as one of the classes above.

    Args:
        model: the class.
        value: plain data.
        where: the file, for messages.
        error: the class of error to raise if they do not fit.
        hint: what to do then.
    """
    version = value.get(model.version_key) if isinstance(value, dict) else None
    if type(version) is int and version > model.newest:
        raise error(
            "written by a newer pixkit",
            where=where,
            found=f"{model.version_key} {reprlib.repr(version)}",
            expected=f"{model.version_key} {model.newest}",
            hint="use a newer pixkit",
        )
    try:
        return model.model_validate(value)
    except ValidationError as failure:
        raise error(**_first(failure), where=where, hint=hint) from None


def _first(failure: ValidationError) -> dict[str, str]:
    """The first problem, in words."""
    problem = failure.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return {"message": f"the key '{key}' is missing"}
    found = reprlib.repr(problem["input"])
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if problem["type"] in ("model_type", "dict_type"):
        expected = "a mapping"
    message = f"the key '{key}' is wrong" if key else "its contents are wrong"
    return {"message": message, "found": found, "expected": expected}


def read_record(path: Path, model: type[Record]) -> dict[str, Any]:
    """The validated contents of a run's JSON file; empty if there is none.

    Raises:
        RunError: if it is damaged.
    """
    hint = f"move it away: the run works without {path.name}"
    found = RunFile(path, MOST_JSON, hint=hint).json_if_any()
    if found is None:
        return {}
    typed(model, found, str(path), hint=hint)
    return dict(found)
