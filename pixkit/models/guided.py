"""Guidance of a model's conditions: which can be guided, and the sampler that does it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from pixkit.context import LABEL
from pixkit.errors import UsageError, nearest
from pixkit.samplers import Sampler
from pixkit.samplers.batch import Guidance, is_guided
from pixkit.samplers.guidance import Guided

if TYPE_CHECKING:
    from pixkit.backbones.conditions import Conditions
    from pixkit.models.base import Model
    from pixkit.models.labelled import LabelledModel


def require_guidable(model: Model, guidance: Guidance, where: str = "guidance") -> None:
    """Raise UsageError unless a model can be guided by a weight, or by several by name; 0 needs no more than a name."""
    several: Conditions | None = getattr(model, "several", None)
    for name in guidance if isinstance(guidance, Mapping) else ():
        if name not in model.conditions:
            raise UsageError(
                "the model has no such condition",
                where=where,
                found=str(name),
                expected=", ".join(model.conditions) or "none",
                hint=nearest(name, model.conditions),
            )
    if not is_guided(guidance):
        return
    model.require("guidable", where)
    if several is None or not isinstance(guidance, Mapping):
        return
    for name in [name for name, weight in guidance.items() if weight and name not in several.hideable]:
        raise UsageError(
            "the model knows no images without this condition, so that it cannot be guided towards it",
            where=where,
            found=f"{name}, with dropout 0",
            expected=", ".join(several.hideable),
            hint=f"train with dropout: {{..., from: {name}, dropout: 0.1}} in model.context"
            if name != LABEL
            else "train with dropout: {type: label, dropout: 0.1} in model.context",
        )


def guided(model: LabelledModel, sampler: Sampler, guidance: Guidance) -> Guided:
    """The sampler that guides another one towards a model's conditions; at least one weight is not 0."""
    several = model.several
    if several is None:
        weight = guidance[LABEL] if isinstance(guidance, Mapping) else guidance
        return Guided(sampler, weight, model.no_label())
    if not isinstance(guidance, Mapping):
        return Guided(sampler, guidance, several.hidden)
    named = sorted(filter(guidance.get, several.names), key=lambda name: -abs(guidance[name]))  # stable
    weights, ways, hidden = [], [], list[str]()
    for weight, names in groupby(named, lambda name: guidance[name]):
        hidden = [*hidden, *names]
        weights.append(weight)
        ways.append(several.hiding(hidden))
    return Guided(sampler, weights, ways)
