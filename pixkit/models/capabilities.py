"""Capabilities that not every model has: the attributes that declare them, and the errors if one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pixkit.errors import UsageError

if TYPE_CHECKING:
    from pixkit.models.declared import Declared

Capability = Literal[
    "labelled", "codes", "guidable", "completes", "has_latent", "mapped", "importance_sampled", "scorable"
]
"""The attributes of `Model` that commands and tasks check before they use the model."""
FIGURES = "pixkit.evaluate(run), or `pixkit eval RUN`, gives its own figures"
UNGUIDED = "guidance is towards a label, and the model only knows images without a label"
LABELS = "a recipe asks for labels by model.context: {type: label}"
DROPOUT = "model.context.dropout=0.1"
NO_LIKELIHOOD = "the model gives no likelihood, nor a bound"


def lacking(model: Declared, capability: Capability, where: str | None = None) -> UsageError:
    """The error for a capability that a model lacks; `where` is the option or call that needs it."""
    name = type(model).__name__
    place = where or name
    latent = (
        "a latent model, which cannot continue an image: its code would have to be drawn given the known part, which "
        "no encoder was trained for"
    )
    kind = "whose likelihood is exact already" if model.score_kind == "exact" else "which gives no likelihood"
    errors = {
        "labelled": UsageError(
            "the model takes no labels",
            where=place,
            found=name,
            hint=LABELS,
        ),
        "codes": UsageError("the model has no categorical code", where=place, found=name),
        "guidable": _unguidable(model, place),
        "completes": UsageError(
            "the model cannot continue an image that is given in part",
            where=place,
            found=latent if model.has_latent else None,
            expected="a model of pixels only, which draws some of them given others",
        ),
        "has_latent": UsageError("the model has no latent code", where=place, found=name),
        "mapped": UsageError(
            "the model does not give each site's share of its score",
            where=place,
            found=name,
            expected="a model that is `mapped`",
        ),
        "importance_sampled": UsageError(
            "importance sampling is for models whose score is a bound",
            where=where,
            found=f"{name}, {kind}",
        ),
        "scorable": UsageError(NO_LIKELIHOOD, where=where, found=name, hint=FIGURES),
    }
    return errors[capability]


def _unguidable(model: Declared, place: str) -> UsageError:
    """The error for a model that knows no images without a label, or without its conditions."""
    if set(model.conditions) - {"label", "code"}:
        return UsageError(
            "the model knows no images without its conditions",
            where=place,
            found=f"dropout 0 of {', '.join(model.conditions)}",
            expected="a condition that is hidden in some training images",
            hint="train with dropout above 0 of some in model.context: {..., dropout: 0.1}",
        )
    return UsageError(
        "the model knows no images without a label" if model.labelled else UNGUIDED,
        where=place,
        found="no label" if model.labelled else "a model without labels",
        expected="a label for each image" if model.labelled else None,
        hint=f"train with label dropout: {DROPOUT}" if model.labelled else f"leave it out; {LABELS}",
    )
