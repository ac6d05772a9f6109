"""Score images one by one: a model's figures for each image and each of its sites, and how to detect anomalies."""

from pixkit.tasks.scoring.auroc import auroc
from pixkit.tasks.scoring.maps import common_top, save_map, uniform_nats, unlikely
from pixkit.tasks.scoring.rows import ImageScore
from pixkit.tasks.scoring.score import score
from pixkit.tasks.scoring.setting import set_threshold
from pixkit.tasks.scoring.tally import Tally, several
from pixkit.tasks.scoring.threshold import Threshold, conformal_limit

__all__ = [
    "ImageScore",
    "Tally",
    "Threshold",
    "auroc",
    "common_top",
    "conformal_limit",
    "save_map",
    "score",
    "set_threshold",
    "several",
    "uniform_nats",
    "unlikely",
]
