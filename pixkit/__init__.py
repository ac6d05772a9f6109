"""Pixel models from parts: orderings, masks, backbones, heads and samplers, assembled from YAML recipes.

    import pixkit

    pixkit.build("recipes/digits-pixelcnn.yaml")  # trains it, into runs/digits-pixelcnn
    model = pixkit.load("runs/digits-pixelcnn")   # the best checkpoint, EMA weights, in eval mode
    x = model.sample(10, seed=0)                  # int64 [10, 1, 8, 8], levels 0..16
    nats = model.log_prob(x)                      # [10], natural logarithm

Here are the verbs (load build evaluate verify sample complete upscale reconstruct bench register), the base class of
each kind of component, what these are given, the door for plugins, and the errors. All else lies in public modules:
pixkit.layers, pixkit.figures, pixkit.testing and so on. Names are imported when first used, so that ``import pixkit``
needs neither torch nor numpy.
"""

from __future__ import annotations

from typing import Any

# The one list of these names is __init__.pyi: type checkers and editors read it as it is, and pixkit.public when a name
# is first asked for. A table here would have to be repeated for type checkers.


def __getattr__(name: str) -> Any:
    from pixkit.public import find

    return find(name)


def __dir__() -> list[str]:
    from pixkit.public import listed, modules

    return [*listed(), *modules()]
