"""The speed of training steps with options on and off: medians over turns in one process."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from pixkit.components.attempt import one_line
from pixkit.data import Progress
from pixkit.errors import NonFiniteError, UsageError, listed
from pixkit.image import ImageSpec
from pixkit.memory.heap import keeping
from pixkit.models.base import Model
from pixkit.precision import float32_products, has_tf32
from pixkit.randomness import isolated_rng
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import Recipe, TrainConfig
from pixkit.runs.load import construct
from pixkit.runs.record import machine_of
from pixkit.training.precision import PRECISIONS, Arithmetic, obstacle
from pixkit.training.rate import Products, operations
from pixkit.training.recompute import blocks
from pixkit.training.timed import Setting, Timed
from pixkit.training.together import check_shares

OPTIONS = ("precision", "memory_format", "fuse", "recompute", "accumulate", "capture")
"""Keys of `train` that are compared."""
PARTS = 4
"""The number of parts that a step is also timed with."""


@dataclass(frozen=True)
class TrainingRow:
    """Training steps with some options; figures are None where they are unavailable, and the note says why.

    Attributes:
        option: the difference to the first row, `key=value`; in the first row, what is measured.
        seconds: median time of a step.
        images_per_second: derived from it.
        ratio: median over the turns of its images per second, relative to the first row's in the same turn.
        product_share: median share, in the same turn, of the device's rate for matrix products in this arithmetic.
        memory: bytes that training takes at its peak, weights included: measured on a GPU, estimated on a CPU.
        note: why there are no figures.
    """

    option: str
    seconds: float | None = None
    images_per_second: float | None = None
    ratio: float | None = None
    product_share: float | None = None
    memory: int | None = None
    note: str = ""


@dataclass(frozen=True)
class TrainingTimes:
    """The result of `time_training`.

    Attributes:
        rows: the recipe's own options first.
        machine: the machine, which times depend on.
        images: images in a step.
        parameters: parameters of the model.
        operations: floating-point operations for an image, forward and backward, counting only products.
        products: rates of matrix products on the device, in floating-point operations per second, by precision.
        rounds: number of turns.
        ranks: how many processes made each step together.
    """

    rows: list[TrainingRow]
    machine: dict[str, Any]
    images: int
    parameters: int
    operations: int
    products: dict[str, float]
    rounds: int
    ranks: int

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def time_training(
    recipe: Recipe,
    spec: ImageSpec,
    classes: int | None,
    device: torch.device,
    *,
    options: Sequence[str] = OPTIONS,
    rounds: int = 3,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> TrainingTimes:
    """Time training steps of a recipe's model on random images, as it is and with one option changed at a time.

    Options that the recipe leaves to measurement are plain in the first row: float32, contiguous, not fused, no
    recorded steps.

    Args:
        recipe: the recipe.
        spec: shape and levels of the images.
        classes: number of classes of labels, if there are labels.
        device: the device.
        options: the keys of `train` to compare, from `OPTIONS`.
        rounds: number of turns, of which medians are taken.
        ranks: those that make each step together.
        progress: called as progress(what, done, total).

    Raises:
        UsageError: for an unknown option, or if training as the recipe says would not fit into memory.
        RecipeError, PluginError: if the model cannot be built.
    """
    if unknown := [option for option in options if option not in OPTIONS]:
        raise UsageError(
            "no such option", where="options", found=listed(unknown), expected=f"some of {listed(OPTIONS)}"
        )
    check_shares(recipe.train, ranks)
    kept = keeping() if device.type == "cpu" else nullcontext()
    with isolated_rng(device), float32_products(), kept:
        model = construct(recipe, spec, classes, device)
        base = plain(recipe.train)
        found: dict[str, Setting | str] = {
            "as the recipe says": base,
            **dict(_others(base, model, device, options, ranks)),
        }
        return _Turns(model, classes, device, ranks, found).made(rounds, progress)


def plain(config: TrainConfig) -> Setting:
    """A recipe's options, with the plain one where it leaves it to measurement."""
    arithmetic = replace(Arithmetic.of(config), fused=config.fuse == "on")
    return Setting(config.model_copy(update={"capture": "off"} if config.capture == "auto" else {}), arithmetic)


def _others(
    base: Setting, model: Model, device: torch.device, options: Sequence[str], ranks: Ranks
) -> Iterator[tuple[str, Setting | str]]:
    """Settings with one option changed, by that option; or the reason why it is impossible."""
    config, arithmetic = base.config, base.arithmetic
    if "precision" in options:
        for name in PRECISIONS:
            if name != arithmetic.precision and (name != "tf32" or has_tf32(device)):
                precision: Any = name
                yield f"precision={name}", replace(base, arithmetic=replace(arithmetic, precision=precision))
    if "memory_format" in options:
        last: Any = "contiguous" if arithmetic.memory_format == "channels_last" else "channels_last"
        yield f"memory_format={last}", replace(base, arithmetic=replace(arithmetic, memory_format=last))
    if "fuse" in options:
        why = None if arithmetic.fused else obstacle(model, device)
        other = replace(base, arithmetic=replace(arithmetic, fused=not arithmetic.fused))
        yield f"fuse={'off' if arithmetic.fused else 'on'}", other if why is None else why
    if "recompute" in options:
        other = replace(base, config=config.model_copy(update={"recompute": not config.recompute}))
        yield f"recompute={str(not config.recompute).lower()}", other if blocks(model) else "there are no blocks"
    if "accumulate" in options and ranks.alone and config.batch_size >= PARTS:
        keys = {"batch_size": config.batch_size // PARTS, "accumulate": PARTS * config.accumulate}
        words = " ".join(f"{key}={value}" for key, value in keys.items())
        yield words, replace(base, config=config.model_copy(update=keys))
    if "capture" in options and device.type == "cuda":
        value = "off" if config.capture == "on" else "on"
        yield f"capture={value}", replace(base, config=config.model_copy(update={"capture": value}))


class _Turns:
    """Settings that take turns; the others are compared with the first."""

    def __init__(
        self, model: Model, classes: int | None, device: torch.device, ranks: Ranks, found: Mapping[str, Setting | str]
    ) -> None:
        self._model, self._classes = model, classes
        self._device, self._ranks = device, ranks
        self._names = list(found)
        self._settings: dict[str, Setting] = {name: one for name, one in found.items() if isinstance(one, Setting)}
        self._notes: dict[str, str] = {name: one for name, one in found.items() if isinstance(one, str)}
        self._timed: dict[str, Timed] = {}
        self._work = 0
        self._speeds: dict[str, list[float]] = {name: [] for name in found}
        self._shares: dict[str, list[float]] = {name: [] for name in found}
        kinds = {one.arithmetic.precision: one.arithmetic for one in self._settings.values()}
        self._products = {name: Products(arithmetic, device) for name, arithmetic in kinds.items()}
        self._rates: dict[str, list[float]] = {precision: [] for precision in kinds}

    def made(self, rounds: int, progress: Progress | None) -> TrainingTimes:
        """Take `rounds` turns."""
        for turn in range(rounds):
            for precision, product in self._products.items():
                self._rates[precision].append(product.rate())
            for number, name in enumerate(self._settings):
                if progress is not None:
                    done = turn * len(self._settings) + number
                    progress(f"timing {name}", done, rounds * len(self._settings))
                if name not in self._notes:
                    self._turn(name)
        timed = self._timed[self._names[0]]
        return TrainingTimes(
            [self._row(name) for name in self._names],
            machine_of(self._device),
            timed.images,
            sum(one.numel() for one in self._model.parameters()),
            self._work,
            {name: statistics.median(found) for name, found in self._rates.items()},
            rounds,
            self._ranks.size,
        )

    def _turn(self, name: str) -> None:
        """Take a setting's turn; a failure is noted, unless it is the first setting's."""
        setting = self._settings[name]
        try:
            if name not in self._timed:
                self._timed[name] = Timed(self._model, self._classes, setting, self._device, ranks=self._ranks)
                self._work = self._work or operations(self._timed[name].stepper)
            speed = self._timed[name].images / self._timed[name].turn()
        except (RuntimeError, TypeError, ValueError, UsageError, NonFiniteError) as error:
            if name == self._names[0] or not self._ranks.alone:
                raise
            self._notes[name] = one_line(error)
            self._timed.pop(name, None)
            return
        self._speeds[name].append(speed)
        rate = self._ranks.size * self._rates[setting.arithmetic.precision][-1]
        self._shares[name].append(self._work * speed / rate)

    def _row(self, name: str) -> TrainingRow:
        if name in self._notes:
            return TrainingRow(name, note=self._notes[name])
        speeds, timed = self._speeds[name], self._timed[name]
        speed, share = statistics.median(speeds), statistics.median(self._shares[name])
        pairs = zip(speeds, self._speeds[self._names[0]], strict=True)
        ratio = statistics.median(one / base for one, base in pairs)
        return TrainingRow(name, timed.images / speed, speed, ratio, share, timed.memory)
