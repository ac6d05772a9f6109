"""Run directories: the results of builds, and how they are read and written.

`pixkit.load` gives a run's model. Nothing here needs torch.
"""

from pixkit.runs.comparison import Comparison, compare
from pixkit.runs.run import Run
from pixkit.runs.summary import find_runs, summaries, summary

__all__ = ["Comparison", "Run", "compare", "find_runs", "summaries", "summary"]
