"""Carrying readiness through one operation after another."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator

from pixkit.errors import message
from pixkit.readiness.elements import asking, notes
from pixkit.readiness.elements.catching import caught, may_raise
from pixkit.readiness.elements.constants import where_held
from pixkit.readiness.elements.marked import Asked, Marked, Operations, mark, plainly, replaced, tensors_in
from pixkit.readiness.elements.marks import LATEST, UNWRITTEN, Call, Marks, Rule, listed, mixed, spoilt, uniform, within
from pixkit.readiness.elements.notes import Noted
from pixkit.readiness.elements.operation import Description, describe, plainly_called, strideless, taken_apart
from pixkit.readiness.elements.performed import Performed
from pixkit.readiness.elements.planes import Planes
from pixkit.readiness.elements.relying import relied_on
from pixkit.readiness.elements.rules import UNSETTLED
from pixkit.readiness.elements.rules.deciding import deciding
from pixkit.readiness.elements.rules.factories import unwritten
from pixkit.readiness.elements.signs import latest_sign, tells_sign, with_sign
from pixkit.readiness.elements.storages import Storages
from pixkit.readiness.elements.tape import Held, Line, Record, View, line_here


class Unfollowed(Exception):
    """A run cannot go on; why has been noted."""


class Carrying:
    """Runs operations, and marks what they give and write.

    Attributes:
        storages: planes of all storages.
        tape: operations that computed or wrote something, in order.
        views: operations that computed nothing, but made a tensor lie in another one.
        noted: what nothing can be proved of, in order, each line once.
        relies_on: names of constants whose values were used.
        performed: what a call of the module comes to, if that is asked.
    """

    def __init__(self, names: dict[int, str], outermost: FrameType) -> None:
        self.storages = Storages(lambda tensor: where_held(tensor, sys._getframe(), outermost, names))
        self.tape: list[Record] = []
        self.views: list[View] = []
        self.noted: list[Noted] = []
        self.relies_on: set[str] = set()
        self.performed: Performed | None = None
        self._names, self._outermost = names, outermost
        self._lock = threading.RLock()
        self._over = self._unwritten = self._checks = False
        self._made: list[weakref.ref[Marked]] = []

    def give(self, tensor: Tensor, ready: Tensor, fixed: Tensor) -> None:
        """Mark a tensor that a run begins with: its memory, in which perhaps nothing has been written."""
        self.storages.made(tensor).write(tensor, ready, fixed)
        self._unwritten |= bool((ready >= UNWRITTEN).any())

    def made(self, tensor: Marked) -> None:
        """A tensor has been marked."""
        self._made.append(weakref.ref(tensor))

    @property
    def kept(self) -> list[Marks]:
        """Marked tensors that are still there: after a call, somebody has kept them for the next one."""
        there = [tensor for each in self._made if (tensor := each()) is not None]
        with plainly():
            return list(map(self.storages.marks, there))

    def over(self) -> None:
        """The run is over: tensors that somebody has kept of it are like any others."""
        self._over = True

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], alone: bool = False) -> Any:
        """Run an operation of torch, and mark what it gives.

        Where the modes are not active, as in other threads, nobody sees what is done to tensors that are not marked.
        """
        if isinstance(func, HigherOrderOperator):
            with Operations(self), Asked(self):
                return taken_apart(func, args, kwargs)
        with self._lock, plainly():
            if self._over:
                return func(*args, **kwargs)
            about = describe(func)
            if alone and any(not isinstance(tensor, Marked) for tensor in about.written(args, kwargs)):
                self.note(notes.MEMORY, str(func), "a tensor is written to where nobody sees what becomes of it")
            try:
                if self.performed is None:
                    return self._operate(func, about, args, kwargs)
                return self.performed.perform(func, args, kwargs, lambda: self._operate(func, about, args, kwargs))
            except Exception:
                self._deciding(func, about.views, list(map(self.storages.marks, tensors_in((args, kwargs)))))
                raise

    def ask(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of torch that Python code called with tensors."""
        return asking.ask(self, func, args, kwargs)

    def escape(self, tensor: Tensor, name: str) -> None:
        """Values of a tensor are about to leave torch: those that are not fixed must not."""
        with plainly():
            self._look([self.storages.marks(tensor)], notes.HOST, name)

    def raw(self, name: str) -> None:
        """An array has been made in which nothing has been written."""
        self.note(notes.UNWRITTEN, name)

    def expose(self, name: str) -> None:
        """The memory of a tensor is about to be given away."""
        self.note(notes.MEMORY, name)

    def keep(self, tensor: Tensor, moves: bool) -> None:
        """A tensor is about to be given another storage, or to be written to."""
        with plainly():
            self.storages.keep(tensor, moves=moves)

    def unmarked(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call one_hot as it is called with tensors that are not marked: it goes another way for a subclass's.

        If it knows the number of classes, the numbers that it takes to Python raise an error, or nothing comes of them.
        """
        classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
        with plainly():
            args, kwargs = replaced((args, kwargs), lambda tensor: tensor.detach())
        self._checks = type(classes) is int and classes >= 0
        try:
            return func(*args, **kwargs)
        finally:
            self._checks = False

    def _operate(self, func: Any, about: Description, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        read = list(tensors_in((args, kwargs)))
        self._require_strides(read, func)
        reached = len(self.storages.reached)
        if about.views and not about.foreign:
            return self._viewed(func, args, kwargs, read, reached)
        before = {id(tensor): self.storages.marks(tensor) for tensor in read}
        inputs = tuple(Held(self.storages.place(tensor), before[id(tensor)]) for tensor in read)
        self._note_reached(func, reached)
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
        call = Call(about.functional, *self._signed(about, *marked), ())
        if (about.numbers and not self._checks) or about.sized:
            self._look(deciding(func, call), notes.HOST if about.numbers else notes.SHAPE, str(func))
        self._deciding(func, not may_raise(call), call.marks)
        copies = [tensor.clone() for tensor in read] if about.foreign else []
        result = plainly_called(func, args, kwargs) if about.foreign else func(*args, **kwargs)
        written += [tensor for tensor, copy in zip(read, copies, strict=False) if not torch.equal(tensor, copy)]
        given = tuple(tensors_in(result)) or tuple(written)
        self._require_strides(given, func)
        if about.moves and any(self.storages.grows(tensor, UNWRITTEN + len(self.tape)) for tensor in written):
            self._unwritten = True
            self.tape.append(Record(str(func), inputs, (), self.line(), call.kept(), known=True))
        if given and not about.views and not about.moves:
            call = replace(call, results=tuple(map(_plain, given)))
            ruled = self._ruled(func, about, call)
            marked = tuple(self._marked(call, ruled, given, written))
            if marked:
                self.tape.append(Record(str(func), inputs, marked, self.line(), call.kept(), about.rule is not None))
        return replaced(result, lambda tensor: tensor if id(tensor) in before else mark(tensor, self))

    def _viewed(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], read: list[Tensor], reached: int
    ) -> Any:
        """What lies in the storage of an argument needs no marks of its own."""
        for tensor in read:
            self.storages.of(tensor)
        self._note_reached(func, reached)
        result = func(*args, **kwargs)
        self._require_strides(tensors_in(result), func)
        if any(tensor.dtype != read[0].dtype for tensor in tensors_in(result)):
            late, marks = latest_sign(self.tape, self.storages), self.storages.marks(read[0])
            if any(tells_sign(marks, tensor, late) for tensor in tensors_in(result)):
                self.note(notes.MEMORY, str(func), "numbers of another kind tell 0.0 from -0.0")
        source, line = self.storages.place(read[0]), self.line()
        places = map(self.storages.place, tensors_in(result))
        self.views += [View(len(self.tape), str(func), source, place, line) for place in places if place != source]
        return replaced(result, lambda tensor: mark(tensor, self))

    def _note_reached(self, func: Any, reached: int) -> None:
        if len(self.storages.reached) > reached:
            self.note(notes.MEMORY, str(func), "a tensor lies in memory that was reached by an address")

    def _signed(
        self, about: Description, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments in which an operation tells 0.0 from -0.0 are less known, and later."""
        if not about.signed:
            return args, kwargs
        late = latest_sign(self.tape, self.storages) if about.telling or about.cuts else 0

        def signed(n: int, marks: Marks) -> Marks:
            marks = self.storages.signed(marks)
            tells = n in about.telling or (about.cuts and marks.value.is_complex())
            return with_sign(marks, late) if tells and late else marks

        looked = (within(part, partial(signed, n)) if n in about.signed else part for n, part in enumerate(args))
        return tuple(looked), within(kwargs, partial(signed, len(args)))

    def _marked(self, call: Call, ruled: list[Marks], given: Sequence[Tensor], written: list[Tensor]) -> Iterator[Held]:
        """Mark what an operation gave and wrote."""
        for tensor, marks in zip(given, ruled, strict=True):
            known = self.storages.knows(tensor)
            if known and not any(tensor is each for each in written):
                continue  # it lies in what the operation read, whatever its schema says
            planes = self.storages.of(tensor) if known else self.storages.made(tensor)
            yield self._put(planes, tensor, marks)
            if marks.any_fixed:
                planes.settled = max(planes.settled, self._settled(call, tensor))
                planes.sources = planes.sources.union(*(self.storages.of(each.value).sources for each in call.marks))
        for tensor in written:
            if not any(tensor is each for each in given):
                yield self._put(self.storages.of(tensor), tensor, uniform(tensor, LATEST))

    def _settled(self, call: Call, result: Tensor) -> int:
        if not (result.is_floating_point() or result.is_complex()):
            return 0
        of_others = [each.latest for each in call.marks if not each.all_fixed]
        return max([*of_others, *(self.storages.of(each.value).settled for each in call.marks)], default=0)

    def _put(self, planes: Planes, tensor: Tensor, marks: Marks) -> Held:
        ready, shape = marks.ready, tensor.shape
        planes.write(tensor, ready, marks.fixed)
        return Held(self.storages.place(tensor), Marks(ready.expand(shape), marks.fixed.expand(shape), _plain(tensor)))

    def _ruled(self, func: Any, about: Description, call: Call) -> list[Marks]:
        """What the rule says, or what is said where there is none."""
        if about.draws(call):
            self.note(notes.RANDOM, str(func))
        if about.rule is unwritten:  # the record that is about to be added
            self._unwritten = True
            return [uniform(result, UNWRITTEN + len(self.tape)) for result in call.results]
        found = ""
        try:
            if about.rule is not None:
                return self._said(about.rule, call)
        except Exception as error:  # what a rule cannot follow is not known, as if there were none
            found = message(error)
        if about.foreign:  # it may read what it likes, such as what an earlier call of it has kept
            self.note(notes.UNKNOWN, str(func))
            return [uniform(result, LATEST) for result in call.results]
        if found or not call.marks or any(each.latest for each in call.marks):
            self.note(notes.UNKNOWN, str(func), found)
        return list(map(Marks.unfixed, mixed(call)))

    def _said(self, rule: Rule, call: Call) -> list[Marks]:
        """What a rule says; and the constants without whose values it would say something else."""
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

    def note(self, kind: str, op: str, found: str = "") -> None:
        """Note it, once for each line."""
        noted = Noted(kind, op, self.line(), found)
        if noted not in self.noted:
            self.noted.append(noted)

    def _deciding(self, func: Any, never: bool, read: list[Marks]) -> None:
        """Values decide whether an operation raises an error: none may if somebody's code goes on after it."""
        if not never and not all(each.all_fixed for each in read) and caught(self.line()):
            self.note(notes.HOST, str(func), "whether it raises an error, which is caught")

    def _look(self, read: list[Marks], kind: str, op: str) -> None:
        """Values become numbers or shapes, with which Python goes on."""
        if all(self.storages.signed(each).all_fixed for each in read):
            self.relies_on.update(*(self.storages.of(each.value).sources for each in read))
        else:
            self.note(kind, op)

    def _require_strides(self, tensors: Iterable[Tensor], func: Any) -> None:
        for found in filter(None, map(strideless, tensors)):
            self.note(notes.MEMORY, str(func), f"a tensor whose elements do not lie at strides: {found}")
            raise Unfollowed(f"{func}: readiness cannot be followed in a {found} tensor")

    def line(self) -> Line:
        """The line of somebody's code that is being run."""
        return line_here(self._names, self._outermost)


def _plain(tensor: Tensor) -> Tensor:
    return tensor if type(tensor) is Tensor else tensor.detach()
