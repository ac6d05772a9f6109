"""Optimisers, learning rates and clipping, from a recipe's `train` section."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pixkit.errors import CheckpointError, RecipeError, listed
from pixkit.models.base import Model
from pixkit.models.phase import Phase
from pixkit.recipe.schema import SGD, Adam, AdamW, Optimizer, RMSprop, Schedule, TrainConfig
from pixkit.training.recompute import Recomputed


@dataclass(frozen=True)
class TrainedPhase:
    """A phase, the parameters that it may change, by name, and their optimiser; `rate` is the recipe's rate."""

    phase: Phase
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    rate: float

    @property
    def name(self) -> str:
        """The phase's name."""
        return self.phase.name

    def update(self, *, fused: bool = False) -> None:
        """Make the optimiser's step; if `fused`, in one pass over memory, where torch has one on a CPU: Adam and AdamW.

        torch's fused step goes through memory as it lies, and would pair other elements where a gradient or what the
        optimiser keeps lies otherwise than the weight; and it refuses complex numbers.
        """
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["fused"] = (fused and all(self._dense(one) for one in group["params"])) or None
        self.optimizer.step()

    def _dense(self, one: Tensor) -> bool:
        kept = (value for value in self.optimizer.state.get(one, {}).values() if isinstance(value, Tensor))
        lies = all(value is None or value.is_contiguous() for value in (one, one.grad, *kept))
        return lies and one.is_floating_point() and one.device.type == "cpu"

    def set_rate(self, factor: float) -> float:
        """Make the learning rate `factor` times the recipe's; return it."""
        rate = self.rate * factor
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return rate


def trained_phases(model: Model, config: TrainConfig) -> list[TrainedPhase]:
    """The model's phases with their optimisers.

    Raises:
        RecipeError: if `train.optimizers` names a phase that the model does not have.
        ValueError: if the model's phases clash in name, or one has nothing to train.
    """
    phases = model.phases()
    if config.recompute:
        phases = [replace(phase, loss=Recomputed(phase.loss, model)) for phase in phases]
    names = [phase.name for phase in phases]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"{type(model).__name__}: phases need different names, found {names}")
    for name in config.optimizers:
        if name not in names:
            raise RecipeError(
                "the model has no such phase", where=f"train.optimizers.{name}", found=name, expected=listed(names)
            )
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [_trained(phase, config.optimizers.get(phase.name, config.optimizer), name_of) for phase in phases]


def _trained(phase: Phase, config: Optimizer, name_of: Mapping[int, str]) -> TrainedPhase:
    parameters: dict[str, nn.Parameter] = {}
    for parameter in phase.parameters:
        if id(parameter) not in name_of:
            raise ValueError(f"phase '{phase.name}': a parameter of shape {list(parameter.shape)} is not the model's")
        if parameter.requires_grad:
            parameters[name_of[id(parameter)]] = parameter
    if not parameters:
        raise ValueError(f"phase '{phase.name}' has no parameters to train")
    return TrainedPhase(phase, parameters, build_optimizer(config, parameters.values()), config.lr)


def build_optimizer(config: Optimizer, parameters: Iterable[nn.Parameter], **options: bool) -> torch.optim.Optimizer:
    """torch's optimiser for a recipe's `optimizer` section, with `options` that say how it computes."""
    keys = config.model_dump(exclude={"type"}) | options
    match config:
        case AdamW():
            return torch.optim.AdamW(parameters, **keys)
        case Adam():
            return torch.optim.Adam(parameters, **keys)
        case SGD():
            return torch.optim.SGD(parameters, **keys)
        case RMSprop():
            return torch.optim.RMSprop(parameters, **keys)


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """The learning rate of step 1..steps as a fraction of the recipe's.

    Rises linearly, step / warmup, to 1 at step p = max(warmup, 1). From there: constant; or cosine,
    floor + (1 - floor) (1 + cos(pi t)) / 2 with t = (step - p) / (steps - p); or exponential, decay^(step - p).
    """
    peak = max(schedule.warmup, 1)
    if step < peak:
        return step / peak
    match schedule.type:
        case "constant":
            return 1.0
        case "exponential":
            return schedule.decay ** (step - peak)
        case "cosine":
            t = min((step - peak) / max(steps - peak, 1), 1.0)
            return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * t)) / 2


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar."""
    parameters = list(parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros((), device=parameters[0].device if parameters else None)
    return torch.nn.utils.get_total_norm(gradients)


def clip(parameters: Iterable[nn.Parameter], norm: Tensor, largest: float) -> None:
    """Scale all gradients by one factor so that their norm, now `norm`, is at most `largest`."""
    if float(norm) > largest:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(largest / norm)


def clip_unread(parameters: Iterable[nn.Parameter], norm: Tensor, largest: float) -> None:
    """The same, without a look at the norm: by 1 where it is small enough."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, (largest / norm).clamp_max(1.0))


def optimizer_tensors(phases: Iterable[TrainedPhase]) -> dict[str, Tensor]:
    """The state of all optimisers, named PHASE/KEY/PARAMETER."""
    return {
        f"{trained.name}/{key}/{name}": value
        for trained in phases
        for name, parameter in trained.parameters.items()
        for key, value in trained.optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(phases: Iterable[TrainedPhase], tensors: Mapping[str, Tensor], where: str) -> None:
    """Give all optimisers the state that `optimizer_tensors` named.

    Raises:
        CheckpointError: if a tensor belongs to no parameter, or is of another shape.
    """
    states: dict[tuple[str, str], dict[str, Tensor]] = {}
    for label, value in tensors.items():
        phase, key, name = label.rsplit("/", 2)
        states.setdefault((phase, name), {})[key] = value.clone()
    for trained in phases:
        own = {name: states.pop((trained.name, name), {}) for name in trained.parameters}
        _check_state(trained, own, where)
        numbered = {number: dict(state) for number, state in enumerate(own.values()) if state}
        groups = trained.optimizer.state_dict()["param_groups"]
        trained.optimizer.load_state_dict({"state": numbered, "param_groups": groups})
    if states:
        extra = ", ".join("/".join(place) for place in list(states)[:5])
        raise CheckpointError("the optimiser's state is another model's", where=where, found=extra)


def _check_state(trained: TrainedPhase, own: Mapping[str, Mapping[str, Tensor]], where: str) -> None:
    keys = {frozenset(state) for state in own.values() if state}
    if len(keys) > 1:
        raise CheckpointError("the optimiser's state has gaps", where=where, found=f"phase {trained.name}")
    for name, state in own.items():
        for key, value in state.items():
            shape = trained.parameters[name].shape
            if value.shape not in (shape, torch.Size([])):
                raise CheckpointError(
                    "the optimiser's state does not fit",
                    where=f"{where}, {trained.name}/{key}/{name}",
                    found=str(list(value.shape)),
                    expected=str(list(shape)),
                )
