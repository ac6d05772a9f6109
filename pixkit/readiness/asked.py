"""The question that `prove` is asked, validated: the input, its steps, and what each output may depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.errors import UsageError
from pixkit.readiness.untraceable import require_called

Output = str | int | None
"""Which of several output tensors: its key or index; None for the first."""


@dataclass(frozen=True)
class Question:
    """A module, an input and its steps; `steps` is int64 with the input's shape."""

    module: Callable[..., Any]
    x: Tensor
    steps: Tensor
    out_steps: Tensor | None
    strict: bool
    output: Output

    def chosen(self, given: Any) -> Tensor:
        """Return the output tensor that the question is about.

        Raises:
            UsageError: if the output has no such tensor.
        """
        found = next(_tensors(given), None) if self.output is None else _part(given, self.output)
        if isinstance(found, Tensor):
            return found
        what = "contains no tensor" if self.output is None else f"has no tensor {self.output!r}"
        raise UsageError(
            f"the module's output {what}",
            where="output",
            found=_described(given),
            expected="a tensor, or a tuple, list or dictionary with one",
            hint="output=KEY for a tensor of a dictionary, output=0 for the first of a tuple",
        )

    def allowed(self, shape: torch.Size) -> Tensor:
        """Return the readiness that each output element may have, int64 with the output's shape.

        Raises:
            UsageError: if `out_steps` (or `steps`, its default) does not fit the output.
        """
        if self.out_steps is None:
            if self.steps.shape != shape:
                raise UsageError(
                    "the shapes of the output and the steps differ",
                    where="out_steps",
                    found=f"output {list(shape)}, steps {list(self.steps.shape)}",
                    expected="out_steps: a step for each output element, in a tensor that broadcasts to the output",
                    hint=_guess(self.steps.shape, shape),
                )
            steps = self.steps
        else:
            steps = _spread(self.out_steps, shape, "out_steps", "output")
        return steps if self.strict else steps + 1


def question(
    module: Callable[..., Any], x: Tensor, steps: Tensor, *, out_steps: Tensor | None, strict: bool, output: Output
) -> Question:
    """Validate the arguments and return the question.

    Raises:
        UsageError: if `x` is not a tensor, if the module is lazy and was never called, or if steps are not integers,
            are negative, or do not fit.
    """
    if isinstance(module, type):
        raise UsageError("this is a class", where="module", found=module.__name__, expected="an instance of it")
    if not callable(module):
        raise UsageError("this cannot be called", where="module", found=type(module).__name__, expected="an nn.Module")
    if isinstance(module, nn.Module):
        require_called(module, "module", "module(x)")
    if not isinstance(x, Tensor):
        raise UsageError(
            "the input is not a tensor",
            where="x",
            found=type(x).__name__,
            expected="one tensor, the module's only argument",
            hint="for several inputs, wrap the module in one that holds the others as buffers",
        )
    for name, given in (("steps", steps), ("out_steps", out_steps)):
        if given is not None:
            _require_steps(name, given)
    known = _spread(steps, x.shape, "steps", "input")
    return Question(module, x, known, None if out_steps is None else out_steps.cpu().long(), bool(strict), output)


def _require_steps(name: str, given: Any) -> None:
    if not isinstance(given, Tensor) or given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        found = str(given.dtype) if isinstance(given, Tensor) else type(given).__name__
        raise UsageError("steps are not integers", where=name, found=found, expected="an integer tensor")
    if given.numel() and int(given.min()) < 0:
        raise UsageError("a step is negative", where=name, found=str(int(given.min())), expected="steps >= 0")


def _spread(steps: Tensor, shape: torch.Size, name: str, of: str) -> Tensor:
    try:
        return steps.cpu().long().broadcast_to(shape)
    except RuntimeError as error:
        raise UsageError(
            f"{name} does not fit the {of}",
            where=name,
            found=str(list(steps.shape)),
            expected=f"{list(shape)}, or a shape that broadcasts to it",
            hint=_guess(steps.shape, shape),
        ) from error


def _guess(found: torch.Size, shape: torch.Size) -> str | None:
    """Suggest how to adapt steps to an output with more axes or with one shorter axis, where that is obvious."""
    if len(found) < len(shape) and tuple(shape[: len(found)]) == tuple(found):
        return f"out_steps=steps[{', '.join(['...', *['None'] * (len(shape) - len(found))])}], equal for all features"
    if len(found) == len(shape):
        other = [axis for axis, (a, b) in enumerate(zip(found, shape, strict=True)) if a != b]
        if len(other) == 1:
            return f"out_steps=steps.narrow({other[0]}, 0, 1), if steps are equal along axis {other[0]}"
    return None


def _tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping | tuple | list):
        for part in given.values() if isinstance(given, Mapping) else given:
            yield from _tensors(part)


def _part(given: Any, key: str | int) -> Any:
    try:
        return getattr(given, key) if isinstance(key, str) and not isinstance(given, Mapping) else given[key]
    except (AttributeError, KeyError, IndexError, TypeError):
        return None


def _described(given: Any) -> str:
    if isinstance(given, Mapping):
        return f"a dictionary of {', '.join(map(str, given))}"
    return f"{type(given).__name__} of {len(given)}" if isinstance(given, tuple | list) else type(given).__name__
