"""From a recipe to a run: what `pixkit.build` is told and gives."""

from pixkit.training.build import BuildResult
from pixkit.training.dryrun import DryRun, dry_run
from pixkit.training.train import train
from pixkit.training.watch import Reporter

__all__ = ["BuildResult", "DryRun", "Reporter", "dry_run", "train"]
