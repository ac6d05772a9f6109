"""A plugin of each kind, as `pixkit new-plugin` writes it."""

import importlib
import sys

import pytest

from pixkit.starter import Names, new_plugin
from pixkit.testing import backbones

NAMES = {"hilbert"}
"""Of the registered orderings one whose masks differ from site to site: `tests/testing` goes through the others."""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """started(kind) writes a plugin and gives its folder and module, and that of its tests."""
    before = set(sys.modules)

    def start(kind):
        names = Names.of(f"pixkit-new-{kind}")
        new_plugin(kind, names, tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.syspath_prepend(tmp_path / "tests")
        return tmp_path, *(importlib.import_module(name) for name in (names.module, f"test_{names.component}"))

    yield start
    for name in set(sys.modules) - before:
        if name.startswith(("pixkit_new_", "test_new_")):
            del sys.modules[name]


@pytest.fixture
def some_orderings(monkeypatch):
    """Check backbones under a few of the orderings; the names of those that were checked."""
    every, checked = backbones.supported_orderings, []

    def few(backbone):
        found = [one for one in every(backbone) if one.name in NAMES]
        checked.extend(one.name for one in found)
        return found

    monkeypatch.setattr(backbones, "supported_orderings", few)
    return checked
