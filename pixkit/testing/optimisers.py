"""The contracts of optimisers and schedules."""

from __future__ import annotations

import math

import safetensors.torch
import torch
from torch import Tensor, nn

from pixkit.components.spec import ComponentSpec
from pixkit.models.phase import Phase
from pixkit.optimisers import Optimiser, Schedule
from pixkit.testing.configs import check_config
from pixkit.training.guard import guarded
from pixkit.training.optim import TrainedPhase, load_optimizer_tensors, made, optimizer_tensors

STEPS = 6
LONG = (1, 2, 3, 10, 101)
"""Numbers of steps to test schedules with."""


def check_optimiser(optimiser: ComponentSpec) -> None:
    """Check everything that pixkit requires of an optimiser, on a small linear problem on the CPU.

    Steps lower the loss, at the rate in the parameter groups; a rate of 0 changes nothing, and a weight without a
    gradient is not changed. The state consists of tensors that checkpoints can hold, and steps resumed from it are the
    same, bit for bit. If it is `separate`, so are a weight's steps when the others have no gradient. A step whose flag
    is set changes neither weights nor state.

    Raises:
        AssertionError: naming the requirement that fails.
    """
    check_config(optimiser)
    whole = _Problem(optimiser.build())
    losses = [whole.step() for _ in range(STEPS)]
    assert losses[-1] < losses[0], f"{STEPS} steps raise the loss from {losses[0]:.6g} to {losses[-1]:.6g}"
    assert torch.equal(whole.idle, torch.ones(3)), "a weight without a gradient is changed"
    _check_kept(whole)
    _check_rate(optimiser)
    _check_resumed(optimiser, whole)
    _check_separate(optimiser)
    _check_flag(optimiser)


class _Problem:
    """Least squares in two weights of different shapes, and a third that has no gradient."""

    def __init__(self, component: Optimiser, *, with_flag: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x, self.y = (torch.randn(16, size, generator=generator) for size in (4, 3))
        self.matrix, self.shift, self.idle = (nn.Parameter(torch.ones(*size)) for size in ((3, 4), (3,), (3,)))
        named = {"matrix": self.matrix, "shift": self.shift, "idle": self.idle}
        phase = Phase("main", list(named.values()), lambda batch, step: {})
        trained = TrainedPhase(phase, named, made(component, named.values()), component)
        self.trained = guarded(trained) if with_flag else trained

    def step(self, flag: float | None = None, factor: float = 1.0) -> float:
        """Take a step; return the loss before it."""
        loss = self.backward()
        self.trained.set_rate(factor)
        if flag is None:
            self.trained.update()
        else:
            self.trained.component.guarded_step(self.trained.optimizer, torch.tensor(flag))
        return loss

    def backward(self) -> float:
        """Compute the gradients; return the loss."""
        loss = (self.x @ self.matrix.T + self.shift - self.y).square().mean()
        self.trained.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return float(loss.detach())

    def tensors(self) -> dict[str, Tensor]:
        """Copies of the weights and the optimiser's state, by name."""
        kept = optimizer_tensors([self.trained])
        return {name: one.detach().clone() for name, one in {**self.trained.parameters, **kept}.items()}


def _check_kept(problem: _Problem) -> None:
    for state in problem.trained.optimizer.state.values():
        for key, value in state.items():
            assert isinstance(key, str) and "/" not in key, f"the optimiser keeps {key!r}: a name without '/' is needed"
            assert isinstance(value, Tensor), f"the optimiser keeps '{key}', {type(value).__name__}: a tensor is needed"
    safetensors.torch.save({name: one.contiguous() for name, one in problem.tensors().items()})


def _check_rate(optimiser: ComponentSpec) -> None:
    still = _Problem(optimiser.build())
    before = still.tensors()
    still.step(factor=0.0)
    moved = [name for name in still.trained.parameters if not torch.equal(still.tensors()[name], before[name])]
    assert not moved, f"a learning rate of 0 moves {moved[0]}: steps must use the 'lr' of the parameter groups"


def _check_resumed(optimiser: ComponentSpec, whole: _Problem) -> None:
    first, second = _Problem(optimiser.build()), _Problem(optimiser.build())
    for _ in range(STEPS // 2):
        first.step()
    saved = safetensors.torch.load(safetensors.torch.save(first.tensors()))
    with torch.no_grad():
        for name, weight in second.trained.parameters.items():
            weight.copy_(saved.pop(name))
    load_optimizer_tensors([second.trained], saved, "the checkpoint")
    for _ in range(STEPS - STEPS // 2):
        second.step()
    _check_same(second.tensors(), whole.tensors(), "steps differ after resuming from the saved state")


def _check_separate(optimiser: ComponentSpec) -> None:
    whole = _Problem(optimiser.build())
    if not whole.trained.component.separate:
        return
    parts = {name: _Problem(optimiser.build()) for name in ("matrix", "shift")}
    for _ in range(STEPS):
        whole.backward()
        for name, part in parts.items():
            gradient = whole.trained.parameters[name].grad
            assert gradient is not None
            part.trained.parameters[name].grad = gradient.clone()
            part.trained.update()
        whole.trained.update()
    for name, part in parts.items():
        found, expected = (
            {key: one for key, one in each.tensors().items() if key.endswith(name)} for each in (part, whole)
        )
        _check_same(found, expected, "it is `separate`, but steps differ if other weights have no gradient")


def _check_flag(optimiser: ComponentSpec) -> None:
    plain, one = _Problem(optimiser.build()), _Problem(optimiser.build(), with_flag=True)
    before = one.tensors()
    one.step(flag=1.0)
    for name, value in one.tensors().items():
        assert torch.equal(value, before.get(name, torch.zeros_like(value))), f"a flagged first step changes {name}"
    for _ in range(2):
        plain.step()
        one.step(flag=0.0)
    before = one.tensors()
    one.step(flag=1.0)
    _check_same(one.tensors(), before, "a step whose flag is set is not skipped")
    for name, weight in one.trained.parameters.items():
        close = torch.allclose(weight, plain.trained.parameters[name], rtol=1e-4, atol=1e-6)
        assert close, f"the steps of `make_guarded` differ from those of `make`: {name}"


def _check_same(found: dict[str, Tensor], expected: dict[str, Tensor], rule: str) -> None:
    assert found.keys() == expected.keys(), f"{rule}: {sorted(found.keys() ^ expected.keys())[0]}"
    wrong = [name for name, one in found.items() if one.dtype != expected[name].dtype or not one.equal(expected[name])]
    assert not wrong, f"{rule}: {wrong[0]}"


def check_schedule(schedule: ComponentSpec) -> None:
    """Check everything that pixkit requires of a schedule.

    In runs of 1 to 101 steps, its factors are finite and at least 0, and at least one is above 0. They are the same in
    any order of calls and from another object. Unless it `ends`, they do not depend on the total number of steps.

    Raises:
        AssertionError: naming the requirement that fails.
    """
    check_config(schedule)
    built: Schedule = schedule.build()
    for steps in LONG:
        found = [built.factor(step, steps) for step in range(1, steps + 1)]
        for step, factor in enumerate(found, 1):
            right = isinstance(factor, int | float) and 0 <= factor < math.inf
            assert right, f"factor({step}, {steps}) is {factor!r}, not a finite number of at least 0"
        assert max(found) > 0, f"none of {steps} steps has a rate above 0"
        again, other = ([one.factor(step, steps) for step in range(steps, 0, -1)] for one in (built, schedule.build()))
        assert again[::-1] == found == other[::-1], f"called again, it returns other factors for {steps} steps"
        if not built.ends:
            longer = [built.factor(step, 2 * steps) for step in range(1, steps + 1)]
            assert longer == found, "it depends on the total number of steps: set `ends = True`"
