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


def leaving():
    raise SystemExit(3)


def wanting(net, size=3):
    return GIVEN


def a_class():
    return (nn.Identity, *GIVEN[1:])


class Labelled(nn.Embedding):
    def forward(self, x, y=None):
        return super().forward(x)[..., 0] if y is None else x


def levels():
    return Labelled(2, 3), *GIVEN[1:]


def floats():
    return nn.Linear(3, 3), GIVEN[1].long(), GIVEN[2]


def labels():
    return nn.Bilinear(3, 3, 3), *GIVEN[1:]


def outside():
    return Labelled(2, 3), GIVEN[2], GIVEN[2]
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
        assert refused(text)[1:] == ("this does not name a function", None, "FILE.py:NAME or package.module:NAME", None)


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
    assert (
        found.startswith("functions three, two, nothing, text, more, lacking, leaving, wanting, a_class")
        and expected == f"one that returns {EXPECTED}"
    )
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
    assert refused(f"{mine}/mine.py:leaving")[1:3] == ("the function fails", "SystemExit: 3")


@pytest.mark.parametrize(("code", "found", "hint"), [
    ("def f(: pass", "SyntaxError: invalid syntax (mine.py, line 1)", None),
    ("x = 1\nx.y", "AttributeError: 'int' object has no attribute 'y'", "look at {file}:2: x.y"),
    ("raise SystemExit(3)", "SystemExit: 3", "look at {file}:1: raise SystemExit(3)"),
])  # fmt: skip
def test_files_that_cannot_be_imported(tmp_path, code, found, hint):
    file = tmp_path / "mine.py"
    file.write_text(code, encoding="utf-8")
    hint = hint and hint.format(file=file)
    assert refused(f"{file}:f") == (str(file), "the module cannot be imported", found, None, hint)


def test_functions_with_arguments_and_classes_in_place_of_modules(mine):
    target = f"{mine}/mine.py:wanting"
    where, said, found, expected, hint = refused(target)
    assert (where, said, found) == (target, "the function requires arguments", "wanting(net, size=3)")
    assert expected == "a function that can be called without arguments" and "defaults" in hint
    assert refused(f"{mine}/mine.py:a_class") == (
        "module",
        "this is a class",
        "Identity",
        "an instance of it",
        None,
    )


@pytest.mark.parametrize(("name", "found", "hint"), [
    ("levels", "RuntimeError: Expected tensor for argument #1 'indices'", "x.long(): so it can be called"),
    ("floats", "RuntimeError: mat1 and mat2 must have the same dtype", "x.float(): so it can be called"),
    ("labels", "TypeError: Bilinear.forward() missing 1", "wrap it in a module that is called with only x and has"),
    ("outside", "IndexError: index out of range in self", "look at {mine}/mine.py:49: return super()"),
])  # fmt: skip
def test_modules_that_fail(mine, name, found, hint):
    target = f"{mine}/mine.py:{name}"
    where, said, seen, expected, advice = refused(target)
    assert (where, said, expected) == (target, "the module fails", "a module that is called with x")
    assert seen.startswith(found) and advice.startswith(hint.format(mine=mine))


def test_what_fails_in_the_proof_alone_is_no_fault_of_the_module(mine, monkeypatch):
    def prove(**arguments):
        raise ValueError("of its own")

    monkeypatch.setattr("pixkit.tasks.foreign.prove", prove)
    with pytest.raises(ValueError, match="of its own"):
        prove_function(f"{mine}/mine.py:three")


@pytest.mark.parametrize(("name", "found"), [
    ("two", "tuple of 2"), ("nothing", "NoneType"), ("text", "a dictionary of module, x, stepz"),
    ("more", "a dictionary of module, x, steps, strict, other"),
])  # fmt: skip
def test_functions_that_give_something_else(mine, name, found):
    target, names = f"{mine}/mine.py:{name}", ", ".join(inspect.signature(prove).parameters)
    *rest, hint = refused(target)
    assert rest == [target, "the function returns something else", found, f"{EXPECTED}: {names}"]
    assert (hint is None) is (name == "more") and "torch.arange(n)" in (hint or "torch.arange(n)")
