"""Optimisers, learning rates and clipping, from a recipe's `train` section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.errors import CheckpointError, RecipeError, UsageError, listed
from pixkit.models.base import Model
from pixkit.models.phase import Phase
from pixkit.optimisers import Optimiser
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import TrainConfig
from pixkit.training.recompute import Recomputed
from pixkit.training.shard import Shard


@dataclass(frozen=True)
class TrainedPhase:
    """A phase with the parameters that it updates, by name, and their optimiser, made by the component.

    With a `shard` this rank updates only some of them.
    """

    phase: Phase
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    component: Optimiser
    shard: Shard | None = None

    @property
    def name(self) -> str:
        """The phase's name."""
        return self.phase.name

    @property
    def rate(self) -> float:
        """The recipe's learning rate."""
        return self.component.rate

    @property
    def own(self) -> dict[str, nn.Parameter]:
        """The parameters that this rank updates, by name."""
        return self.parameters if self.shard is None else self.shard.own

    @property
    def exchanged(self) -> int:
        """Bytes of its gradients as ranks exchange them."""
        if self.shard is not None:
            return self.shard.layout.bytes
        return sum(one.numel() * one.element_size() for one in self.parameters.values())

    def norm(self) -> Tensor:
        """The Euclidean norm of all gradients together, a scalar."""
        return gradient_norm(self.parameters.values()) if self.shard is None else self.shard.norm()

    def update(self, *, fused: bool = False) -> None:
        """Take an optimiser step; if `fused`, it may be a faster version."""
        self.component.step(self.optimizer, fused=fused)
        self.spread()

    def guarded_update(self, flag: Tensor) -> None:
        """Take a step with an optimiser for `Optimiser.guarded_step`; if the flag is not 0, nothing changes."""
        self.component.guarded_step(self.optimizer, flag)
        self.spread()

    def spread(self) -> None:
        """Exchange the updated parameters, if every rank updates some of them."""
        if self.shard is not None:
            self.shard.spread()

    def set_rate(self, factor: float) -> float:
        """Set the learning rate to `factor` times the recipe's, and return it."""
        rate = self.rate * factor
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return rate


def trained_phases(model: Model, config: TrainConfig, ranks: Ranks = ALONE) -> list[TrainedPhase]:
    """The model's phases with their optimisers, whose state several ranks divide if `train.shard` says so.

    Raises:
        RecipeError: if `train.optimizers` names a phase that the model does not have.
        UsageError: if ranks cannot divide the state of an optimiser.
        ValueError: if two phases have the same name, or one has nothing to train.
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
    found = [_trained(phase, config.optimizers.get(phase.name, config.optimizer), name_of) for phase in phases]
    sums = [0] * ranks.size
    return found if ranks.alone or config.shard == "none" else [_sharded(trained, ranks, sums) for trained in found]


def _sharded(trained: TrainedPhase, ranks: Ranks, sums: list[int]) -> TrainedPhase:
    if not trained.component.separate:
        raise UsageError(
            "ranks cannot divide the state of this optimiser",
            where="train.shard",
            found=f"{type(trained.component).__name__} for the phase '{trained.name}', which does not state that it "
            "updates each parameter separately (Optimiser.separate)",
            expected="adam, adamw, sgd, rmsprop, or another one that states it",
            hint="train.shard=none",
        )
    return replace(trained, shard=Shard(ranks, trained.parameters, sums))


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
    """The component's optimiser for some parameters.

    Raises:
        PluginError: if `make` fails, or returns anything but a torch.optim.Optimizer.
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
    """`clip` without reading the norm: the factor is 1 if the norm is small enough."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, (largest / norm).clamp_max(1.0))


def optimizer_tensors(phases: Iterable[TrainedPhase]) -> dict[str, Tensor]:
    """The state that this rank keeps of all optimisers, named PHASE/KEY/PARAMETER.

    Raises:
        PluginError: if one keeps anything but tensors and None, which would be lost on resumption.
    """
    found: dict[str, Tensor] = {}
    for trained in phases:
        for name, parameter in trained.own.items():
            for key, value in trained.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    found[f"{trained.name}/{key}/{name}"] = value
                elif value is not None:
                    blamed = Blamed.of("optimiser", trained.component)
                    said = f"its state '{key}' is of type {type(value).__name__}"
                    raise blamed.error(
                        "keeps what no checkpoint can hold", said, "tensors: a count is a float32 tensor"
                    )
    return found


def load_optimizer_tensors(phases: Iterable[TrainedPhase], tensors: Mapping[str, Tensor], where: str) -> None:
    """Load the state that this rank keeps of all optimisers from the tensors of all, named by `optimizer_tensors`.

    Raises:
        CheckpointError: if a tensor belongs to no parameter, or has another shape.
    """
    states: dict[tuple[str, str], dict[str, Tensor]] = {}
    for label, value in tensors.items():
        phase, key, name = label.rsplit("/", 2)
        states.setdefault((phase, name), {})[key] = value
    for trained in phases:
        own = {name: states.pop((trained.name, name), {}) for name in trained.parameters}
        trained.component.check_state(own, trained.parameters, f"{where}, {trained.name}")
        names = {id(parameter): name for name, parameter in trained.parameters.items()}
        order = [names[id(one)] for group in trained.optimizer.param_groups for one in group["params"]]
        numbered = {
            number: {key: value.clone() for key, value in own[name].items()}
            for number, name in enumerate(order)
            if own[name] and name in trained.own
        }
        groups = trained.optimizer.state_dict()["param_groups"]
        trained.optimizer.load_state_dict({"state": numbered, "param_groups": groups})
    if states:
        extra = ", ".join("/".join(place) for place in list(states)[:5])
        raise CheckpointError("the optimiser's state belongs to another model", where=where, found=extra)
