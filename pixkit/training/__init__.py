"""From a recipe to a run: the arguments and the result of `pixkit.build`."""

from pixkit.training.build import BuildResult
from pixkit.training.dryrun import DryRun, dry_run
from pixkit.training.train import train
from pixkit.training.watch import Reporter

__all__ = ["BuildResult", "DryRun", "Reporter", "dry_run", "train"]
