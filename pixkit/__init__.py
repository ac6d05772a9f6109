"""Pixel models from parts: orderings, masks, backbones, heads and samplers, assembled from YAML recipes.

The names in ``__all__`` are the public API. They are imported when first used, so that
``import pixkit`` stays instant and needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixkit import completion as completion
    from pixkit import figures as figures
    from pixkit import layers as layers
    from pixkit import testing as testing
    from pixkit.backbones.base import Backbone as Backbone
    from pixkit.backbones.base import BackboneSpec as BackboneSpec
    from pixkit.backbones.base import InputConfig as InputConfig
    from pixkit.backbones.base import check_multiple as check_multiple
    from pixkit.backbones.conditioners import Conditioner as Conditioner
    from pixkit.backbones.conditioners import FeatureContext as FeatureContext
    from pixkit.backbones.conditioners import LabelConfig as LabelConfig
    from pixkit.backbones.conditioners import LabelContext as LabelContext
    from pixkit.backbones.oriented import OrientedBackbone as OrientedBackbone
    from pixkit.components.config import ComponentConfig as ComponentConfig
    from pixkit.components.hookspecs import API_VERSION as API_VERSION
    from pixkit.components.hookspecs import hookimpl as hookimpl
    from pixkit.components.registry import KINDS as KINDS
    from pixkit.components.registry import Registrar as Registrar
    from pixkit.components.registry import Registry as Registry
    from pixkit.components.spec import BackboneRef as BackboneRef
    from pixkit.components.spec import ComponentSpec as ComponentSpec
    from pixkit.components.spec import DataRef as DataRef
    from pixkit.components.spec import HeadRef as HeadRef
    from pixkit.components.spec import MaskRef as MaskRef
    from pixkit.components.spec import ModelRef as ModelRef
    from pixkit.components.spec import OrderingRef as OrderingRef
    from pixkit.components.spec import SamplerRef as SamplerRef
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
    from pixkit.models.base import Model as Model
    from pixkit.models.base import Phase as Phase
    from pixkit.models.codes import CodeMaps as CodeMaps
    from pixkit.models.codes import CodeVector as CodeVector
    from pixkit.models.encoder import Encoder as Encoder
    from pixkit.models.encoder import EncoderConfig as EncoderConfig
    from pixkit.models.encoder import split_gaussian as split_gaussian
    from pixkit.models.latent import LatentModel as LatentModel
    from pixkit.models.latent import VariationalModel as VariationalModel
    from pixkit.models.latent_config import CodeConfig as CodeConfig
    from pixkit.models.latent_config import DecoderConfig as DecoderConfig
    from pixkit.network import Autoregressive as Autoregressive
    from pixkit.network import assemble as assemble
    from pixkit.noise import Noise as Noise
    from pixkit.orderings.base import Ordering as Ordering
    from pixkit.orderings.masks import TapShape as TapShape
    from pixkit.recipe import LoadedRecipe as LoadedRecipe
    from pixkit.recipe import Recipe as Recipe
    from pixkit.recipe import load_recipe as load_recipe
    from pixkit.runs.load import load as load
    from pixkit.runs.run import Run as Run
    from pixkit.samplers.base import Known as Known
    from pixkit.samplers.base import Sampler as Sampler
    from pixkit.tasks.complete import Completion as Completion
    from pixkit.tasks.complete import complete as complete
    from pixkit.tasks.score import evaluate as evaluate
    from pixkit.training import build as build
    from pixkit.training.build import BuildResult as BuildResult

    __version__: str

_MODULES = {
    "build": "training.build",
    "completion": "completion",
    "figures": "figures",
    "layers": "layers",
    "testing": "testing",
}
"""Public modules."""
_MODULE_OF = {
    "API_VERSION": "components.hookspecs",
    "Autoregressive": "network",
    "Backbone": "backbones.base",
    "BackboneRef": "components.spec",
    "BackboneSpec": "backbones.base",
    "Batch": "image",
    "BuildResult": "training.build",
    "CausalAttention": "layers",
    "CausalityError": "errors",
    "CheckpointError": "errors",
    "CodeConfig": "models.latent_config",
    "CodeMaps": "models.codes",
    "CodeVector": "models.codes",
    "ColourLayerNorm": "layers",
    "Completion": "tasks.complete",
    "ComponentConfig": "components.config",
    "ComponentSpec": "components.spec",
    "ConcatenatedELU": "layers",
    "Conditioner": "backbones.conditioners",
    "DataConfig": "data.base",
    "DataError": "errors",
    "DataRef": "components.spec",
    "DataSource": "data.base",
    "Dataset": "data",
    "DecoderConfig": "models.latent_config",
    "DiagonalLSTM": "layers",
    "Encoder": "models.encoder",
    "EncoderConfig": "models.encoder",
    "FeatureContext": "backbones.conditioners",
    "Head": "heads.base",
    "HeadRef": "components.spec",
    "ImageSet": "data.base",
    "ImageSpec": "image",
    "InputConfig": "backbones.base",
    "KINDS": "components.registry",
    "KeepBefore": "layers",
    "Known": "samplers.base",
    "LabelConfig": "backbones.conditioners",
    "LabelContext": "backbones.conditioners",
    "LatentModel": "models.latent",
    "LoadedRecipe": "recipe",
    "LocalConv2d": "layers",
    "MaskRef": "components.spec",
    "MaskedConv2d": "layers",
    "MaskedDownsample": "layers",
    "MaskedUpsample": "layers",
    "Maxout": "layers",
    "MixingLayer": "layers",
    "Model": "models.base",
    "ModelRef": "components.spec",
    "Noise": "noise",
    "NonFiniteError": "errors",
    "Ordering": "orderings.base",
    "OrderingRef": "components.spec",
    "OrientedBackbone": "backbones.oriented",
    "Phase": "models.base",
    "PixelDistribution": "heads.base",
    "PixkitError": "errors",
    "PluginError": "errors",
    "Pointwise": "layers",
    "PointwiseLayer": "layers",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Registrar": "components.registry",
    "Registry": "components.registry",
    "Reorient": "layers",
    "RowLSTM": "layers",
    "Run": "runs.run",
    "RunError": "errors",
    "Sampler": "samplers.base",
    "SamplerRef": "components.spec",
    "Shift": "layers",
    "ShiftedConv2d": "layers",
    "ShiftedConvTranspose2d": "layers",
    "SourceImages": "data.base",
    "TapLayer": "layers",
    "TapShape": "orderings.masks",
    "Taps": "layers",
    "UsageError": "errors",
    "VariationalModel": "models.latent",
    "assemble": "network",
    "check_multiple": "backbones.base",
    "complete": "tasks.complete",
    "evaluate": "tasks.score",
    "hookimpl": "components.hookspecs",
    "load": "runs.load",
    "load_recipe": "recipe",
    "prepare": "data",
    "split_gaussian": "models.encoder",
}
"""The module, within pixkit, of each public name; the imports above tell type checkers the same."""

__all__ = [*_MODULES, *_MODULE_OF, "__version__"]  # noqa: PLE0604 - the tables are the list


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from pixkit.components.distribution import version

        return version()
    if name in _MODULES:
        return importlib.import_module(f"pixkit.{_MODULES[name]}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pixkit' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"pixkit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
