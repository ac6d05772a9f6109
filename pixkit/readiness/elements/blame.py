"""Who is to blame for a leak: the operation that made something late out of what was in time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tag

from pixkit.readiness.elements.homes import PRODUCTS, ROWS, Homes
from pixkit.readiness.elements.path import Index, Pass
from pixkit.readiness.elements.replay import replayed
from pixkit.readiness.elements.tape import Held, Record

MOVERS = frozenset({
    *("flip", "roll", "rot90", "index", "index_select", "gather", "take", "take_along_dim", "sort", "cat", "stack"),
    *("scatter", "index_put", "index_add", "index_copy", "constant_pad_nd", "reflection_pad1d", "replication_pad1d"),
    *("upsample_nearest1d", "upsample_nearest2d", "repeat"),
})  # fmt: skip
"""Operations that may put an element where another one belongs."""
JOINS = frozenset({"where", "masked_fill", "add", "sub", "mul"})


@dataclass(frozen=True)
class Leak:
    """A late output element and the way to it.

    Attributes:
        records: the operations of the run.
        way: those that the leak went through, the first first.
        homes: where elements belong.
        output: what the module gave.
        index: the late element.
        step: the step of that element.
        strict: whether it may not depend on elements of its own step.
    """

    records: Sequence[Record]
    way: Sequence[Pass]
    homes: Homes
    output: Held
    index: Index
    step: int
    strict: bool

    def blamed(self) -> int:
        """The number of the operation that is to blame.

        1. The last one that made late, for its home, what was in time. Of a strict module, "in time" is first what is
           ready by the step of its home, then also what carries its own site, which only its readers have to hide.
        2. Where a late branch joins one that is in time: what last moved the late branch, if it is not where it
           belongs, else the join.
        3. What last moved sites, if the output is not where it belongs.
        4. Where everything is late by its own site, the first operation that mixes sites, on the way if there is one
           there; the last one if none does.
        """
        for slack in (0, 1) if self.strict else (1,):
            timely = [*(self._in_time(step, slack) for step in self.way), self._output_in_time(slack)]
            for place in reversed(range(len(self.way))):
                if timely[place] and not timely[place + 1]:
                    return (self._mover(place) or self.way[place]).number
        found = self._joined() or self._misplaced()
        return self._mixing() if found is None else found.number

    def sees_itself(self) -> bool:
        """Whether everything on the way is of one site: nothing hides an output's own input from it."""
        sites = {int(self.homes.read[step.number][step.source[0]][step.source[1]]) for step in self.way}
        return len(sites | {self._home_of_output()}) == 1

    def _in_time(self, step: Pass, slack: int) -> bool:
        """Whether what an operation read is ready by the step of its home; of what has none, whether all is alike."""
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
                return self._mover(place) or self.way[place]
        return None

    def _mover(self, place: int) -> Pass | None:
        """What put the late branch of a join where it does not belong, if it is not where it belongs."""
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
        """Homes of what an operation joins with what is late, and what is in time."""
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
            beside = ready[(homes == site) & (ready > 0)] if site else ready[:0]
            if beside.numel() and int(beside.max()) <= allowed:
                found.add(site)
        return found

    def _misplaced(self) -> Pass | None:
        home = self._home_of_output()
        if not home or int(self.homes.steps[home]) <= self.step:
            return None
        return next((step for step in reversed(self.way) if self._name(step) in MOVERS), None)

    def _mixing(self) -> int:
        """The first operation that mixes sites, or the last one. Of attention, the softmax and not the product."""
        on_way = [
            step.number for step in self.way if bool(self.homes.mixing[step.number][step.result[0]][step.result[1]])
        ]
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
