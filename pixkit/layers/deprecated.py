"""Former names of `pixkit.layers` for components, kept for plugins that use them."""

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
"""Former annotations of a configuration's key, and those that replace them."""


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
