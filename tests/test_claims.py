"""What tests say can be false: rules that find, in their syntax trees, those that pass whatever the program does."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FILES = sorted(HERE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
CLAIMS = re.compile(r"raises|warns|deprecated_call|fail|assert_\w+|check_\w+|check")
"""What is called to say something, beside `assert`: pytest's, torch's and numpy's, and `pixkit.testing`'s contracts."""


def named(path):
    return path.relative_to(HERE).as_posix()


def name_of(node):
    """`name` or `module.name` of what a call calls; nothing of other nodes."""
    function = getattr(node, "func", None)
    if isinstance(function, ast.Attribute):
        return f"{function.value.id}.{function.attr}" if isinstance(function.value, ast.Name) else f".{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def called(node):
    return name_of(node).rpartition(".")[2]


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def is_test(function):
    return function.name.startswith("test_")


def in_reach(path):
    """Of each function that a file may call by its name, or by that of its module and its own: (file, name)."""
    found = {function.name: (path, function.name) for function in FUNCTIONS[path]}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: (MODULES.get(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            for module in (alias.name for alias in node.names if alias.name in MODULES):
                theirs = (function.name for function in FUNCTIONS[MODULES[module]])
                found |= {f"{module}.{name}": (MODULES[module], name) for name in theirs}
    return found


def outlined(node):
    """Whether a node says something by itself, and what it calls."""
    calls = set(map(name_of, ast.walk(node)))
    by_itself = any(isinstance(part, ast.Assert) for part in ast.walk(node))
    return by_itself or any(CLAIMS.fullmatch(name.rpartition(".")[2]) for name in calls), calls


def helpers():
    """(file, name) of the functions that say something, by themselves or by what they call."""
    known, before = set(), None
    every = [(path, function.name, *outlined(function)) for path in FILES for function in FUNCTIONS[path]]
    while known != before:
        before = set(known)
        known |= {(path, name) for path, name, says, calls in every
                  if says or any(REACH[path].get(call) in before for call in calls)}  # fmt: skip
    return known


def speaks(path, node):
    """Whether a node of a file says something, or calls what does."""
    says, calls = outlined(node)
    return says or any(REACH[path].get(call) in SAYING for call in calls)


FUNCTIONS = {path: functions(tree) for path, tree in TREES.items()}
ASSERTS = {path: [node for node in ast.walk(tree) if isinstance(node, ast.Assert)] for path, tree in TREES.items()}
MODULES = {path.stem: path for path in FILES}
REACH = {path: in_reach(path) for path in FILES}
SAYING = helpers()
CASES = [path for path in FILES if any(map(is_test, FUNCTIONS[path]))]


@pytest.mark.parametrize("path", CASES, ids=named)
def test_every_test_says_something(path):
    """That nothing is raised is said by what is there afterwards."""
    assert not [f.name for f in FUNCTIONS[path] if is_test(f) and not speaks(path, f)]


EITHER = {
    "faults/test_taken_over.py": 1,  # two messages, by whether a stopped build had opened the lock before
}
"""Assertions with an `or` that are right as they are, by file: how many, and why."""


@pytest.mark.parametrize("path", FILES, ids=named)
def test_an_assertion_says_one_thing(path):
    """`a or b` passes with whichever of the two is easier; what holds in some cases alone stands under their `if`."""
    tests = [(node.lineno, node.test) for node in ASSERTS[path]]
    found = [line for line, test in tests if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)]
    assert len(found) == EITHER.get(named(path), 0), found


@pytest.mark.parametrize("path", FILES, ids=named)
def test_what_is_asserted_of_a_value_is_more_than_that_there_is_one(path):
    """What raises else, or gives nothing but one kind of value, is never None."""
    compared = [node.test for node in ASSERTS[path] if isinstance(node.test, ast.Compare)]
    found = [test.lineno for test in compared if ast.unparse(test).endswith(" is not None")]
    assert not found


MADE = ("enumerate", "zip", "product", "reversed", "sorted", "list", "tuple", "map")
"""What gives something to go through if its arguments do."""
OWN = ("items", "values", "keys")
RETURNED = {
    (path, function.name): [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    for path in FILES
    for function in FUNCTIONS[path]
}
OF_MODULES = ("parameters", "named_parameters", "state_dict", "modules")


def certain(path, node, given=frozenset()):
    """Whether it is plain from the text that there is something to go through: what is written out, or made of it."""

    def sure(part):
        return certain(path, getattr(part, "value", part) if isinstance(part, ast.Starred) else part, given)

    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(not isinstance(part, ast.Starred) or sure(part) for part in node.elts)
    if isinstance(node, ast.Dict):
        return any(key is not None or sure(value) for key, value in zip(node.keys, node.values, strict=True))
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return all(sure(one.iter) and not one.ifs for one in node.generators)
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, ast.Name):
        return node.id.isupper() or node.id in given
    if isinstance(node, ast.IfExp):
        return sure(node.body) and sure(node.orelse)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):  # the first few
        return node.slice.lower is None and sure(node.value)
    if called(node) == "range":  # of a size
        return "len" not in map(called, ast.walk(node))
    if called(node) in OWN:
        return sure(node.func.value)
    if called(node) in MADE:
        parts = node.args[1:] if called(node) == "map" else node.args
        return (any if any(key.arg == "strict" for key in node.keywords) else all)(map(sure, parts))
    returned = RETURNED.get(REACH[path].get(name_of(node)), ())
    return called(node) in OF_MODULES or (bool(returned) and all(certain(path, value) for value in returned))


def claims(path, body, given=frozenset(), sure=True):
    """Of each statement that says something, whether it is certain to be come to as far as loops go."""
    for node in body:
        if isinstance(node, ast.For | ast.While):
            there = isinstance(node, ast.While) or certain(path, node.iter, given)
            yield from claims(path, node.body, given, sure and there)
            yield from claims(path, node.orelse, given, sure)
        elif isinstance(node, ast.If | ast.With | ast.Try):
            if isinstance(node, ast.With) and any(speaks(path, item) for item in node.items):
                yield sure
            handled = [part for handler in getattr(node, "handlers", []) for part in handler.body]
            for part in (node.body, handled, getattr(node, "orelse", []), getattr(node, "finalbody", [])):
                yield from claims(path, part, given, sure)
        elif speaks(path, node):
            yield sure
        if isinstance(node, ast.Assign) and certain(path, node.value, given):
            given = given | {target.id for target in node.targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize("path", CASES, ids=named)
def test_some_claim_of_each_test_is_come_to(path):
    """What stands in a loop says nothing if there is nothing to go through: that there is has to be said before it."""
    found = {f.name: list(claims(path, f.body)) for f in FUNCTIONS[path] if is_test(f)}
    assert not [name for name, sure in found.items() if sure and not any(sure)]
