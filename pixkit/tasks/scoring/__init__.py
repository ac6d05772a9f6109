"""Images scored one by one: what a model says of each, and of each of its sites."""

from pixkit.tasks.scoring.maps import common_top, save_map, uniform_nats, unlikely
from pixkit.tasks.scoring.score import ImageScore, score
from pixkit.tasks.scoring.tally import Tally, several

__all__ = ["ImageScore", "Tally", "common_top", "save_map", "score", "several", "uniform_nats", "unlikely"]
