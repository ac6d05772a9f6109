"""Views that put elements where they do not belong: a crop at the wrong end, a reshape that scatters sites."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from pixkit.readiness.elements.homes import Homes
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.slots import axes_of
from pixkit.readiness.elements.tape import View

Timely = Callable[[Tensor, Place], bool]
"""Whether an element is in time, given the homes of the tensor that lies at a place."""


class Views:
    """The views of a run, and the homes of what lay in them."""

    def __init__(self, views: Sequence[View], homes: Homes) -> None:
        self.views, self.homes = views, homes

    def made_late(self, place: Place, during: range, timely: Timely) -> View | None:
        """The view that put an element where it is late; None if there is none.

        Args:
            place: where the element was read.
            during: numbers of the operations before which the views were made.
            timely: whether the element is in time at a place.
        """
        for number in self._chain(place, during):
            view = self.views[number]
            places = zip(self.homes.viewed[number], (view.source, view.result), strict=True)
            if [timely(self.homes.anchored(homes), there) for homes, there in places] == [True, False]:
                return view
        return None

    def scattered(self, place: Place, before: int) -> View | None:
        """The view that spread the sites of a tensor over more slots than there are sites: slots hold several."""
        sites = len(self.homes.steps) - 1
        for number in self._chain(place, range(before + 1)):
            if _slots(self.homes.viewed[number][0]) <= sites < _slots(self.homes.viewed[number][1]):
                return self.views[number]
        return None

    def _chain(self, place: Place, during: range) -> Iterator[int]:
        """Numbers of the views by which a tensor came to lie at a place, in order."""
        found: list[int] = []
        for number in reversed(range(len(self.views))):
            view = self.views[number]
            if view.at in during and view.result == place:
                found.append(number)
                place = view.source
        return reversed(found)


def _slots(homes: Tensor) -> int:
    """How many slots there are along the axes along which homes differ."""
    return math.prod(homes.shape[axis] for axis in axes_of(homes))
