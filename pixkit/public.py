"""The names at the top of pixkit: which there are, where each lives, and which there were in 0.1."""

from __future__ import annotations

import ast
import functools
import importlib
import sys
import warnings
from typing import Any

from pixkit.distribution import shield_libraries, version

FORMER = {
    "pixkit.backbones": (
        "Conditioner FeatureContext InputConfig LabelConfig LabelContext OrientedBackbone check_multiple"
    ),
    "pixkit.components": (
        "API_VERSION KINDS Registry BackboneRef DataRef HeadRef MaskRef ModelRef OrderingRef SamplerRef"
    ),
    "pixkit.data": "DataConfig ImageSet SourceImages prepare",
    "pixkit.heads": "PixelDistribution",
    "pixkit.layers": (
        "CausalAttention ColourLayerNorm ConcatenatedELU DiagonalLSTM KeepBefore LocalConv2d MaskedConv2d "
        "MaskedDownsample MaskedUpsample Maxout MixingLayer Pointwise PointwiseLayer Reorient RowLSTM Shift "
        "ShiftedConv2d ShiftedConvTranspose2d TapLayer Taps"
    ),
    "pixkit.models": "CodeMaps CodeVector Encoder EncoderConfig LatentModel VariationalModel split_gaussian",
    "pixkit.network": "Autoregressive assemble",
    "pixkit.recipe": "LoadedRecipe Recipe",
    "pixkit.tasks": "Completion",
    "pixkit.training": "BuildResult",
}
"""Names that 0.1 had at the top, by the public module that has them now."""


@functools.cache
def homes() -> dict[str, str]:
    """The module that each public name is imported from, according to __init__.pyi; a public module is its own."""
    spec = sys.modules["pixkit"].__spec__
    assert spec is not None
    loader: Any = spec.loader  # of files or of an archive: both have get_data
    text = loader.get_data(f"{spec.origin}i")
    return {
        alias.name: f"pixkit.{alias.name}" if node.module == "pixkit" else str(node.module)
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def modules() -> list[str]:
    """The names of the public modules."""
    return [name for name, home in homes().items() if home == f"pixkit.{name}" and name != "build"]


def listed() -> list[str]:
    """The value of ``pixkit.__all__``: the public names, without the modules."""
    return [*(name for name in homes() if name not in modules()), "__version__"]


def find(name: str) -> Any:
    """Import a name of pixkit and return its value.

    Raises:
        AttributeError: if there is no such name.
    """
    if name == "__all__":
        if _asked_by("pydoc"):
            raise AttributeError("__all__")
        return listed()
    if name == "__version__":
        return version()
    if name in homes():
        value = _import(homes()[name], name)
        setattr(sys.modules["pixkit"], name, value)
        return value
    for home, names in FORMER.items():
        if name in names.split():
            warnings.warn(f"pixkit.{name} is {home}.{name} now", DeprecationWarning, stacklevel=3)
            return _import(home, name)
    if name == "completion":
        return importlib.import_module("pixkit.completion")
    raise AttributeError(f"module 'pixkit' has no attribute '{name}'")


def _asked_by(module: str) -> bool:
    """Whether the given module is the one that asks pixkit for a name.

    With `__all__`, pydoc prints all public classes in full, including everything that they inherit from torch: 40,000
    lines. Without it, `help(pixkit)` is the docstring, which begins with an example, and the list of modules.
    """
    frame = sys._getframe(3)  # the caller of pixkit.__getattr__, which called `find`
    return bool(frame.f_globals.get("__name__") == module)


def _import(home: str, name: str) -> Any:
    """The public module `home`, if `name` is that, else the module's attribute `name`."""
    shield_libraries()
    module = importlib.import_module(home)
    return module if home == f"pixkit.{name}" else getattr(module, name)
