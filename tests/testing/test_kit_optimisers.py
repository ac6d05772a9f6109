"""What is wrong with an optimiser or a schedule is found by its contract, and said."""

import pytest
import torch

from pixkit.components.config import ComponentConfig
from pixkit.optimisers import SGD, Optimiser, Schedule
from pixkit.testing import check_optimiser, check_schedule, component


class Plain(torch.optim.Optimizer):
    """A foreign optimiser, with a running mean and a count."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for one in group["params"]:
                if one.grad is not None:
                    self.move(group, one, self.state[one])

    def move(self, group, one, state):
        mean = state.setdefault("mean", torch.zeros_like(one))
        count = state.setdefault("count", torch.zeros(()))
        mean.lerp_(one.grad, 0.5)
        count += 1
        one.sub_(mean / (1 - 0.5**count) * group["lr"])


class Foreign(Optimiser):
    """Of a plugin."""

    cls = Plain

    def make(self, parameters):
        return self.cls(parameters, self.config.lr)


def with_step(move, base=Plain):
    return type("Other", (Foreign,), {"__doc__": "x", "cls": type("Stepping", (base,), {"move": move})})


def uphill(self, group, one, state):
    one.add_(one.grad * group["lr"])


def at_its_own_rate(self, group, one, state):
    one.sub_(one.grad * 0.01)


def counting_in_python(self, group, one, state):
    state["count"] = state.get("count", 0) + 1
    one.sub_(one.grad * group["lr"] / state["count"])


def keeping_beside(self, group, one, state):
    """What is kept elsewhere is lost."""
    self.beside = getattr(self, "beside", {})
    self.beside[one] = self.beside.get(one, 0) + one.grad
    one.sub_(self.beside[one] * group["lr"])


def in_whole_numbers(self, group, one, state):
    count = state.setdefault("count", torch.zeros((), dtype=torch.int64))
    count += 1
    one.sub_(one.grad * group["lr"] / count)


def with_a_slash(self, group, one, state):
    state["a/b"] = one.grad.clone()
    one.sub_(one.grad * group["lr"])


class Heedless(Foreign):
    """It makes a step whatever the flag says."""

    def guarded_step(self, optimizer, flag):
        optimizer.step()


class Late(Foreign):
    """It takes weights back, but not what it keeps."""

    def guarded_step(self, optimizer, flag):
        before = [one.detach().clone() for group in optimizer.param_groups for one in group["params"]]
        optimizer.step()
        for one, kept in zip((one for group in optimizer.param_groups for one in group["params"]), before, strict=True):
            one.data.copy_(kept if flag > 0 else one)


class Another(Foreign):
    """With a flag it is another optimiser."""

    def make_guarded(self, parameters, device):
        return SGD(SGD.Config(lr=self.config.lr)).make(parameters)


class Shrinking(Plain):
    def step(self, closure=None):
        super().step()
        for one in self.param_groups[0]["params"]:
            one.data.mul_(0.99)


class Idle(Foreign):
    """It changes weights that have no gradient."""

    cls = Shrinking


class Scaling(Plain):
    def step(self, closure=None):
        total = sum(float(one.grad.norm()) for one in self.param_groups[0]["params"] if one.grad is not None)
        for one in self.param_groups[0]["params"]:
            if one.grad is not None:
                one.grad = one.grad / (1 + total)
        super().step()


class Joint(Foreign):
    """A step depends on all gradients."""

    cls, separate = Scaling, True


def test_a_foreign_optimiser_keeps_the_contract():
    check_optimiser(component("optimiser", Foreign, lr=0.05))


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (with_step(uphill), "steps raise the loss"),
        (with_step(at_its_own_rate), "a learning rate of 0 moves matrix"),
        (with_step(counting_in_python), "the optimiser keeps 'count', int: a tensor is needed"),
        (with_step(keeping_beside), "steps differ after resuming from the saved state: matrix"),
        (with_step(in_whole_numbers), "steps differ after resuming from the saved state: main/count/"),
        (with_step(with_a_slash), "a name without '/' is needed"),
        (Heedless, "a flagged first step changes matrix"),
        (Late, "a flagged first step changes main/mean/matrix"),
        (Another, "the steps of `make_guarded` differ from those of `make`"),
        (Joint, "it is `separate`, but steps differ if other weights have no gradient"),
        (Idle, "a weight without a gradient is changed"),
    ],
)
def test_what_is_wrong_with_an_optimiser_is_said(cls, said):
    with pytest.raises(AssertionError, match=said):
        check_optimiser(component("optimiser", cls, lr=0.05))


def schedule(fraction, **attributes):
    body = {"__doc__": "A test's.", "Config": ComponentConfig, "factor": fraction, **attributes}
    return component("schedule", type("Shaped", (Schedule,), body))


def counted(self, step, steps):
    self.calls = getattr(self, "calls", 0) + 1
    return 1 / self.calls


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (lambda self, step, steps: -0.1, r"factor\(1, 1\) is -0.1"),
        (lambda self, step, steps: float("nan"), r"factor\(1, 1\) is nan"),
        (lambda self, step, steps: float("inf") if step == 3 else 1, r"factor\(3, 3\) is inf"),
        (lambda self, step, steps: None, r"factor\(1, 1\) is None"),
        (lambda self, step, steps: 0, "none of 1 steps has a rate above 0"),
        (counted, "called again, it returns other factors for 1 steps"),
        (lambda self, step, steps: step / steps, "set `ends = True`"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(fraction, said):
    with pytest.raises(AssertionError, match=said):
        check_schedule(schedule(fraction))


def test_a_schedule_that_ends_may_depend_on_the_number_of_steps():
    check_schedule(schedule(lambda self, step, steps: step / steps, ends=True))
