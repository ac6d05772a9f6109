"""One page about runs: curves, scores, samples, what a pixel sees, recipes, machines and data.

from pathlib import Path

Path("report.html").write_text(pixkit.report.page(["runs/a", "runs/b"]), encoding="utf-8")
"""

from pixkit.report.page import page

__all__ = ["page"]
