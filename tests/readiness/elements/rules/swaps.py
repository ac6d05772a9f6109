"""Which elements of a result an operation's arguments really change, by swapping each for others; what a rule says."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pixkit.readiness.elements.marks import Call, Marks
from pixkit.readiness.elements.rules import rule_of


@dataclass(frozen=True)
class Known:
    """A tensor of which some elements, or all, are fixed."""

    value: Tensor
    fixed: Tensor | bool = True


@dataclass(frozen=True)
class Answer:
    """What a rule says of all results, and what swaps show, for several orders of the elements.

    `ready` and `fixed` are [orders, results], `changed` [results, elements], and `steps` [orders, elements].
    """

    ready: Tensor
    fixed: Tensor
    changed: Tensor
    steps: Tensor

    @property
    def sound(self) -> bool:
        """Whether nothing changes that is said to be fixed, or to be ready before."""
        return not (self.changed & ((self.ready[..., None] < self.steps[:, None]) | self.fixed[..., None])).any()

    @property
    def exact(self) -> bool:
        """Whether each result is ready with the last element that changes it, and fixed if there is none."""
        return torch.equal(self.ready, self.needed) and torch.equal(self.fixed[0], ~self.changed.any(1))

    @property
    def said(self) -> tuple[int, int]:
        """How late all results are ready, added up over the orders, and how many are fixed."""
        return int(self.ready.sum()), int(self.fixed.sum())

    @property
    def needed(self) -> Tensor:
        """The step of the last element that changes each result, [orders, results]."""
        steps = torch.where(self.changed, self.steps[:, None], 0)
        return steps.amax(2) if steps.shape[2] else torch.zeros_like(self.ready)


def ask(func, args, kwargs=None, others=0, first=None) -> Answer:
    """Run an operation, its rule, and the operation again for each element that is not fixed.

    The last is done once more for each of `others` other values of all elements, if an element may count beside some
    values alone. Of the results, only the `first` ones are looked at.
    """
    draws = torch.Generator().manual_seed(0)
    leaves, tree = pytree.tree_flatten((args, kwargs or {}), is_leaf=lambda leaf: isinstance(leaf, Known))
    leaves = [Known(leaf, False) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    given = [leaf.value.contiguous() if isinstance(leaf, Known) else leaf for leaf in leaves]
    free = [(i, place) for i, leaf in enumerate(leaves) if isinstance(leaf, Known) for place in places_of(leaf)]

    def run(values):
        values = [value.clone() if isinstance(value, Tensor) else value for value in values]
        args, kwargs = pytree.tree_unflatten(values, tree)
        return tuple(leaf for leaf in pytree.tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor))[:first]

    base = run(given)
    orders = torch.stack([torch.randperm(len(free), generator=draws) for _ in range(4)])
    told = [said(func, *pytree.tree_unflatten(marked(given, free, order), tree), base) for order in orders]
    changed = []
    for values in [given, *(redrawn(given, free, draws) for _ in range(others))]:
        base, found = run(values), []
        for i, place in free:
            swaps = [swapped(values[i], place, k, draws) for k in range(3)]
            runs = [tried(run, [*values[:i], swap, *values[i + 1 :]], base) for swap in swaps]
            found.append(torch.stack([differs(base, other) for other in runs]).any(0))
        changed.append(torch.stack(found, 1) if found else torch.zeros(told[0][0].shape[0], 0, dtype=torch.bool))
    ready, fixed = (torch.stack(plane) for plane in zip(*told, strict=True))
    return Answer(ready, fixed, torch.stack(changed).any(0), orders)


def tried(run, values, base):
    """What a run gives; what it gave before if torch refuses these values."""
    try:
        return run(values)
    except (RuntimeError, IndexError):
        return base


def redrawn(values, free, draws):
    """Other values at all free places at once."""
    values = list(values)
    for i, place in free:
        which = int(torch.randint(4, (), generator=draws))
        values[i] = swapped(values[i], place, which, draws) if which < 3 else values[i]
    return values


def marked(given, free, order):
    """Values with marks: those at free places are ready in the order that is given, the others fixed."""
    ready = [torch.full(v.shape, -1) if isinstance(v, Tensor) else None for v in given]
    for (i, place), step in zip(free, order.tolist(), strict=True):
        ready[i].view(-1)[place] = step
    return [v if r is None else Marks(r.clamp_min(0), r < 0, v) for r, v in zip(ready, given, strict=True)]


def places_of(leaf):
    free = ~(torch.zeros(leaf.value.shape, dtype=torch.bool) | leaf.fixed)
    return free.flatten().nonzero()[:, 0].tolist()


def said(func, args, kwargs, results):
    """Both planes of all results, as the rule says."""
    found = rule_of(func)(Call(func, args, kwargs, results))
    found = [found] if isinstance(found, Marks) else list(found)
    assert len(found) == len(results)
    assert all(marks.ready.dtype is torch.int64 and marks.fixed.dtype is torch.bool for marks in found)
    shapes = [result.shape for result in results]
    return [
        torch.cat([getattr(m, plane).expand(shape).flatten() for m, shape in zip(found, shapes, strict=True)])
        for plane in ("ready", "fixed")
    ]


def swapped(values, place, which, draws):
    """A copy with another value at a place."""
    other = values.clone()
    flat = other.view(-1)
    if values.dtype is torch.bool:
        flat[place] = ~flat[place]
    elif values.is_floating_point() or values.is_complex():
        drawn = torch.randn((), generator=draws, dtype=torch.float64)
        finite = flat[place].nan_to_num(0, 0, 0) if not values.is_complex() else flat[place]
        flat[place] = (finite + 0.1 + drawn.abs(), 30 * drawn, -finite - 0.5)[which % 3]
    else:
        flat[place] = torch.randint(int(flat.min()), int(flat.max()) + 1, (), generator=draws)
    return other


def differs(one, other):
    """Which elements differ; all of them where shapes do."""
    if any(a.shape != b.shape for a, b in zip(one, other, strict=True)):
        return torch.ones(sum(a.numel() for a in one), dtype=torch.bool)
    return torch.cat([((a != b) & ~((a != a) & (b != b))).flatten() for a, b in zip(one, other, strict=True)])
