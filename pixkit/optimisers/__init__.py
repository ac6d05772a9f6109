"""Optimisers and learning-rate schedules."""

from pixkit.optimisers.base import Optimiser
from pixkit.optimisers.own import SGD, Adam, AdamW, RMSprop, TorchOptimiser
from pixkit.optimisers.schedules import Constant, Cosine, Exponential, Schedule, WarmedUp

OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}
"""pixkit's own optimisers, by the names that recipes use."""
SCHEDULES: dict[str, type[Schedule]] = {"constant": Constant, "cosine": Cosine, "exponential": Exponential}
"""pixkit's own schedules, by the names that recipes use."""

__all__ = [
    "OPTIMISERS",
    "SCHEDULES",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Exponential",
    "Optimiser",
    "RMSprop",
    "Schedule",
    "TorchOptimiser",
    "WarmedUp",
]
