"""The processes of one build, torchrun's ranks.

Nothing here uses torch's default process group, which a program that calls pixkit may use itself: the group is an
object that is passed on.
"""

from pixkit.ranks.ends import named
from pixkit.ranks.group import ALONE, Ranks
from pixkit.ranks.launch import for_one_process, joined, launched

__all__ = ["ALONE", "Ranks", "for_one_process", "joined", "launched", "named"]
