"""From an empty folder to a trained model, by `pixkit new-plugin`; and what it writes, as a distribution."""

import os
import subprocess
import sys

import pytest

from pixkit.starter import Names, new_plugin

LONG = os.environ.get("PIXKIT_LONG") == "1"
FEW = [
    "train.steps=2",
    "train.eval_images=8",
    "data.count=16",
    "data.size=4",
    "model.backbone.width=4",
    "sample.count=1",
]


def test_from_an_empty_folder_to_a_trained_model(door_of, unpacked, tmp_path):
    """As the command says what to type next, without pip: the wheel is built by hand and lies on the path."""
    (started,) = door_of(tmp_path).pixkit(["new-plugin", "pixkit-waves", "--kind", "data"])
    assert started.code == 0, started.err
    folder = tmp_path / "pixkit-waves"
    listed, built, drawn = door_of(folder, unpacked(folder)).pixkit(
        ["plugins"],
        ["build", "recipe.yaml", *FEW],
        ["sample", "runs/waves", "-n", "1", "-o", "samples.png"],
    )
    assert listed.code == 0 and "data waves" in listed.out
    assert (built.code, drawn.code) == (0, 0), built.err + drawn.err
    assert (folder / "samples.png").stat().st_size


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="builds a wheel with hatchling: PIXKIT_LONG=1")
def test_pip_builds_and_installs_it(door_of, tmp_path):
    names = Names.of("pixkit-waves")
    new_plugin("data", names, tmp_path / "waves")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(tmp_path / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(tmp_path / "waves")], check=True)
    (listed,) = door_of(tmp_path, tmp_path / "site").pixkit(["plugins"])
    assert "pixkit-waves 0.1.0" in listed.out and "data waves" in listed.out
