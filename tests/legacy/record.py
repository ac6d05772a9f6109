"""How the runs of this folder were made: with pixkit 0.1.0 and nothing later, once and for all.

    git worktree add ../pixkit-0.1 0a8771e
    cd tests/legacy
    PYTHONPATH=../../../pixkit-0.1:../../../pixkit-0.1/plugins:site OMP_NUM_THREADS=1 python record.py

Each run is built for some steps. `NAME.npz` beside it holds what 0.1 then scored, drew and completed, and
what came of a copy of it that was resumed.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

import pixkit
from pixkit.cli.main import main

HERE = Path(__file__).parent
RESUMED = 24

RECIPES = {
    "digits-tiny": """\
# PixelCNN (van den Oord et al., 2016, arXiv 1601.06759) on the embedded 8x8 digits, as small as it gets.
pixkit: 1
name: digits-tiny
data: {source: digits, limit_train: 256, limit_test: 32}
model:
  type: autoregressive
  ordering: {type: raster}
  backbone: {type: pixelcnn, width: 8, layers: 1}
  head: softmax
train:
  steps: 16
  batch_size: 16
  precision: fp32
  memory_format: contiguous
  optimizer: {type: adamw, lr: 3e-2}
  ema: 0.8
  eval_every: 8
  eval_images: 32
  checkpoint_every: 8
sample: {count: 4}
""",
    "vintage-pair": """\
# Everything that the plugin vintage-pixels brings.
pixkit: 1
name: vintage-pair
data: {source: crosses}
model: {type: pair, backbone: {type: gist, width: 8, shape: cross}}
train:
  steps: 16
  batch_size: 16
  precision: fp32
  memory_format: contiguous
  optimizer: {type: adamw, lr: 3e-2}
  ema: 0.8
  eval_every: 8
  checkpoint_every: 8
sample: {type: patient, count: 4}
""",
}


def pixkit_command(*arguments):
    """Run the command line; it must succeed."""
    code = main([str(word) for word in arguments])
    assert code == 0, f"exit code {code}"


def images_of(run):
    """The first test images of a run."""
    recipe = pixkit.Run.open(run).recipe()
    return pixkit.prepare(recipe.data, run.parent).batch("test", torch.arange(16))


def observed(run):
    """What a run's best weights make of the images, and what they draw."""
    model = pixkit.load(run, device="cpu")
    batch = images_of(run)
    found = {"nats": model.score(batch).numpy(), "samples": model.sample(5, seed=7, first=2).numpy()}
    if type(model).__name__ != "Pair":
        mask = torch.zeros(model.spec.shape, dtype=torch.bool)
        mask[:, : model.spec.height // 2] = True
        found["completed"] = model.sample(3, seed=8, known=pixkit.Known(mask, batch.x[:3])).numpy()
    return found


def record(name, folder):
    """Build one run, and note what it and a resumed copy of it give."""
    (folder / f"{name}.yaml").write_text(RECIPES[name], encoding="utf-8")
    run, copy = folder / name, folder / "copy" / name
    pixkit_command("build", folder / f"{name}.yaml", "-o", run, "--device", "cpu", "-q")
    expected = observed(run)
    shutil.copytree(run, copy)
    pixkit_command("build", copy, "--resume", f"train.steps={RESUMED}", "--device", "cpu", "-q")
    expected |= {f"resumed_{key}": value for key, value in observed(copy).items()}
    shutil.rmtree(HERE / "runs" / name, ignore_errors=True)
    shutil.copytree(run, HERE / "runs" / name)
    np.savez_compressed(HERE / "runs" / f"{name}.npz", **expected)


if __name__ == "__main__":
    assert pixkit.__version__ == "0.1.0" and not hasattr(pixkit, "register"), "this is not pixkit 0.1.0"
    with tempfile.TemporaryDirectory(prefix="pixkit-0.1-") as made:
        for recipe in RECIPES:
            record(recipe, Path(made))
