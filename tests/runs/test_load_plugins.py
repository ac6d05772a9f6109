"""Runs of components that come from a plugin file."""

import json
import subprocess
import sys

import pytest

from pixkit.components.plugin_file import read_plugin_file
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
build(sys.argv[2], sys.argv[3], device="cpu", resume="resume" in sys.argv)
"""
LOAD = """
import sys
from pathlib import Path
from pixkit.runs.load import load
forms = {"list": [sys.argv[1]], "str": sys.argv[1], "Path": Path(sys.argv[1])}
print(type(load(sys.argv[3], plugins=forms[sys.argv[4]])).__name__)
"""


def python(code, *arguments, stream="stdout"):
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return getattr(done, stream)


def test_a_run_is_loaded_with_the_files_that_bring_its_components(tmp_path):
    (tmp_path / "orders.py").write_text(ORDERS)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    given = [str(tmp_path / name) for name in ("orders.py", "mine.yaml", "run")]
    python(BUILD, *given)
    with pytest.raises(PluginError):
        load(given[2])
    for form in ("list", "str", "Path"):
        assert python(LOAD, *given, form) == "AutoregressiveModel\n", "one file needs no list"


def test_a_file_that_was_edited_since_is_said_to_be_another(tmp_path):
    """What was and what is, once a load; resuming says it too, and from then on it is the one that the run has."""
    (tmp_path / "orders.py").write_text(ORDERS)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    given = [str(tmp_path / name) for name in ("orders.py", "mine.yaml", "run")]
    python(BUILD, *given)
    assert "was made with" not in python(LOAD, *given, "str", stream="stderr")
    before = read_plugin_file(given[0]).version
    (tmp_path / "orders.py").write_text(ORDERS + "\nEDITED = True\n")
    now = read_plugin_file(given[0]).version
    expected = (
        f"run: the run was made with orders.py {before}, and this is orders.py {now}, which brings the ordering 'mine'"
    )
    for done in (python(LOAD, *given, "str", stream="stderr"), python(BUILD, *given, "resume", stream="stderr")):
        assert done.count("was made with") == 1 and expected in done
    environment = json.loads((tmp_path / "run" / "env.json").read_text())
    assert environment["plugins"]["orders.py:orders"] == now
    assert environment["previous"][0]["plugins"]["orders.py:orders"] == before
    assert "was made with" not in python(LOAD, *given, "str", stream="stderr")


def test_a_file_that_is_no_plugin_is_refused(tmp_path):
    (tmp_path / "nothing.py").write_text("")
    with pytest.raises(PluginError, match="cannot be loaded"):
        load(tmp_path, plugins=[tmp_path / "nothing.py"])
