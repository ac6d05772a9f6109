"""Pixel models from parts: orderings, masks, backbones, heads and samplers, assembled from YAML recipes.

The names in ``__all__`` are the public API. They are imported when first used, so that
``import pixkit`` stays instant and needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixkit.autoregressive import Autoregressive as Autoregressive
    from pixkit.backbone import Backbone as Backbone
    from pixkit.backbone import BackboneSpec as BackboneSpec
    from pixkit.component import BackboneRef as BackboneRef
    from pixkit.component import ComponentConfig as ComponentConfig
    from pixkit.component import ComponentSpec as ComponentSpec
    from pixkit.component import DataRef as DataRef
    from pixkit.component import HeadRef as HeadRef
    from pixkit.component import MaskRef as MaskRef
    from pixkit.component import ModelRef as ModelRef
    from pixkit.component import OrderingRef as OrderingRef
    from pixkit.component import SamplerRef as SamplerRef
    from pixkit.data.base import DataConfig as DataConfig
    from pixkit.data.base import DataSource as DataSource
    from pixkit.data.base import ImageSet as ImageSet
    from pixkit.data.base import SourceImages as SourceImages
    from pixkit.errors import CausalityError as CausalityError
    from pixkit.errors import CheckpointError as CheckpointError
    from pixkit.errors import DataError as DataError
    from pixkit.errors import NonFiniteError as NonFiniteError
    from pixkit.errors import PixkitError as PixkitError
    from pixkit.errors import PluginError as PluginError
    from pixkit.errors import RecipeError as RecipeError
    from pixkit.errors import RunError as RunError
    from pixkit.errors import UsageError as UsageError
    from pixkit.heads.base import Head as Head
    from pixkit.heads.base import PixelDistribution as PixelDistribution
    from pixkit.hookspecs import API_VERSION as API_VERSION
    from pixkit.hookspecs import hookimpl as hookimpl
    from pixkit.image import Batch as Batch
    from pixkit.image import ImageSpec as ImageSpec
    from pixkit.layers.base import MixingLayer as MixingLayer
    from pixkit.layers.masked import MaskedConv2d as MaskedConv2d
    from pixkit.layers.masked import Pointwise as Pointwise
    from pixkit.masks import TapShape as TapShape
    from pixkit.models.base import Model as Model
    from pixkit.models.base import Phase as Phase
    from pixkit.noise import Noise as Noise
    from pixkit.ordering import Ordering as Ordering
    from pixkit.registry import KINDS as KINDS
    from pixkit.registry import Registrar as Registrar
    from pixkit.registry import Registry as Registry
    from pixkit.samplers.base import Known as Known
    from pixkit.samplers.base import Sampler as Sampler

    __version__: str

_MODULE_OF = {
    "API_VERSION": "hookspecs",
    "Autoregressive": "autoregressive",
    "Backbone": "backbone",
    "BackboneRef": "component",
    "BackboneSpec": "backbone",
    "Batch": "image",
    "CausalityError": "errors",
    "CheckpointError": "errors",
    "ComponentConfig": "component",
    "ComponentSpec": "component",
    "DataConfig": "data.base",
    "DataError": "errors",
    "DataRef": "component",
    "DataSource": "data.base",
    "Head": "heads.base",
    "HeadRef": "component",
    "ImageSet": "data.base",
    "ImageSpec": "image",
    "KINDS": "registry",
    "Known": "samplers.base",
    "MaskRef": "component",
    "MaskedConv2d": "layers.masked",
    "MixingLayer": "layers.base",
    "Model": "models.base",
    "ModelRef": "component",
    "Noise": "noise",
    "NonFiniteError": "errors",
    "Ordering": "ordering",
    "OrderingRef": "component",
    "Phase": "models.base",
    "PixelDistribution": "heads.base",
    "PixkitError": "errors",
    "PluginError": "errors",
    "Pointwise": "layers.masked",
    "RecipeError": "errors",
    "Registrar": "registry",
    "Registry": "registry",
    "RunError": "errors",
    "Sampler": "samplers.base",
    "SamplerRef": "component",
    "SourceImages": "data.base",
    "TapShape": "masks",
    "UsageError": "errors",
    "hookimpl": "hookspecs",
}
"""The module, within pixkit, of each public name; the imports above tell type checkers the same."""

__all__ = [*_MODULE_OF, "__version__"]  # noqa: PLE0604 - the table is the list


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pixkit")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pixkit' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"pixkit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
