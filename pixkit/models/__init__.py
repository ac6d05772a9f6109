"""Models: of pixels only, of several orderings, and with a latent code."""

from pixkit.models.any_order import AnyOrderModel
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.models.base import Model
from pixkit.models.codes import CodeMaps, CodeVector
from pixkit.models.encoder import (
    Encoder,
    EncoderConfig,
    SparsityConfig,
    draw_by_number,
    halved,
    halvings_to,
    split_gaussian,
)
from pixkit.models.labelled import LabelledModel
from pixkit.models.latent import LatentModel, VariationalModel
from pixkit.models.latent_config import CodeConfig, DecoderConfig
from pixkit.models.order_agnostic import OrderAgnosticModel
from pixkit.models.phase import Losses, Phase
from pixkit.models.request import SampleRequest

MODELS: dict[str, type[Model]] = {
    "any_order": AnyOrderModel,
    "autoregressive": AutoregressiveModel,
    "order_agnostic": OrderAgnosticModel,
}

__all__ = [
    "MODELS",
    "AnyOrderModel",
    "AutoregressiveModel",
    "CodeConfig",
    "CodeMaps",
    "CodeVector",
    "DecoderConfig",
    "Encoder",
    "EncoderConfig",
    "LabelledModel",
    "LatentModel",
    "Losses",
    "Model",
    "OrderAgnosticModel",
    "Phase",
    "SampleRequest",
    "SparsityConfig",
    "VariationalModel",
    "draw_by_number",
    "halved",
    "halvings_to",
    "split_gaussian",
]
