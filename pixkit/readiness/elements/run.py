"""Running a module while readiness is carried through every operation."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pixkit.readiness.elements.marked import Asked, Marked, Operations, mark, plainly, replaced, tensors_in
from pixkit.readiness.elements.marks import LATEST, Call, Marks, mixed, uniform
from pixkit.readiness.elements.operation import Description, describe
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.rules.deciding import deciding
from pixkit.readiness.elements.storages import Storages
from pixkit.readiness.elements.tape import Held, Line, Record, line_here


@dataclass(frozen=True)
class Given:
    """An argument whose elements become known one after another.

    Attributes:
        value: the tensor.
        steps: integers of its shape: when each element becomes known; negative for those that are always known.
    """

    value: Tensor
    steps: Tensor


@dataclass(frozen=True)
class Noted:
    """Something that nothing can be proved of.

    Attributes:
        kind: "host" (values that are not fixed left torch), "shape" (a shape depends on them), "unknown" (an operation
            that nobody knows), or "random" (random numbers are drawn).
        op: the operation or function.
        line: who asked for it.
    """

    kind: str
    op: str
    line: Line


@dataclass
class Run:
    """A run of a module, and what it noted down.

    Attributes:
        output: what the module gave; its tensors are marked.
        tape: operations that computed or wrote something, in order.
        noted: what nothing can be proved of, in order, each line once.
        relies_on: names of constants whose values were used: zeros, -inf, conditions, indices.
        start: where the (last) argument lay that becomes known step by step.
    """

    output: Any = None
    tape: list[Record] = field(default_factory=list)
    noted: list[Noted] = field(default_factory=list)
    relies_on: set[str] = field(default_factory=set)
    start: Place | None = None

    @classmethod
    def of(
        cls,
        module: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        fixed: Collection[str] = (),
    ) -> Run:
        """Run a module.

        Args:
            module: in the mode in which it is to be looked at; it is left as it was.
            args: its arguments, with `Given` for what becomes known step by step; other tensors are constants.
            kwargs: likewise.
            fixed: names of parameters that are taken for constants.
        """
        run = cls()
        run._enter(module, fixed)
        given_args, given_kwargs = (run._given(value) for value in (tuple(args), dict(kwargs or {})))
        with ExitStack() as stack:
            for context in (torch.no_grad(), torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH)):
                stack.enter_context(context)
            stack.callback(run._storages.restore)
            for mode in (Operations(run), Asked(run)):
                stack.enter_context(mode)
            run.output = module(*given_args, **given_kwargs)
        return run

    def held(self, tensor: Tensor) -> Held:
        """Where a tensor of the run lies, and its marks as they are now."""
        with plainly():
            return Held(self._storages.place(tensor), self._storages.marks(tensor))

    def _enter(self, module: Callable[..., Any], fixed: Collection[str]) -> None:
        self._storages = Storages()
        self._lock = threading.RLock()
        self._names: dict[int, str] = {}
        self._frame = sys._getframe(2)
        if isinstance(module, nn.Module):
            self._names = {id(part): path for path, part in module.named_modules()}
            for name, parameter in module.named_parameters():
                self._storages.met(parameter, fixed=name in fixed, name=name)
            for name, buffer in module.named_buffers():
                if not self._storages.knows(buffer):
                    self._storages.met(buffer, fixed=True, name=name)

    def _given(self, value: Any) -> Any:
        if isinstance(value, Given):
            tensor = value.value.clone()
            ready = (value.steps.to(torch.int64) + 1).clamp(min=0)
            self._storages.made(tensor).write(tensor, ready, torch.zeros_like(ready, dtype=torch.bool))
            self.start = self._storages.place(tensor)
            return mark(tensor, self)
        if isinstance(value, list | tuple):
            return type(value)(self._given(part) for part in value)
        if isinstance(value, dict):
            return {key: self._given(part) for key, part in value.items()}
        return value

    # What the modes hand over.

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation of torch, and mark what it gives."""
        with self._lock, plainly():
            about = describe(func)
            read = list(tensors_in((args, kwargs)))
            before = {id(tensor): self._storages.marks(tensor) for tensor in read}
            inputs = tuple(Held(self._storages.place(tensor), before[id(tensor)]) for tensor in read)
            written = list(self._written(about, args, kwargs))
            for tensor in written:
                self._storages.keep(tensor)
                before[id(tensor)] = _as_it_was(before[id(tensor)])
            if about.numbers or about.sized:
                asked = replaced((args, kwargs), lambda tensor: before[id(tensor)])
                self._look(about, func, deciding(func, Call(func, asked[0], asked[1], ())))
            result = func(*args, **kwargs)
            if not about.views and not about.moves:
                read_kwargs = {name: value for name, value in kwargs.items() if name not in about.out}
                marked = replaced((args, read_kwargs), lambda tensor: before[id(tensor)])
                called = Call(about.functional, marked[0], marked[1], tuple(tensors_in(result)) or tuple(written))
                self._mark(func, about, called, inputs, written)
            return replaced(result, lambda tensor: tensor if id(tensor) in before else mark(tensor, self))

    def ask(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of torch that Python code called."""
        return func(*args, **kwargs)

    def escape(self, tensor: Tensor, name: str) -> None:
        """Values of a tensor are about to leave torch: those that are not fixed must not."""
        with plainly():
            planes = self._storages.of(tensor)
            if self._storages.marks(tensor).all_fixed:
                self.relies_on |= planes.sources
            else:
                self._note("host", name)

    # One operation.

    def _written(self, about: Description, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if about.training is not None and not args[about.training]:
            return
        for place, name in about.writes:
            yield from tensors_in(args[place] if place < len(args) else kwargs.get(name))

    def _look(self, about: Description, func: Any, read: list[Marks]) -> None:
        """Values that become numbers or shapes: Python goes on with them."""
        if not all(each.all_fixed for each in read):
            self._note("host" if about.numbers else "shape", str(func))

    def _mark(self, func: Any, about: Description, call: Call, inputs: tuple[Held, ...], written: list[Tensor]) -> None:
        """Mark what an operation gave and wrote."""
        given = self._ruled(func, about, call)
        sources = frozenset[str]().union(*(self._storages.of(each.value).sources for each in call.marks))
        marked: list[Held] = []
        for tensor, marks in zip(call.results, given, strict=True):
            if self._storages.knows(tensor) and not any(tensor is each for each in written):
                continue  # it lies in what the operation read, whatever its schema says
            planes = self._storages.of(tensor) if self._storages.knows(tensor) else self._storages.made(tensor)
            ready = marks.ready.masked_fill(marks.fixed, 0) if marks.any_fixed else marks.ready
            planes.write(tensor, ready, marks.fixed)
            planes.sources |= sources if marks.any_fixed else frozenset()
            marked.append(Held(self._storages.place(tensor), Marks(ready, marks.fixed, tensor)))
        for tensor in written:
            if not any(tensor is each for each in call.results):
                worst = uniform(tensor, LATEST)
                self._storages.of(tensor).write(tensor, worst.ready, worst.fixed)
                marked.append(Held(self._storages.place(tensor), worst))
        if marked:
            self.tape.append(Record(str(func), inputs, tuple(marked), self._line(), call, about.rule is not None))

    def _ruled(self, func: Any, about: Description, call: Call) -> list[Marks]:
        """What the rule says, or what is said where there is none."""
        if about.random:
            self._note("random", str(func))
        if about.rule is not None:
            given = about.rule(call)
            found = [given] if isinstance(given, Marks) else list(given)
            if len(found) == len(call.results):
                return found
        if all(each.latest == 0 for each in call.marks) and not about.foreign:
            return mixed(call)
        self._note("unknown", str(func))
        return [uniform(result, LATEST) for result in call.results] if about.foreign else mixed(call)

    def _line(self) -> Line:
        return line_here(self._names, self._frame)

    def _note(self, kind: str, op: str) -> None:
        noted = Noted(kind, op, self._line())
        if noted not in self.noted:
            self.noted.append(noted)


def _as_it_was(marks: Marks) -> Marks:
    """Marks of a tensor that is about to be written to; its values are kept if they may be looked at."""
    return Marks(marks.ready, marks.fixed, marks.value.clone()) if marks.any_fixed else marks


__all__ = ["Given", "Marked", "Noted", "Run"]
