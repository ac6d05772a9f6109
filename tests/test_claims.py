"""What tests say can be false: rules that find, in their syntax trees, those that pass whatever the program does."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FILES = sorted(HERE.rglob("*.py"))
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


def is_test(function):
    return function.name.startswith("test_")


def outlined(nodes):
    """Whether something is said by nodes by themselves, and what they call."""
    calls = {name_of(part) for part in nodes if isinstance(part, ast.Call)}
    by_itself = any(isinstance(part, ast.Assert) for part in nodes)
    return by_itself or any(CLAIMS.fullmatch(name.rpartition(".")[2]) for name in calls), calls


class Suite:
    """All files of the tests, each parsed and gone through once.

    Attributes:
        nodes: of each file, all its nodes.
        functions: of each file, those that it defines.
        inside: of each function, all its nodes.
        reach: of each file, each function that it may call, by its name or by that of its module and its own:
            (file, name).
        saying: (file, name) of the functions that say something, by themselves or by what they call.
        returned: what each function returns, by (file, name).
    """

    def __init__(self):
        self.nodes = {path: list(ast.walk(ast.parse(path.read_text(encoding="utf-8")))) for path in FILES}
        self.functions = {path: self.kind(path, ast.FunctionDef) for path in FILES}
        self.inside = {function: list(ast.walk(function)) for path in FILES for function in self.functions[path]}
        self.modules = {path.stem: path for path in FILES}
        self.reach = {path: self._in_reach(path) for path in FILES}
        self.saying = self._helpers()
        self.returned = {
            (path, function.name): [node.value for node in self.inside[function] if isinstance(node, ast.Return)]
            for path in FILES
            for function in self.functions[path]
        }

    def kind(self, path, kind):
        return [node for node in self.nodes[path] if isinstance(node, kind)]

    def tests(self, path):
        return list(filter(is_test, self.functions[path]))

    def speaks(self, path, node):
        """Whether a node of a file says something, or calls what does."""
        says, calls = outlined(self.inside.get(node) or list(ast.walk(node)))
        return says or any(self.reach[path].get(call) in self.saying for call in calls)

    def _in_reach(self, path):
        found = {function.name: (path, function.name) for function in self.functions[path]}
        for node in self.kind(path, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.ImportFrom):
                module = self.modules.get(node.module)
                found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
            else:
                for module in (alias.name for alias in node.names if alias.name in self.modules):
                    theirs = (function.name for function in self.functions[self.modules[module]])
                    found |= {f"{module}.{name}": (self.modules[module], name) for name in theirs}
        return found

    def _helpers(self):
        known, before = set(), None
        every = [(path, function.name, *outlined(self.inside[function]))
                 for path in FILES for function in self.functions[path]]  # fmt: skip
        while known != before:
            before = set(known)
            known |= {(path, name) for path, name, says, calls in every
                      if says or any(self.reach[path].get(call) in before for call in calls)}  # fmt: skip
        return known


@pytest.fixture(scope="module")
def suite():
    return Suite()


def test_every_test_says_something(suite):
    """That nothing is raised is said by what is there afterwards."""
    tests = [(path, function) for path in FILES for function in suite.tests(path)]
    assert len(tests) > 2000
    assert not [(named(path), function.name) for path, function in tests if not suite.speaks(path, function)]


EITHER = {
    "faults/test_taken_over.py": 1,  # two messages, by whether a stopped build had opened the lock before
}
"""Assertions with an `or` that are right as they are, by file: how many, and why."""


def test_an_assertion_says_one_thing(suite):
    """`a or b` passes with whichever of the two is easier; what holds in some cases alone stands under their `if`."""
    tests = [(named(path), node.test) for path in FILES for node in suite.kind(path, ast.Assert)]
    found = [(name, test) for name, test in tests if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)]
    assert Counter(name for name, _ in found) == EITHER, [(name, test.lineno) for name, test in found]


def test_what_is_asserted_of_a_value_is_more_than_that_there_is_one(suite):
    """What raises else, or gives nothing but one kind of value, is never None."""
    tests = [(named(path), node.test) for path in FILES for node in suite.kind(path, ast.Assert)]
    compared = [(name, test) for name, test in tests if isinstance(test, ast.Compare)]
    assert not [(name, test.lineno) for name, test in compared if ast.unparse(test).endswith(" is not None")]


MADE = ("enumerate", "zip", "product", "reversed", "sorted", "list", "tuple", "map")
"""What gives something to go through if its arguments do."""
OWN = ("items", "values", "keys")
OF_MODULES = ("parameters", "named_parameters", "state_dict", "modules")


def certain(suite, path, node, given=frozenset()):
    """Whether it is plain from the text that there is something to go through: what is written out, or made of it."""

    def sure(part):
        return certain(suite, path, getattr(part, "value", part) if isinstance(part, ast.Starred) else part, given)

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
    returned = suite.returned.get(suite.reach[path].get(name_of(node)), ())
    return called(node) in OF_MODULES or (bool(returned) and all(certain(suite, path, value) for value in returned))


def claims(suite, path, body, given=frozenset(), sure=True):
    """Of each statement that says something, whether it is certain to be come to as far as loops go."""
    for node in body:
        if isinstance(node, ast.For | ast.While):
            there = isinstance(node, ast.While) or certain(suite, path, node.iter, given)
            yield from claims(suite, path, node.body, given, sure and there)
            yield from claims(suite, path, node.orelse, given, sure)
        elif isinstance(node, ast.If | ast.With | ast.Try):
            if isinstance(node, ast.With) and any(suite.speaks(path, item) for item in node.items):
                yield sure
            handled = [part for handler in getattr(node, "handlers", []) for part in handler.body]
            for part in (node.body, handled, getattr(node, "orelse", []), getattr(node, "finalbody", [])):
                yield from claims(suite, path, part, given, sure)
        elif suite.speaks(path, node):
            yield sure
        if isinstance(node, ast.Assign) and certain(suite, path, node.value, given):
            given = given | {target.id for target in node.targets if isinstance(target, ast.Name)}


def test_some_claim_of_each_test_is_come_to(suite):
    """What stands in a loop says nothing if there is nothing to go through: that there is has to be said before it."""
    tests = [(path, function) for path in FILES for function in suite.tests(path)]
    found = {(named(path), test.name): list(claims(suite, path, test.body)) for path, test in tests}
    assert not [name for name, sure in found.items() if sure and not any(sure)]


MESSAGES = re.compile(r"str\(.+\)|.*\.(err|out|stderr|stdout)|.*\.readouterr\(\)\.(err|out)")
"""What a message is compared as: the text of an error, which holds its `where`, or what a command prints."""


def searched(nodes):
    """(line, pattern) of each `match=` of `pytest.raises` and `pytest.warns`, and of each `"words" in message`."""
    for node in nodes:
        if name_of(node) in ("pytest.raises", "pytest.warns"):
            found = [key.value for key in node.keywords if key.arg == "match"]
            yield from ((node.lineno, one.value) for one in found if isinstance(one, ast.Constant))
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In) and isinstance(node.left, ast.Constant):
            messages = filter(MESSAGES.fullmatch, map(ast.unparse, node.comparators))
            yield from ((node.lineno, re.escape(str(node.left.value))) for _ in messages)


def paths_named(nodes):
    """What files and folders are called: the right-hand sides of `/`, and what is given as `path`."""
    for node in nodes:
        parts = [node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) else []
        parts += [key.value for key in getattr(node, "keywords", []) if key.arg == "path"]
        yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def test_no_word_is_looked_for_that_a_path_of_the_test_holds(suite):
    """An error says where: a word that is part of a file's name is found in every error about that file.

    What is found is looked for in the message itself, or in `message`, or in `found`.
    """
    parts = [(named(path), suite.inside[function]) for path in FILES for function in suite.functions[path]]
    named_in = [(name, nodes, names) for name, nodes in parts if (names := set(paths_named(nodes)))]
    assert not [(name, line, pattern) for name, nodes, names in named_in for line, pattern in searched(nodes)
                if any(re.search(pattern, word) for word in names)]  # fmt: skip


def test_folders_of_tests_are_not_named_after_them(tmp_path):
    """pytest's own are: a test with `damaged` in its name would find that in every error about its files."""
    assert not re.search("folders|tests|named", tmp_path.name)


def test_what_is_to_raise_is_one_statement(suite):
    """Else the others may raise in its place; a block that is to be left by an error ends in `raise`."""
    compound = ast.For | ast.While | ast.If | ast.Try
    blocks = [(named(path), node) for path in FILES for node in suite.kind(path, ast.With)]
    raising = [(name, node) for name, node in blocks
               if any(name_of(item.context_expr) == "pytest.raises" for item in node.items)]  # fmt: skip
    assert len(raising) > 500
    assert not [(name, node.lineno) for name, node in raising if not isinstance(node.body[-1], ast.Raise)
                if len(node.body) > 1 or isinstance(node.body[0], compound)]  # fmt: skip
