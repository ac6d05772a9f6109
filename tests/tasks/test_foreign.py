"""Functions of somebody's own that give a module to prove: which texts mean one, and what is said of others."""

import inspect
import sys

import pytest

from pixkit.errors import UsageError
from pixkit.readiness import prove
from pixkit.tasks.foreign import EXPECTED, is_function, prove_function

CODE = """\
import torch
from torch import nn
{imports}
GIVEN = (nn.Identity(), torch.zeros(1, 3), torch.arange(3)[None])


def three():
    return GIVEN


def two():
    return GIVEN[:2]


def _hidden():
    return GIVEN


def nothing():
    pass


def text():
    return dict(zip(("module", "x", "stepz"), GIVEN))


def more():
    return {{"module": GIVEN[0], "x": GIVEN[1], "steps": GIVEN[2], "strict": False, "other": 1}}


def lacking():
    import nowhere_at_all
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "beside_it.py").write_text("")
    (tmp_path / "mine.py").write_text(CODE.format(imports="import beside_it"), encoding="utf-8")
    (tmp_path / "bare.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n", encoding="utf-8")
    yield tmp_path
    sys.modules.pop("beside_it", None)


def refused(target):
    with pytest.raises(UsageError) as caught:
        prove_function(str(target))
    error = caught.value
    return error.where, error.message, error.found, error.expected, error.hint


@pytest.mark.parametrize(("text", "meant"), [
    ("mine.py:f", True), ("a/b-c.py:f_2", True), ("mine:f", True), ("package.module:f", True), ("mine.py:2f", False),
    ("mine.py", False), ("digits-pixelcnn:f", False), ("package.2:f", False), ("a/b:f", False), (":f", False),
    ("mine.py:", False), ("mine.py:a.b", False),
])  # fmt: skip
def test_which_texts_mean_a_function(text, meant):
    assert is_function(text) is meant
    if not meant:
        assert refused(text)[1:] == ("this is no function", None, "FILE.py:NAME or package.module:NAME", None)


def test_a_file_is_run_with_what_lies_beside_it_and_the_search_path_is_as_before(mine, monkeypatch):
    (mine / "elsewhere").mkdir()
    (mine / "elsewhere" / "beside_it.py").write_text("raise ValueError\n")
    monkeypatch.syspath_prepend(mine / "elsewhere")
    before = sys.path.copy()
    assert prove_function(f"{mine}/mine.py:three").verdict == "leaks"
    assert refused(f"{mine}/mine.py:two")[2] == "tuple of 2"
    assert sys.path == before


def test_functions_that_are_not_there(mine):
    here = f"{mine}/mine.py"
    where, said, found, expected, hint = refused(f"{here}:tree")
    assert (where, said, hint) == (f"{here}:tree", "there is no such function", f"{here}:three")
    assert found == "functions three, two, nothing, text, more, lacking" and expected == f"one that gives {EXPECTED}"
    assert refused(f"{here}:GIVEN")[1:3] == ("there is no such function", found)
    assert refused(f"{mine}/bare.py:x")[2::2] == ("no function", None)
    assert refused(f"{mine}/absent.py:x")[:2] == (f"{mine}/absent.py", "there is no such file")


def test_what_a_module_lacks_and_how_a_function_fails(mine):
    assert refused(f"{mine}/broken.py:f")[:3] == (
        f"{mine}/broken.py", "there is no such module", "No module named 'nowhere_at_all'"
    )  # fmt: skip
    where, said, found, expected, _ = refused(f"{mine}/mine.py:lacking")
    assert (said, found) == ("the function fails", "ModuleNotFoundError: No module named 'nowhere_at_all'")
    assert (where, expected) == (f"{mine}/mine.py:lacking", EXPECTED)


@pytest.mark.parametrize(("name", "found"), [
    ("two", "tuple of 2"), ("nothing", "NoneType"), ("text", "a dictionary of module, x, stepz"),
    ("more", "a dictionary of module, x, steps, strict, other"),
])  # fmt: skip
def test_functions_that_give_something_else(mine, name, found):
    target, names = f"{mine}/mine.py:{name}", ", ".join(inspect.signature(prove).parameters)
    assert refused(target) == (target, "the function gives something else", found, f"{EXPECTED}: {names}", None)
