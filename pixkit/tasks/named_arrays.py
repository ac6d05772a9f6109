"""Whether the arrays that a recipe's conditioners read are named by its data, which is known without reading any."""

from __future__ import annotations

from pixkit.backbones.named import named_array, reads_labels
from pixkit.recipe import Recipe


def check_arrays(recipe: Recipe) -> None:
    """Raise RecipeError if a conditioner of the model reads an array that `data.context` does not name."""
    given = getattr(recipe.model.config, "context", None)
    names = list(getattr(recipe.data.config, "context", {}))
    for part in given if isinstance(given, list) else ():
        if not reads_labels(part):
            named_array(part, names)
