"""Optimisers, learning rates and clipping, from a recipe's `train` section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.errors import CheckpointError, RecipeError, listed
from pixkit.models.base import Model
from pixkit.models.phase import Phase
from pixkit.optimisers import Optimiser
from pixkit.recipe.schema import TrainConfig
from pixkit.training.recompute import Recomputed


@dataclass(frozen=True)
class TrainedPhase:
    """A phase, the parameters that it may change, by name, and their optimiser, which the component made."""

    phase: Phase
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    component: Optimiser

    @property
    def name(self) -> str:
        """The phase's name."""
        return self.phase.name

    @property
    def rate(self) -> float:
        """The recipe's learning rate."""
        return self.component.rate

    def update(self, *, fused: bool = False) -> None:
        """Make the optimiser's step; if `fused`, in the quicker way that it may have."""
        self.component.step(self.optimizer, fused=fused)

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


def _trained(phase: Phase, spec: ComponentSpec, name_of: Mapping[int, str]) -> TrainedPhase:
    parameters: dict[str, nn.Parameter] = {}
    for parameter in phase.parameters:
        if id(parameter) not in name_of:
            raise ValueError(f"phase '{phase.name}': a parameter of shape {list(parameter.shape)} is not the model's")
        if parameter.requires_grad:
            parameters[name_of[id(parameter)]] = parameter
    if not parameters:
        raise ValueError(f"phase '{phase.name}' has no parameters to train")
    component: Optimiser = built(spec)
    return TrainedPhase(phase, parameters, made(component, parameters.values()), component)


def made(component: Optimiser, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """What the component makes for some parameters.

    Raises:
        PluginError: if it fails, or is not one of torch's kind.
    """
    blamed, expected = Blamed.of("optimiser", component), "a torch.optim.Optimizer"
    with blamed.at("to be made", expected):
        optimizer = component.make(list(parameters))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise blamed.error("makes something else", type(optimizer).__name__, expected)
    return optimizer


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
        trained.component.check_state(own, trained.parameters, f"{where}, {trained.name}")
        names = {id(parameter): name for name, parameter in trained.parameters.items()}
        order = [names[id(one)] for group in trained.optimizer.param_groups for one in group["params"]]
        numbered = {number: dict(own[name]) for number, name in enumerate(order) if own[name]}
        groups = trained.optimizer.state_dict()["param_groups"]
        trained.optimizer.load_state_dict({"state": numbered, "param_groups": groups})
    if states:
        extra = ", ".join("/".join(place) for place in list(states)[:5])
        raise CheckpointError("the optimiser's state is another model's", where=where, found=extra)
