"""The array beside the images that a conditioner reads, as its configuration names it."""

from __future__ import annotations

from collections.abc import Sequence

from pixkit.components.spec import ComponentSpec
from pixkit.context import LABEL, ContextSpec
from pixkit.errors import RecipeError, nearest
from pixkit.image import ImageSpec


def reads_labels(component: ComponentSpec) -> bool:
    """Whether a conditioner reads the data's own labels, not integers of an array beside the images."""
    return component.name == LABEL and getattr(component.config, "from") is None


def named_array(component: ComponentSpec, arrays: Sequence[str]) -> str:
    """The array that a conditioner reads, among those of these names.

    Raises:
        RecipeError: if there is no such array, or none is named and there are several.
    """
    config, named = component.config, getattr(component.config, "from")
    if named is None and len(arrays) == 1:
        return arrays[0]
    if named not in arrays:
        raise RecipeError(
            "which array beside the images?" if named is None else "no such array beside the images",
            where=config.where("from"),
            found=named,
            expected=", ".join(arrays) or "an array that data.context names",
            hint=nearest(named, arrays) if arrays else f"data.context={{{named or 'NAME'}: FILE}}",
        )
    return str(named)


def array_of(component: ComponentSpec, image: ImageSpec, classes: int | None) -> ContextSpec:
    """The array that a conditioner reads.

    Raises:
        RecipeError: as `named_array`.
    """
    if reads_labels(component):
        return ContextSpec(LABEL, (), classes)
    arrays = {spec.name: spec for spec in image.context}
    return arrays[named_array(component, list(arrays))]
