"""The public names of pixkit, listed once: the module that each is imported from when it is first used."""
# ruff: noqa: I001 - in the order in which one thinks of them, not of their modules

# Verbs: what the command line does, as functions. Runs and recipes are taken as str or Path.
from pixkit.runs.load import load as load
from pixkit.build import build as build
from pixkit.tasks.evaluate import evaluate as evaluate
from pixkit.tasks.scoring.score import score as score
from pixkit.tasks.verify import verify as verify
from pixkit.tasks.sample import sample as sample
from pixkit.tasks.complete import complete as complete
from pixkit.tasks.upscale import upscale as upscale
from pixkit.tasks.latents import reconstruct as reconstruct
from pixkit.tasks.compress import compress as compress
from pixkit.tasks.decompress import decompress as decompress
from pixkit.tasks.bench import bench as bench
from pixkit.components.plugins import register as register

# From Python alone: whatever a recipe names, and training on images that a program has.
from pixkit.recipe.load import load_recipe as load_recipe
from pixkit.recipe.single import component as component
from pixkit.tasks.networks import build_model as build_model
from pixkit.training.train import train as train

# The base class of each kind of component.
from pixkit.orderings.base import Ordering as Ordering
from pixkit.orderings.masks import TapShape as TapShape
from pixkit.backbones.base import Backbone as Backbone
from pixkit.heads.base import Head as Head
from pixkit.samplers.base import Sampler as Sampler
from pixkit.models.base import Model as Model
from pixkit.data.base import DataSource as DataSource
from pixkit.trackers.base import Tracker as Tracker
from pixkit.layers.activations import Activation as Activation
from pixkit.layers.pointwise import Norm as Norm
from pixkit.layers.initialisers import Initialiser as Initialiser
from pixkit.backbones.encodings import Encoding as Encoding
from pixkit.optimisers.base import Optimiser as Optimiser
from pixkit.optimisers.schedules import Schedule as Schedule
from pixkit.backbones.arrays import ArrayConditioner as ArrayConditioner

# What they are made with, given and asked for.
from pixkit.backbones.arrays import ArraySpec as ArraySpec
from pixkit.backbones.base import BackboneSpec as BackboneSpec
from pixkit.components.config import ComponentConfig as ComponentConfig
from pixkit.components.spec import ComponentSpec as ComponentSpec
from pixkit.data.dataset import Dataset as Dataset
from pixkit.image import Batch as Batch
from pixkit.image import ImageSpec as ImageSpec
from pixkit.models.phase import Phase as Phase
from pixkit.models.request import SampleRequest as SampleRequest
from pixkit.noise import Noise as Noise
from pixkit.runs.run import Run as Run
from pixkit.samplers.batch import BatchRequest as BatchRequest
from pixkit.samplers.batch import Drawn as Drawn
from pixkit.samplers.known import Known as Known

# The door for plugins.
from pixkit.components.hookspecs import hookimpl as hookimpl
from pixkit.components.registry import Registrar as Registrar

# Errors; each carries the exit code of the command line.
from pixkit.errors import CausalityError as CausalityError
from pixkit.errors import CheckpointError as CheckpointError
from pixkit.errors import DataError as DataError
from pixkit.errors import NonFiniteError as NonFiniteError
from pixkit.errors import PixkitError as PixkitError
from pixkit.errors import PluginError as PluginError
from pixkit.errors import RecipeError as RecipeError
from pixkit.errors import RunError as RunError
from pixkit.errors import UsageError as UsageError
from pixkit.errors import printable as printable

# Public modules.
from pixkit import backbones as backbones
from pixkit import components as components
from pixkit import data as data
from pixkit import figures as figures
from pixkit import heads as heads
from pixkit import layers as layers
from pixkit import models as models
from pixkit import network as network
from pixkit import optimisers as optimisers
from pixkit import orderings as orderings
from pixkit import readiness as readiness
from pixkit import recipe as recipe
from pixkit import report as report
from pixkit import runs as runs
from pixkit import samplers as samplers
from pixkit import tasks as tasks
from pixkit import testing as testing
from pixkit import trackers as trackers
from pixkit import training as training

__version__: str
