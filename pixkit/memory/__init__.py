"""How much memory there is, how much work takes, and what is said where the one does not fit the other."""

from pixkit.memory.available import Room, available, in_words, resident
from pixkit.memory.forecast import Forecast, forecast
from pixkit.memory.guard import MemoryGuard, check_fits, memory_errors
from pixkit.memory.recording import Recording

__all__ = [
    "Forecast",
    "MemoryGuard",
    "Recording",
    "Room",
    "available",
    "check_fits",
    "forecast",
    "in_words",
    "memory_errors",
    "resident",
]
