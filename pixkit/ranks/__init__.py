"""The processes of one build, torchrun's ranks.

Nothing here is torch's default process group, which a program that calls pixkit may have for itself: the group is an
object, and is handed on.
"""

from pixkit.ranks.ends import named
from pixkit.ranks.group import ALONE, Ranks
from pixkit.ranks.launch import for_one_process, joined, launched

__all__ = ["ALONE", "Ranks", "for_one_process", "joined", "launched", "named"]
