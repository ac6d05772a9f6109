"""Makes the runs of the zoo: python recipes/zoo/make.py [NAME...]. Each takes a few minutes on a CPU.

They are built in runs/zoo and exported into the folders beside this file, which the wheel has. A build that was stopped
goes on; one that is done is exported again. Digits are the same for the same versions, processor and OMP_NUM_THREADS.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pixkit
from pixkit.tasks import export_run

EVERYWHERE = ("train.precision=fp32", "train.memory_format=contiguous")
ZOO: dict[str, tuple[str, ...]] = {
    "digits-gated": (),
    "digits-local-8orders": (*EVERYWHERE, "model.backbone.width=20", "train.steps=500"),
    "digits-multiscale": (
        *EVERYWHERE,
        "model.backbone.base.width=48",
        "model.backbone.base.dropout=0.3",
        "model.backbone.width=40",
        "model.backbone.dropout=0.3",
    ),
    "digits-pixelvae": (*EVERYWHERE, "train.steps=600"),
}
"""The recipe of each run, which is called like it, and what makes it small."""
LICENCE = "mit"
"""Of the weights, as of pixkit; that of the images stands on the card."""


def make(name: str, built: Path = Path("runs/zoo")) -> int:
    """Build a run, if it is not there, and export it; return its bytes."""
    run = pixkit.build(name, built / name, overrides=ZOO[name], resume="auto", device="cpu").run
    folder = Path(__file__).parent / name
    if folder.is_dir():
        shutil.rmtree(folder)
    return export_run(run, folder, licence=LICENCE).size


if __name__ == "__main__":
    for name in sys.argv[1:] or ZOO:
        sys.stdout.write(f"{name}: {make(name):,} bytes\n")
