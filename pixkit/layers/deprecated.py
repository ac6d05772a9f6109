"""Names that `pixkit.layers` had for what is a component now; they keep plugins working that were written with them."""

from __future__ import annotations

import warnings
from typing import Any, Literal

ANNOTATIONS: dict[str, tuple[Any, str]] = {
    "ActivationName": (Literal["relu", "elu", "concatenated_elu", "maxout"], "pixkit.components.ActivationRef"),
    "InitName": (
        Literal["torch", "he_normal", "he_uniform", "xavier", "small_normal"],
        "pixkit.components.InitialiserRef",
    ),
    "NormName": (Literal["none", "batch", "layer"], "pixkit.components.NormRef"),
}
"""What a configuration's key was annotated with, and is now."""


def find(name: str) -> Any:
    """The value of such a name, with a warning.

    Raises:
        AttributeError: if it is not one of them.
    """
    if name not in ANNOTATIONS:
        raise AttributeError(f"module 'pixkit.layers' has no attribute '{name}'")
    value, now = ANNOTATIONS[name]
    text = f"pixkit.layers.{name} lists pixkit's own components: annotate with {now}, which also takes those of plugins"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return value
