"""Propagates readiness through one operation after another."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator

from pixkit.errors import message
from pixkit.modes import taken_apart
from pixkit.readiness.elements import asking, marking, notes
from pixkit.readiness.elements.catching import may_raise
from pixkit.readiness.elements.marked import Asked, Marked, Operations, mark, plainly, replaced, tensors_in
from pixkit.readiness.elements.marks import LATEST, UNWRITTEN, Call, Marks, Rule, listed, mixed, plain, spoilt, uniform
from pixkit.readiness.elements.noting import Noting
from pixkit.readiness.elements.operation import Description, describe, plainly_called
from pixkit.readiness.elements.performed import Performed
from pixkit.readiness.elements.relying import relied_on
from pixkit.readiness.elements.rules import UNSETTLED
from pixkit.readiness.elements.rules.deciding import deciding
from pixkit.readiness.elements.rules.factories import unwritten
from pixkit.readiness.elements.signs import latest_sign, tells_sign, told
from pixkit.readiness.elements.tape import Record, View


class Carrying(Noting):
    """Runs operations, and marks the tensors that they return and write.

    Attributes:
        tape: operations that computed or wrote something, in order.
        views: operations that computed nothing, but made a tensor lie in another one.
        performed: the trace of the call's operations, if requested.
    """

    def __init__(self, names: dict[int, str], outermost: FrameType) -> None:
        super().__init__(names, outermost)
        self.tape: list[Record] = []
        self.views: list[View] = []
        self.performed: Performed | None = None
        self._lock = threading.RLock()
        self._over = self._unwritten = self._checks = False
        self._made: list[weakref.ref[Marked]] = []

    def give(self, tensor: Tensor, ready: Tensor, fixed: Tensor) -> None:
        """Mark a tensor that a run begins with: its memory, which may be uninitialised."""
        self.storages.made(tensor).write(tensor, ready, fixed)
        self._unwritten |= bool((ready >= UNWRITTEN).any())

    def made(self, tensor: Marked) -> None:
        """Register a tensor that was just marked."""
        self._made.append(weakref.ref(tensor))

    @property
    def kept(self) -> list[Marks]:
        """Marked tensors that are still alive: after a call, something has kept them for the next one."""
        there = [tensor for each in self._made if (tensor := each()) is not None]
        with plainly():
            return list(map(self.storages.marks, there))

    def over(self) -> None:
        """End the run: tensors that outlive it behave like any others."""
        self._over = True

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], alone: bool = False) -> Any:
        """Run an operation of torch, and mark its results.

        Where the modes are not active, as in other threads, operations on unmarked tensors are not seen.
        """
        if isinstance(func, HigherOrderOperator):
            with Operations(self), Asked(self):
                return taken_apart(func, args, kwargs)
        with self._lock, plainly():
            if self._over:
                return func(*args, **kwargs)
            about = describe(func)
            if alone and any(not isinstance(tensor, Marked) for tensor in about.written(args, kwargs)):
                self.note(notes.MEMORY, str(func), "a tensor is written to where its later use is not seen")
            try:
                return self.one_line(lambda: self._performed(func, about, args, kwargs))
            except Exception:
                self.deciding(func, about.views, list(map(self.storages.marks, tensors_in((args, kwargs)))))
                raise

    def ask(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a torch function that Python code called with tensors."""
        return asking.ask(self, func, args, kwargs)

    def escape(self, tensor: Tensor, name: str) -> None:
        """Values of a tensor are about to leave torch: only fixed ones may."""
        with plainly():
            self.look([self.storages.marks(tensor)], notes.HOST, name)

    def raw(self, name: str) -> None:
        """Note an uninitialised array."""
        self.note(notes.UNWRITTEN, name)

    def expose(self, name: str) -> None:
        """The memory of a tensor is about to be exposed."""
        self.note(notes.MEMORY, name)

    def keep(self, tensor: Tensor, moves: bool) -> None:
        """A tensor is about to get another storage, or to be written to."""
        with plainly():
            self.storages.keep(tensor, moves=moves)

    def unmarked(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call one_hot as it is called with unmarked tensors: it takes another path for a subclass.

        If it knows the number of classes, the numbers that it passes to Python only decide whether it raises an error.
        """
        classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
        with plainly():
            args, kwargs = replaced((args, kwargs), lambda tensor: tensor.detach())
        self._checks = type(classes) is int and classes >= 0
        try:
            return func(*args, **kwargs)
        finally:
            self._checks = False

    def _performed(self, func: Any, about: Description, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.performed is None:
            return self._operate(func, about, args, kwargs)
        return self.performed.perform(func, args, kwargs, lambda: self._operate(func, about, args, kwargs))

    def _operate(self, func: Any, about: Description, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        read = list(tensors_in((args, kwargs)))
        self.require_strides(read, func)
        reached = len(self.storages.reached)
        if about.views and not about.foreign:
            return self._viewed(func, args, kwargs, read, reached)
        inputs = tuple(self.storages.held(tensor) for tensor in read)
        before = {id(tensor): held.marks for tensor, held in zip(read, inputs, strict=True)}
        self.reached(func, reached)
        written = list(about.written(args, kwargs))
        for tensor in written:
            self.storages.keep(tensor, moves=about.moves)
            self.storages.of(tensor).beyond = UNWRITTEN + len(self.tape) if about.moves else 0
        if written and not about.moves:
            overwritten = {self.storages.of(tensor).number for tensor in written}
            for tensor in read:
                if self.storages.of(tensor).number in overwritten:
                    before[id(tensor)] = self.storages.copied(before[id(tensor)])
        read_kwargs = {name: value for name, value in kwargs.items() if name not in about.out}
        marked = replaced((args, read_kwargs), lambda tensor: before[id(tensor)])
        call = Call(about.functional, *told(about, self.tape, self.storages, *marked), ())
        if (about.numbers and not self._checks) or about.sized:
            self.look(deciding(func, call), notes.HOST if about.numbers else notes.SHAPE, str(func))
        self.deciding(func, not may_raise(call), call.marks)
        copies = [tensor.clone() for tensor in read] if about.foreign else []
        result = plainly_called(func, args, kwargs) if about.foreign else func(*args, **kwargs)
        written += [tensor for tensor, copy in zip(read, copies, strict=False) if not torch.equal(tensor, copy)]
        given = tuple(tensors_in(result)) or tuple(written)
        self.require_strides(given, func)
        if about.moves and any(self.storages.grows(tensor, UNWRITTEN + len(self.tape)) for tensor in written):
            self._unwritten = True
            self.tape.append(Record(str(func), inputs, (), self.line(), call.kept(), known=True))
        if given and not about.views and not about.moves:
            call = replace(call, results=tuple(map(plain, given)))
            ruled = self._ruled(func, about, call)
            marked = tuple(marking.marked(self.storages, call, ruled, given, written))
            if marked:
                self.tape.append(Record(str(func), inputs, marked, self.line(), call.kept(), about.rule is not None))
        return replaced(result, lambda tensor: tensor if id(tensor) in before else mark(tensor, self))

    def _viewed(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], read: list[Tensor], reached: int
    ) -> Any:
        """A tensor in the storage of an argument needs no marks of its own."""
        for tensor in read:
            self.storages.of(tensor)
        self.reached(func, reached)
        result = func(*args, **kwargs)
        self.require_strides(tensors_in(result), func)
        if any(tensor.dtype != read[0].dtype for tensor in tensors_in(result)):
            late, marks = latest_sign(self.tape, self.storages), self.storages.marks(read[0])
            if any(tells_sign(marks, tensor, late) for tensor in tensors_in(result)):
                self.note(notes.MEMORY, str(func), "numbers of another type distinguish 0.0 from -0.0")
        source, line = self.storages.place(read[0]), self.line()
        places = map(self.storages.place, tensors_in(result))
        self.views += [View(len(self.tape), str(func), source, place, line) for place in places if place != source]
        return replaced(result, lambda tensor: mark(tensor, self))

    def _ruled(self, func: Any, about: Description, call: Call) -> list[Marks]:
        """The result of the rule, or the default where there is none."""
        if about.draws(call):
            self.note(notes.RANDOM, str(func))
        if about.rule is unwritten:  # the record about to be added
            self._unwritten = True
            return [uniform(result, UNWRITTEN + len(self.tape)) for result in call.results]
        found = ""
        try:
            if about.rule is not None:
                return self._said(about.rule, call)
        except Exception as error:  # as if there were no rule
            found = message(error)
        if about.foreign:  # it may read anything, such as state kept by an earlier call
            self.note(notes.UNKNOWN, str(func))
            return [uniform(result, LATEST) for result in call.results]
        if found or not call.marks or any(each.latest for each in call.marks):
            self.note(notes.UNKNOWN, str(func), found)
        return list(map(Marks.unfixed, mixed(call)))

    def _said(self, rule: Rule, call: Call) -> list[Marks]:
        """A rule's result, noting the constants without whose values it would differ."""
        found = listed(rule(call))
        computing = self._unwritten and call.func.overloadpacket not in UNSETTLED
        if computing and any(each.latest >= UNWRITTEN for each in call.marks):
            found = [*map(spoilt, found, listed(rule(call.unfixed())))]
        for marks, result in zip(found, call.results, strict=True):
            marks.ready.expand(result.shape)
        sources = {id(each): self.storages.of(each.value).sources - self.relies_on for each in call.marks}
        if any(sources.values()):
            self.relies_on |= relied_on(rule, call, found, sources)
        return found
