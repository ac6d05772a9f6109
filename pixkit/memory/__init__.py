"""How much memory is available, how much work needs, and the errors where it does not fit."""

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
