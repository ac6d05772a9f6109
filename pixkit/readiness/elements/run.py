"""Run a module while propagating readiness through every operation."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pixkit.errors import message
from pixkit.readiness.elements import notes
from pixkit.readiness.elements.arrays import raw_arrays
from pixkit.readiness.elements.carrying import Carrying
from pixkit.readiness.elements.found import PATTERNS, fill_free_memory
from pixkit.readiness.elements.left import Left, left
from pixkit.readiness.elements.marked import Asked, Operations, mark, plainly, replaced, tensors_in
from pixkit.readiness.elements.marks import UNWRITTEN
from pixkit.readiness.elements.notes import Noted
from pixkit.readiness.elements.performed import Performed, Performing, Step, names_of, parting
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.tape import Held, Line, Record, View, line_here, line_of
from pixkit.readiness.elements.untouched import untouched, unwritten, values_kept, written_in_training
from pixkit.readiness.settings import slow_paths, uncompiled

CALLS = 6
"""How many calls may change the state left for the next one."""


@dataclass(frozen=True)
class Given:
    """An argument whose elements become known one after another.

    Attributes:
        value: the tensor.
        steps: integers of its shape: when each element becomes known; negative for those that are always known.
    """

    value: Tensor
    steps: Tensor


@dataclass
class Run:
    """A run of a module, and what was recorded.

    Attributes:
        output: the module's output.
        tape: operations that computed or wrote something, in order.
        views: operations that computed nothing, but made a tensor lie in another one.
        noted: obstacles to a proof, in order, each line once.
        relies_on: names of constants whose values were used: zeros, -inf, conditions, indices.
        start: where the (last) argument lay that becomes known step by step.
    """

    output: Any
    tape: list[Record]
    views: list[View]
    noted: list[Noted]
    relies_on: set[str]
    start: Place | None
    _carrying: Carrying

    @classmethod
    def of(
        cls,
        module: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        fixed: Collection[str] = (),
    ) -> Run:
        """Run a module. Its parameters, buffers, attributes, training modes and the random state are left unchanged.

        A module that keeps state between calls is called again until the state no longer changes; the result combines
        what is known of the output in all calls.

        Args:
            module: in the mode in which it is to be examined.
            args: its arguments, with `Given` for those that become known step by step; other tensors are constants.
            kwargs: its keyword arguments, likewise.
            fixed: names of parameters to treat as constants.

        Raises:
            Exception: whatever the module raises on the same arguments without being followed. Errors raised only here
                are noted.
        """
        call = (tuple(args), dict(kwargs or {}))
        frame = sys._getframe()
        with _as_torch_is(gradients=False):
            run = cls._of(module, call, fixed, frame)
        failures = [noted.found for noted in run.noted if noted.kind == notes.FAILED]
        error = _error_of(module, call, gradients=False) if failures else None
        if error is None or message(error) not in failures:
            return run
        if _error_of(module, call, gradients=True) is not None:
            raise error
        with _as_torch_is(gradients=True):  # it takes gradients while it runs itself
            return cls._of(module, call, fixed, frame)

    @classmethod
    def _of(cls, module: Callable[..., Any], call: Any, fixed: Collection[str], frame: Any) -> Run:
        names = _names(module)
        carrying = Carrying(names, frame)
        plain_args, plain_kwargs = _replaced(call, lambda given: given.value.clone())
        trained = (
            written_in_training(module, plain_args, plain_kwargs) if isinstance(module, nn.Module) else frozenset()
        )
        _meet(module, carrying, fixed, trained)
        starts: list[Place] = []

        def begin(given: Given, performed: Performed) -> Tensor:
            tensor = performed.named(_copied(given))
            ready = (given.steps.to(torch.int64) + 1).clamp(min=0)
            carrying.give(tensor, ready, torch.zeros_like(ready, dtype=torch.bool))
            starts.append(carrying.storages.place(tensor))
            return mark(tensor, carrying)

        run = cls(None, carrying.tape, carrying.views, carrying.noted, carrying.relies_on, None, carrying)
        done: list[list[Step]] = []

        def called() -> Any:
            performed = carrying.performed = Performed(names_of(module), carrying.line)
            output = run._called(module, _replaced(call, lambda given: begin(given, performed)))
            done.append(performed.gave(output))
            return output

        with untouched(module) as changed, _carried(carrying):
            try:
                run._settle(module, called, changed, starts)
            except Exception as error:
                run._failed(error)
        sizes = {constant.untyped_storage().nbytes() for constant in run.constants.values()}
        for pattern in PATTERNS if sizes else PATTERNS[:1]:
            if not run.noted:
                fill_free_memory(sizes, pattern)
                otherwise = [*_otherwise(module, call, done, Performed(names_of(module)))]
                if otherwise:  # lines are needed only here
                    lined = Performed(names_of(module), lambda: line_here(names, frame))
                    otherwise = [*_otherwise(module, call, done, lined)] or otherwise
                run.noted.extend(otherwise)
        return run

    @property
    def constants(self) -> Mapping[str, Tensor]:
        """External tensors that it read and that are not buffers, by the names in `relies_on`."""
        return self._carrying.storages.constants

    def held(self, tensor: Tensor) -> Held:
        """The place of a tensor of the run, and its current marks."""
        return self._carrying.storages.held(tensor)

    def unwritten(self, ready: Tensor) -> Iterator[Noted]:
        """Operations that returned never-written memory which an output of this readiness may depend on."""
        for number in (ready[ready >= UNWRITTEN] - UNWRITTEN).unique().tolist():
            yield Noted(notes.UNWRITTEN, self.tape[number].op, self.tape[number].line)

    def _called(self, module: Callable[..., Any], call: Any) -> Any:
        with raw_arrays(module, self._carrying.raw), Operations(self._carrying), Asked(self._carrying):
            output = module(*call[0], **call[1])
        with plainly():
            return replaced(output, lambda tensor: tensor.detach())

    def _settle(self, module: Any, called: Callable[[], Any], changed: Callable[[], bool], starts: list[Place]) -> None:
        """Call it until a call leaves the same state as the call before: then the next one does the same."""
        now = self._left(module)
        for number in range(CALLS):
            if self._again(called()):
                self.start = starts[-1]
            before, now = now, self._left(module)
            if number and before.differing(now):
                gc.collect()  # free reference cycles, which no later call can use
                now = self._left(module)
            other = before.differing(now)
            alike = other is None and (number > 0 or not (now.written or changed()))
            if alike or (number and self.noted):
                return
            self._carrying.storages.unfix()
        assert other is not None
        self.noted.append(Noted(notes.KEPT, other[1], Line("", 0, "", other[0])))

    def _left(self, module: Any) -> Left:
        return left(module, self._carrying.kept, self._carrying.storages)

    def _again(self, output: Any) -> bool:
        """Combine what is known of the outputs of several calls; return whether an earlier one was later."""
        if self.output is None:
            self.output = output
            return True
        pairs = [
            (self.held(one), self.held(two)) for one, two in zip(*map(tensors_in, (self.output, output)), strict=False)
        ]
        alike = [one.marks.shape == two.marks.shape for one, two in pairs]
        if all(alike) and all(bool((one.marks.ready >= two.marks.ready).all()) for one, two in pairs):
            return False
        for (one, two), same in zip(pairs, alike, strict=True):
            if same:
                ready = torch.maximum(one.marks.ready, two.marks.ready)
                planes = self._carrying.storages.of(two.marks.value)
                planes.write(two.marks.value, ready, one.marks.fixed & two.marks.fixed)
        self.output = output
        return True

    def _failed(self, error: Exception) -> None:
        self.noted.append(Noted(notes.FAILED, type(error).__name__, line_of(error), message(error)))


def _otherwise(module: Callable[..., Any], call: Any, done: list[list[Step]], performed: Performed) -> Iterator[Noted]:
    """Note if a module behaves differently when it is not followed from the calls that were followed."""
    args, kwargs = _replaced(call, lambda given: performed.named(_copied(given)))
    try:
        with unwritten(module):
            with Performing(performed):
                output = module(*args, **kwargs)
            steps = performed.gave(output)  # before tensors are restored
    except Exception as error:
        yield Noted(notes.OTHERWISE, type(error).__name__, line_of(error), message(error))
        return
    apart = [parting(steps, each) for each in done]
    if None not in apart:
        step = next((step for step in apart[-1] or () if step.line.file), steps[-1])
        yield Noted(notes.OTHERWISE, step.op, step.line)


def _copied(given: Given) -> Tensor:
    """The same values at the same strides in every call."""
    return given.value.clone(memory_format=torch.contiguous_format)


@contextmanager
def _as_torch_is(gradients: bool) -> Iterator[None]:
    """Preserve the random state, and run code eagerly."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        # Created only inside: the constructor sets the mode, and the previous context would restore that at its end.
        stack.enter_context(torch.set_grad_enabled(gradients))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(slow_paths())
        # A module's own choice of kernel is not part of what it computes.
        stack.enter_context(patch.object(torch.nn.attention, "_sdpa_kernel", lambda *args, **kwargs: None, create=True))
        stack.enter_context(uncompiled())
        yield


@contextmanager
def _carried(carrying: Carrying) -> Iterator[None]:
    try:
        yield
    finally:
        carrying.over()
        carrying.storages.restore()


def _error_of(module: Callable[..., Any], call: Any, gradients: bool) -> Exception | None:
    """The error that the module raises without being followed, if any."""
    args, kwargs = _replaced(call, lambda given: given.value.clone())
    try:
        with (
            torch.set_grad_enabled(gradients),
            torch.random.fork_rng(devices=[]),
            untouched(module),
            values_kept(module),
        ):
            module(*args, **kwargs)
    except Exception as error:
        return error
    return None


def _names(module: Any) -> dict[int, str]:
    return {id(part): path for path, part in module.named_modules()} if isinstance(module, nn.Module) else {}


def _meet(module: Any, carrying: Carrying, fixed: Collection[str], trained: Collection[str]) -> None:
    if not isinstance(module, nn.Module):
        return
    for name, parameter in module.named_parameters():
        if not carrying.storages.knows(parameter):
            carrying.storages.met(parameter, fixed=name in fixed, name=name)
    for name, buffer in module.named_buffers():
        if not carrying.storages.knows(buffer):
            carrying.storages.met(buffer, fixed=name not in trained, name=name)


def _replaced(value: Any, change: Callable[[Given], Tensor]) -> Any:
    """A value with a tensor for every `Given` in it."""
    if isinstance(value, Given):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, change) for part in value)
    if isinstance(value, dict):
        return {key: _replaced(part, change) for key, part in value.items()}
    return value
