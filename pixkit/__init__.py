"""Pixel models from parts: orderings, masks, backbones, heads and samplers, assembled from YAML recipes.

The names in ``__all__`` are the public API. They are imported when first used, so that
``import pixkit`` stays instant and needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixkit import build as build
    from pixkit import completion as completion
    from pixkit import figures as figures
    from pixkit import layers as layers
    from pixkit import testing as testing
    from pixkit.autoregressive import Autoregressive as Autoregressive
    from pixkit.autoregressive import assemble as assemble
    from pixkit.backbone import Backbone as Backbone
    from pixkit.backbone import BackboneSpec as BackboneSpec
    from pixkit.backbone import InputConfig as InputConfig
    from pixkit.backbone import check_multiple as check_multiple
    from pixkit.build import BuildResult as BuildResult
    from pixkit.build import evaluate as evaluate
    from pixkit.build import load as load
    from pixkit.completion import Completion as Completion
    from pixkit.completion import complete as complete
    from pixkit.component import BackboneRef as BackboneRef
    from pixkit.component import ComponentSpec as ComponentSpec
    from pixkit.component import DataRef as DataRef
    from pixkit.component import HeadRef as HeadRef
    from pixkit.component import MaskRef as MaskRef
    from pixkit.component import ModelRef as ModelRef
    from pixkit.component import OrderingRef as OrderingRef
    from pixkit.component import SamplerRef as SamplerRef
    from pixkit.config import ComponentConfig as ComponentConfig
    from pixkit.context import Conditioner as Conditioner
    from pixkit.context import FeatureContext as FeatureContext
    from pixkit.context import LabelConfig as LabelConfig
    from pixkit.context import LabelContext as LabelContext
    from pixkit.data import Dataset as Dataset
    from pixkit.data import prepare as prepare
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
    from pixkit.layers import CausalAttention as CausalAttention
    from pixkit.layers import ColourLayerNorm as ColourLayerNorm
    from pixkit.layers import ConcatenatedELU as ConcatenatedELU
    from pixkit.layers import DiagonalLSTM as DiagonalLSTM
    from pixkit.layers import KeepBefore as KeepBefore
    from pixkit.layers import LocalConv2d as LocalConv2d
    from pixkit.layers import MaskedConv2d as MaskedConv2d
    from pixkit.layers import MaskedDownsample as MaskedDownsample
    from pixkit.layers import MaskedUpsample as MaskedUpsample
    from pixkit.layers import Maxout as Maxout
    from pixkit.layers import MixingLayer as MixingLayer
    from pixkit.layers import Pointwise as Pointwise
    from pixkit.layers import PointwiseLayer as PointwiseLayer
    from pixkit.layers import Reorient as Reorient
    from pixkit.layers import RowLSTM as RowLSTM
    from pixkit.layers import Shift as Shift
    from pixkit.layers import ShiftedConv2d as ShiftedConv2d
    from pixkit.layers import ShiftedConvTranspose2d as ShiftedConvTranspose2d
    from pixkit.layers import TapLayer as TapLayer
    from pixkit.layers import Taps as Taps
    from pixkit.masks import TapShape as TapShape
    from pixkit.models.base import Model as Model
    from pixkit.models.base import Phase as Phase
    from pixkit.models.codes import CodeMaps as CodeMaps
    from pixkit.models.codes import CodeVector as CodeVector
    from pixkit.models.encoder import Encoder as Encoder
    from pixkit.models.encoder import EncoderConfig as EncoderConfig
    from pixkit.models.encoder import split_gaussian as split_gaussian
    from pixkit.models.latent import LatentModel as LatentModel
    from pixkit.models.latent import VariationalModel as VariationalModel
    from pixkit.noise import Noise as Noise
    from pixkit.ordering import Ordering as Ordering
    from pixkit.oriented import OrientedBackbone as OrientedBackbone
    from pixkit.recipe import LoadedRecipe as LoadedRecipe
    from pixkit.recipe import Recipe as Recipe
    from pixkit.recipe import load_recipe as load_recipe
    from pixkit.registry import KINDS as KINDS
    from pixkit.registry import Registrar as Registrar
    from pixkit.registry import Registry as Registry
    from pixkit.run import Run as Run
    from pixkit.samplers.base import Known as Known
    from pixkit.samplers.base import Sampler as Sampler

    __version__: str

_MODULES = ("build", "completion", "figures", "layers", "testing")
"""Public modules."""
_MODULE_OF = {
    "API_VERSION": "hookspecs",
    "Autoregressive": "autoregressive",
    "Backbone": "backbone",
    "BackboneRef": "component",
    "BackboneSpec": "backbone",
    "Batch": "image",
    "BuildResult": "build",
    "CausalAttention": "layers",
    "CausalityError": "errors",
    "CheckpointError": "errors",
    "CodeMaps": "models.codes",
    "CodeVector": "models.codes",
    "ColourLayerNorm": "layers",
    "Completion": "completion",
    "ComponentConfig": "config",
    "ComponentSpec": "component",
    "ConcatenatedELU": "layers",
    "Conditioner": "context",
    "DataConfig": "data.base",
    "DataError": "errors",
    "DataRef": "component",
    "DataSource": "data.base",
    "Dataset": "data",
    "DiagonalLSTM": "layers",
    "Encoder": "models.encoder",
    "EncoderConfig": "models.encoder",
    "FeatureContext": "context",
    "Head": "heads.base",
    "HeadRef": "component",
    "ImageSet": "data.base",
    "ImageSpec": "image",
    "InputConfig": "backbone",
    "KINDS": "registry",
    "KeepBefore": "layers",
    "Known": "samplers.base",
    "LabelConfig": "context",
    "LabelContext": "context",
    "LatentModel": "models.latent",
    "LoadedRecipe": "recipe",
    "LocalConv2d": "layers",
    "MaskRef": "component",
    "MaskedConv2d": "layers",
    "MaskedDownsample": "layers",
    "MaskedUpsample": "layers",
    "Maxout": "layers",
    "MixingLayer": "layers",
    "Model": "models.base",
    "ModelRef": "component",
    "Noise": "noise",
    "NonFiniteError": "errors",
    "Ordering": "ordering",
    "OrderingRef": "component",
    "OrientedBackbone": "oriented",
    "Phase": "models.base",
    "PixelDistribution": "heads.base",
    "PixkitError": "errors",
    "PluginError": "errors",
    "Pointwise": "layers",
    "PointwiseLayer": "layers",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Registrar": "registry",
    "Registry": "registry",
    "Reorient": "layers",
    "RowLSTM": "layers",
    "Run": "run",
    "RunError": "errors",
    "Sampler": "samplers.base",
    "SamplerRef": "component",
    "Shift": "layers",
    "ShiftedConv2d": "layers",
    "ShiftedConvTranspose2d": "layers",
    "SourceImages": "data.base",
    "TapLayer": "layers",
    "TapShape": "masks",
    "Taps": "layers",
    "UsageError": "errors",
    "VariationalModel": "models.latent",
    "assemble": "autoregressive",
    "check_multiple": "backbone",
    "complete": "completion",
    "evaluate": "build",
    "hookimpl": "hookspecs",
    "load": "build",
    "load_recipe": "recipe",
    "prepare": "data",
    "split_gaussian": "models.encoder",
}
"""The module, within pixkit, of each public name; the imports above tell type checkers the same."""

__all__ = [*_MODULES, *_MODULE_OF, "__version__"]  # noqa: PLE0604 - the tables are the list


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pixkit")
    if name in _MODULES:
        return importlib.import_module(f"pixkit.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pixkit' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"pixkit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
