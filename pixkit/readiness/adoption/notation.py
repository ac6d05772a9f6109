"""Einstein notation: sums of one tensor, and products of matrices two at a time."""

from __future__ import annotations

import string
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.linear import summed
from pixkit.readiness.adoption.products import product
from pixkit.readiness.adoption.scores import Scores
from pixkit.readiness.adoption.separable import Mixed

Operand = Tensor | Known | Scores


def einsum(builder: Builder, given: dict[str, Any]) -> Any:
    """Addresses of `torch.einsum`, with arguments by ATen's names."""
    names, out = _letters(given["equation"].replace(" ", ""), [len(_shape(each)) for each in given["tensors"]])
    if any(len(set(term)) < len(term) for term in (*names, out)):
        raise Mixed("which names an axis twice")
    parts = [
        _alone(builder, operand, term, "".join(names[:place] + names[place + 1 :]) + out)
        for place, (operand, term) in enumerate(zip(given["tensors"], names, strict=True))
    ]
    found, term = parts[0]
    for place, (other, name) in enumerate(parts[1:], 2):
        left = "".join(each for _, each in parts[place:]) + out
        found, term = _pair(builder, (found, term), (other, name), left, out if place == len(parts) else None)
    return found if term == out else found.permute([term.index(letter) for letter in out])


def _letters(equation: str, axes: list[int]) -> tuple[list[str], str]:
    """The letters of each tensor and of the result, with ellipses expanded."""
    terms, arrow, out = equation.partition("->")
    names = terms.split(",")
    if not arrow:
        once = sorted(letter for letter in set(terms) - set(",.") if terms.count(letter) == 1)
        out = ("..." if "..." in terms else "") + "".join(once)
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    longest = max((count - len(name.replace(".", "")) for name, count in zip(names, axes, strict=True)), default=0)
    rest = "".join(spare[:longest])
    filled = []
    for name, count in zip(names, axes, strict=True):
        own = count - len(name.replace(".", ""))
        filled.append(name.replace("...", rest[longest - own :]))
    return filled, out.replace("...", rest)


def _alone(builder: Builder, operand: Any, term: str, others: str) -> tuple[Any, str]:
    """A tensor summed over the axes that no other tensor has."""
    axes = [place for place, letter in enumerate(term) if letter not in others]
    if not axes:
        return operand, term
    left = "".join(letter for letter in term if letter in others)
    if isinstance(operand, Known):
        value = operand.value.sum(axes)
        return Known(value, torch.full(value.shape, operand.all_fixed)), left
    if isinstance(operand, Scores):
        raise Mixed("which does not treat products of queries and keys row by row")
    return summed(builder, operand, axes), left


def _pair(
    builder: Builder, one: tuple[Any, str], other: tuple[Any, str], left: str, out: str | None
) -> tuple[Any, str]:
    """The product of two tensors, summed over axes that are not left, and its letters."""
    (first, name), (second, named) = one, other
    shared = [letter for letter in name if letter in named and letter in left]
    added = [letter for letter in name if letter in named and letter not in left]
    rows, columns = ([letter for letter in term if letter not in (*shared, *added)] for term in (name, named))
    order = "".join((*shared, *rows, *columns))
    if isinstance(first, Known) and isinstance(second, Known):
        value = torch.einsum(f"{name},{named}->{order}", first.value, second.value)
        return Known(value, torch.full(value.shape, first.all_fixed and second.all_fixed)), order
    sizes = dict(zip(name + named, (*_shape(first), *_shape(second)), strict=True))
    matrices = (_as_matrices(first, name, (shared, rows, added)), _as_matrices(second, named, (shared, added, columns)))
    found = product(builder, *matrices)
    if not isinstance(found, Scores):
        return found.reshape([sizes[letter] for letter in order]), order
    if len(rows) == len(columns) == 1 and out in (None, order):
        return found, order
    raise Mixed("which returns products of queries and keys in an order other than row by row")


def _shape(operand: Operand) -> torch.Size:
    return operand.value.shape if isinstance(operand, Known) else operand.shape


def _as_matrices(operand: Any, term: str, parts: tuple[list[str], list[str], list[str]]) -> Any:
    """A tensor with axes named by a term, rearranged to these axes, each of the last two parts merged into one."""
    shared, first, second = parts
    order = [term.index(letter) for letter in (*shared, *first, *second)]

    def moved(plane: Tensor) -> Tensor:
        placed = plane.permute(order)
        kept = placed.shape[: len(shared)]
        rows = placed.shape[len(shared) : len(shared) + len(first)].numel()
        return placed.reshape(*kept, rows, -1)

    if isinstance(operand, Known):
        return Known(moved(operand.value), moved(operand.fixed))
    if isinstance(operand, Scores):
        if order != list(range(len(order))) or len(first) != 1 or len(second) != 1:
            raise Mixed("which does not treat products of queries and keys row by row")
        return operand
    return moved(operand)
