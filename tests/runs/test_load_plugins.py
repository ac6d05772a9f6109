"""Runs of components that come from a plugin file."""

import subprocess
import sys

import pytest

from pixkit.errors import PluginError
from pixkit.runs.load import load

ORDERS = """
import pixkit
from pixkit.orderings.scans import Raster

pixkit_api_version = 1


class Mine(Raster):
    '''Raster under another name.'''


@pixkit.hookimpl
def pixkit_register(registry):
    registry.add("ordering", "mine", Mine)
"""
RECIPE = """
pixkit: 1
name: mine
data: {source: digits, limit_train: 32, limit_test: 4}
model: {type: autoregressive, ordering: "orders.py:mine", backbone: {type: pixelcnn, width: 4, layers: 1}}
train: {steps: 1, batch_size: 4, ema: 0}
sample: {count: 1}
"""
BUILD = """
import sys
from pixkit.components.plugins import plugins
from pixkit.training.build import build
plugins().load_file(sys.argv[1])
build(sys.argv[2], sys.argv[3], device="cpu")
"""
LOAD = """
import sys
from pixkit.runs.load import load
print(type(load(sys.argv[3], plugins=[sys.argv[1]])).__name__)
"""


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


def test_a_run_is_loaded_with_the_files_that_bring_its_components(tmp_path):
    (tmp_path / "orders.py").write_text(ORDERS)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    given = [str(tmp_path / name) for name in ("orders.py", "mine.yaml", "run")]
    python(BUILD, *given)
    with pytest.raises(PluginError):
        load(given[2])
    assert python(LOAD, *given) == "AutoregressiveModel\n"


def test_a_file_that_is_no_plugin_is_refused(tmp_path):
    (tmp_path / "nothing.py").write_text("")
    with pytest.raises(PluginError, match="cannot be loaded"):
        load(tmp_path, plugins=[tmp_path / "nothing.py"])
