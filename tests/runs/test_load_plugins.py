"""Runs of components that come from a plugin file."""

import json
import warnings
from pathlib import Path

import pytest

from pixkit.components.plugin_file import read_plugin_file
from pixkit.components.plugins import plugins
from pixkit.errors import PluginError
from pixkit.runs.load import load
from pixkit.training.build import build

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
data: {source: digits, validation: 0.02, limit_train: 32, limit_test: 4}
model: {type: autoregressive, ordering: "orders.py:mine", backbone: {type: pixelcnn, width: 4, layers: 1}}
train: {steps: 1, batch_size: 4, ema: 0}
sample: {count: 1}
"""


@pytest.fixture
def afresh():
    """Calls a function as in a process of its own: no plugin file has been read."""

    def call(function, *arguments, **options):
        plugins.cache_clear()
        return function(*arguments, **options)

    yield call
    plugins.cache_clear()


@pytest.fixture
def made(tmp_path, no_waiting_for_the_disk):
    """A plugin file, and the folder of a run that needs it."""
    (tmp_path / "orders.py").write_text(ORDERS)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    make(tmp_path)
    return tmp_path


def make(folder, **options):
    plugins.cache_clear()
    plugins().load_file(folder / "orders.py")
    build(folder / "mine.yaml", folder / "run", device="cpu", **options)


@pytest.mark.parametrize("form", [lambda path: [str(path)], str, Path], ids=["list", "str", "Path"])
def test_a_run_is_loaded_with_the_files_that_bring_its_components(made, afresh, form):
    """One file needs no list."""
    with pytest.raises(PluginError):
        afresh(load, made / "run")
    assert type(afresh(load, made / "run", plugins=form(made / "orders.py"))).__name__ == "AutoregressiveModel"


def test_a_file_that_was_edited_since_is_said_to_be_another(made, afresh):
    """What was and what is, once a load; resuming says it too, and from then on it is the one that the run has."""
    file = made / "orders.py"
    with warnings.catch_warnings(action="error"):
        afresh(load, made / "run", plugins=file)
    before = read_plugin_file(file).version
    file.write_text(ORDERS + "\nEDITED = True\n")
    now = read_plugin_file(file).version
    expected = (
        f"run: the run was made with orders.py {before}, and this is orders.py {now}, which brings the ordering 'mine'"
    )
    for again in (lambda: load(made / "run", plugins=file), lambda: make(made, resume=True)):
        with pytest.warns(RuntimeWarning) as caught:
            afresh(again)
        [said] = [warning for warning in caught if "was made with" in str(warning.message)]
        assert expected in str(said.message) and said.filename == __file__
    environment = json.loads((made / "run" / "env.json").read_text())
    assert environment["plugins"]["orders.py:orders"] == now
    assert environment["previous"][0]["plugins"]["orders.py:orders"] == before
    with warnings.catch_warnings(action="error"):
        afresh(load, made / "run", plugins=file)


def test_a_file_that_is_no_plugin_is_refused(tmp_path):
    (tmp_path / "nothing.py").write_text("")
    with pytest.raises(PluginError, match="cannot be loaded"):
        load(tmp_path, plugins=[tmp_path / "nothing.py"])
