"""The public API: one table, lazily imported, and the same for type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pixkit


@pytest.mark.parametrize("name", pixkit.__all__)
def test_every_public_name_is_there(name):
    value = getattr(pixkit, name)
    if isinstance(value, type):
        assert value.__name__ == name
        assert value.__doc__


def test_dir_lists_the_public_names():
    assert set(pixkit.__all__) <= set(dir(pixkit))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Orderings'"):
        _ = pixkit.Orderings


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(pixkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    stated = {
        alias.asname: node.module.removeprefix("pixkit").removeprefix(".")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {**stated, **dict.fromkeys(pixkit._MODULES, "")} == {
        **dict.fromkeys(pixkit._MODULES, ""),
        **pixkit._MODULE_OF,
    }


def test_importing_pixkit_imports_nothing_heavy():
    code = (
        "import sys, pixkit; print(*sorted({'torch', 'numpy', 'pydantic', 'rich', 'yaml', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
