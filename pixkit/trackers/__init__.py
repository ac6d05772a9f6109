"""Trackers: programs that show how runs train."""

from pixkit.trackers.base import Hyperparameter, Tracker
from pixkit.trackers.tensorboard import TensorBoard

TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard}

__all__ = ["TRACKERS", "Hyperparameter", "TensorBoard", "Tracker"]
