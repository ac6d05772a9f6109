"""The line to blame for a leak: the one after which nothing can repair it.

Many operations that read ahead are innocent. A convolution padded on both sides returns more than it was given: cropped
at the end, it is causal. A block's mean is in time for the next block. The state of one site is the input of the next.
So an operation is to blame only if its result is late where it stands: for its **home** (homes.py), the site of the
slot that it lies in. Views are checked as well: a value that was in time where an operation returned it, and is late
where a view has put it, was cropped, flipped or scattered wrongly there.

A line in a function may be right for one caller and wrong for another. If some call of it does no harm, the line is
innocent, and the line that calls the function is to blame (callers.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tag, Tensor

from pixkit.readiness.elements.callers import responsible
from pixkit.readiness.elements.homes import Homes
from pixkit.readiness.elements.path import Index, Pass
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.replay import replayed
from pixkit.readiness.elements.slots import PRODUCTS, ROWS
from pixkit.readiness.elements.tape import Held, Line, Record, View
from pixkit.readiness.elements.viewing import Views

MOVERS = frozenset({
    *("flip", "roll", "rot90", "index", "index_select", "gather", "take", "take_along_dim", "sort", "cat", "stack"),
    *("scatter", "index_put", "index_add", "index_copy", "constant_pad_nd", "reflection_pad1d", "replication_pad1d"),
    *("upsample_nearest1d", "upsample_nearest2d", "repeat"),
})  # fmt: skip
"""Operations that may put an element where another one belongs."""
JOINS = frozenset({"where", "masked_fill", "add", "sub", "mul"})


@dataclass(frozen=True)
class Leak:
    """A late output element and the path to it.

    Attributes:
        records: the operations of the run.
        views: those that computed nothing.
        way: the operations that the leak passed through, in order.
        homes: the homes of elements.
        output: the module's output.
        index: the late element.
        step: the step of that element.
        strict: whether it must not depend on elements of its own step.
    """

    records: Sequence[Record]
    views: Sequence[View]
    way: Sequence[Pass]
    homes: Homes
    output: Held
    index: Index
    step: int
    strict: bool

    def blamed(self) -> tuple[Line, str]:
        """The line to blame, and its operation.

        1. The last operation that made a value late for its home from values that were in time; or the view, if a
           result is in time but not where it is read. For a strict module, "in time" first means ready by the step of
           its home, then also a value that carries its own site, which only its readers have to hide.
        2. Where a late branch joins one that is in time: the operation that last moved the late branch, if that is not
           where it belongs; else the operation that mixed sites on it, if it is late only by its own site; else the
           join.
        3. The operation that last moved sites, if the output is not where it belongs.
        4. Where everything is late by its own site, the first operation that mixes sites, preferably on the path; the
           last operation if none does.

        If a function is called elsewhere without harm, the line that calls it.
        """
        for slack in (0, 1) if self.strict else (1,):
            timely = [*(self._in_time(step, slack) for step in self.way), self._output_in_time(slack)]
            for place in reversed(range(len(self.way))):
                if timely[place] and not timely[place + 1]:
                    found = self._viewed(place, slack) or self.records[(self._mover(place) or self.way[place]).number]
                    return self._answers(found, slack), found.op
        step = self._joined() or self._misplaced()
        found = self.records[self._mixing() if step is None else step.number]
        return self._answers(found, 0 if step is None and self.strict else 1), found.op

    def _answers(self, found: Record | View, slack: int) -> Line:
        return responsible(found.line, self.records, lambda other: self._harmless(other, slack))

    def _harmless(self, number: int, slack: int) -> bool:
        """Whether no result of an operation is late for its home."""
        for place, held in enumerate(self.records[number].results):
            homes, ready = self.homes.given(number, place), held.marks.ready
            if bool((ready > self.homes.steps[homes] + slack)[homes > 0].any()):
                return False
            if not bool(homes.any()) and int(ready.amax()) > 0 and bool((ready == ready.amax()).all()):
                return False
        return True

    def _viewed(self, place: int, slack: int) -> View | None:
        """The view that made a result on the path late, or that put several sites into one slot."""
        step, views = self.way[place], Views(self.views, self.homes)
        held = self.records[step.number].results[step.result[0]]
        ready = int(held.marks.ready[step.result[1]])

        def timely(homes: Tensor, there: Place) -> bool:
            found = there.index(address)
            home = 0 if found is None else int(homes[found])
            return home > 0 and ready <= int(self.homes.steps[home]) + slack

        read, index, before = self._reading(place + 1)
        address = read.address(index)
        if timely(self.homes.given(step.number, step.result[0]), held.place):
            return views.made_late(read, range(step.number + 1, before + 1), timely)
        read, _, before = self._reading(place)
        return views.scattered(read, before)

    def _reading(self, place: int) -> tuple[Place, Index, int]:
        """The element read after `place` operations of the path: its place, its index, and the reading operation."""
        if place == len(self.way):
            return self.output.place, self.index, len(self.records)
        step = self.way[place]
        return self.records[step.number].inputs[step.source[0]].place, step.source[1], step.number

    def sees_itself(self) -> bool:
        """Whether the whole path stays at one site, so that nothing hides an output's own input from it."""
        sites = {int(self.homes.read[step.number][step.source[0]][step.source[1]]) for step in self.way}
        return len(sites | {self._home_of_output()}) == 1

    def _in_time(self, step: Pass, slack: int) -> bool:
        """Whether an operation's input is ready by the step of its home; without one, whether all steps are equal."""
        place, index = step.source
        ready, home = (
            self.records[step.number].inputs[place].marks.ready,
            int(self.homes.read[step.number][place][index]),
        )
        if home:
            return int(ready[index]) <= int(self.homes.steps[home]) + slack
        return slack == 1 and bool((ready != ready.flatten()[0]).any())

    def _output_in_time(self, slack: int) -> bool:
        home = self._home_of_output()
        return home > 0 and int(self.output.marks.ready[self.index]) <= int(self.homes.steps[home]) + slack

    def _home_of_output(self) -> int:
        return int(self.homes.at_output(self.output.place)[self.index])

    def _joined(self) -> Pass | None:
        for place in reversed(range(len(self.way))):
            if self._timely_others(self.way[place]):
                return self._mover(place) or self._mixed_before(place) or self.way[place]
        return None

    def _mixed_before(self, place: int) -> Pass | None:
        """The operation that mixed sites on a branch that is late only by its own site."""
        if not all(self._in_time(step, 1) for step in self.way):
            return None
        mixing = self.homes.mixing
        return next((step for step in self.way[:place] if bool(mixing[step.number][step.result[0]].any())), None)

    def _mixes(self, step: Pass) -> bool:
        return bool(self.homes.mixing[step.number][step.result[0]][step.result[1]])

    def _mover(self, place: int) -> Pass | None:
        """The operation that moved the late branch of a join away from where it belongs, if it did."""
        step = self.way[place]
        others = self._timely_others(step)
        if not others or int(self.homes.read[step.number][step.source[0]][step.source[1]]) in others:
            return None
        moved = [at for at in range(place) if self._name(self.way[at]) in MOVERS and self._moves(at)]
        return self.way[moved[-1]] if moved else None

    def _moves(self, place: int) -> bool:
        after = self.way[place + 1]
        return self.homes.moved(self.homes.read[after.number][after.source[0]])

    def _timely_others(self, step: Pass) -> set[int]:
        """Homes of the inputs in time that an operation joins with a late one."""
        record, name = self.records[step.number], self._name(step)
        own = step.source[0]
        allowed = self.step + (0 if self.strict else 1)
        assembled = name in ("cat", "stack")
        if not assembled and Tag.pointwise not in record.call.func.tags and name not in JOINS:
            return set()
        found = set()
        for place, held in enumerate(record.inputs):
            homes, ready = self.homes.read[step.number][place], held.marks.ready
            if place == own:
                continue
            if assembled:
                site = int(self.homes.read[step.number][own][step.source[1]])
            else:
                alone = [
                    ready if at == place else torch.zeros_like(each.marks.ready)
                    for at, each in enumerate(record.inputs)
                ]
                if not int(replayed(record, alone)[step.result[0]][step.result[1]]):
                    continue
                site = int(homes.broadcast_to(record.results[step.result[0]].place.shape)[step.result[1]])
            beside = ready[(homes == site) & (ready > 0) & bool(site)]
            if beside.numel() and int(beside.max()) <= allowed:
                found.add(site)
        return found

    def _misplaced(self) -> Pass | None:
        home = self._home_of_output()
        if not home or int(self.homes.steps[home]) <= self.step:
            return None
        return next((step for step in reversed(self.way) if self._name(step) in MOVERS), None)

    def _mixing(self) -> int:
        """The first operation that mixes sites, else the last one. For attention, the softmax, not the product."""
        on_way = [step.number for step in self.way if self._mixes(step)]
        anywhere = [number for number, each in enumerate(self.homes.mixing) if any(bool(part.any()) for part in each)]
        mixing = on_way or anywhere
        if not mixing:
            return self.way[-1].number
        names = [record.call.func.overloadpacket.__name__ for record in self.records]
        if names[mixing[0]] in PRODUCTS:
            between = itertools.takewhile(lambda place: names[place] not in PRODUCTS, range(mixing[0] + 1, len(names)))
            return next((place for place in between if names[place] in ROWS), mixing[0])
        return mixing[0]

    def _name(self, step: Pass) -> str:
        return str(self.records[step.number].call.func.overloadpacket.__name__)
