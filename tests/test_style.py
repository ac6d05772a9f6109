"""Which part may import which; lint and types are commands of their own (tests/README.md)."""

import abc
import ast
import functools
import importlib
import inspect
import re
from pathlib import Path

import pytest

import pixkit
from pixkit import public

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    *("errors", "numerals", "bits", "distribution", "files", "locks", "cache", "randomness", "precision"),
    *("context", "image", "noise", "ranks", "modes", "memory", "catalogue"),
    *("components", "orderings", "layers", "backbones", "heads", "network", "wrappers"),
    *("readiness", "execution", "samplers", "models", "optimisers"),
    *("data", "recipe", "runs", "codec", "figures", "trackers", "tasks", "report"),
    *("training", "testing", "builtins", "starter", "studio", "cli", "__main__"),
    *("public", "build", "completion"),
)
"""Modules and packages of the core; each imports itself and earlier ones, and no others."""


@pytest.fixture(scope="module")
def nodes():
    """All nodes of a file's syntax tree; each file is parsed once."""
    yield (found := functools.cache(lambda path: list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))))
    found.cache_clear()


def imports(nodes):
    """(module, imported names) of every import that runs, wherever it stands in the file."""
    blocks = [node for node in nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    unseen = {id(inner) for block in blocks for inner in ast.walk(block)}
    for node in nodes:
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module, tuple(alias.name for alias in node.names)


def parts_imported(nodes):
    for module, names in imports(nodes):
        first, *rest = module.split(".")
        if first == "pixkit":
            yield from rest[:1] or names


def offending(paths, find):
    """By file, what `find` finds in it that should not be there."""
    assert paths
    found = {path.relative_to(ROOT).as_posix(): find(path) for path in paths}
    return {name: wrong for name, wrong in found.items() if wrong}


CORE = sorted(path for path in (ROOT / "pixkit").rglob("*.py") if path != ROOT / "pixkit" / "__init__.py")
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def test_imports_go_one_way(nodes):
    def later(path):
        part = path.relative_to(ROOT / "pixkit").parts[0].removesuffix(".py")
        assert part in PARTS, "a new part of the core needs its place in PARTS"
        allowed = PARTS[: PARTS.index(part) + 1]
        return [other for other in parts_imported(nodes(path)) if other not in allowed]

    assert not offending(CORE, later)


def test_the_core_imports_no_plugin(nodes):
    def plugins(path):
        modules = [module for module, _ in imports(nodes(path))]
        return [module for module in modules if module.split(".")[0] in ("pixkit_plugins", "plugins")]

    assert not offending(CORE, plugins)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_public_names_alone(path, nodes):
    ours = [(module, names) for module, names in imports(nodes(path)) if module.split(".")[0] == "pixkit"]
    assert {module for module, _ in ours} <= {"pixkit", *(f"pixkit.{name}" for name in public.modules())}
    assert not [module for module, names in ours if module != "pixkit" and not names], "import names, not the module"
    for module, names in ours:
        missing = set(names) - set(importlib.import_module(module).__all__)
        assert not missing, f"{module} does not export {missing}"
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pixkit":
            assert node.attr in dir(pixkit), f"pixkit does not export {node.attr}"


def test_fields_name_their_default(nodes):
    """Type checkers without pydantic's plugin take a key with a positional default for a required one."""

    def positional(path):
        found = [node for node in nodes(path) if isinstance(node, ast.Call) and node.args]
        return [call.lineno for call in found if re.match(r"(pydantic\.)?Field\((?!\.\.\.)", ast.unparse(call))]

    assert not offending(CORE + PLUGINS, positional)


LOOKING = [path for path in CORE if path.relative_to(ROOT).parts[1] in ("runs", "training", "data", "figures")]


def calls(nodes):
    return [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]


def test_what_cannot_be_read_is_not_taken_for_what_is_not_there(nodes):
    """`pixkit.files` asks whether something is there; Python's own ways say no for a disk that fails."""
    asked = re.compile(r".*(\.exists|\.is_file|(?<!\bentry)\.is_dir|\.is_symlink|path\.(lexists|isdir|isfile|islink))")
    assert not offending(LOOKING, lambda path: list(filter(asked.fullmatch, calls(nodes(path)))))


WRITERS = [ROOT / "pixkit" / "cli" / name for name in ("output.py", "progress.py")]


def test_one_writer(nodes):
    """What is printed is made printable in one place."""
    written = r"^(print|click\.(echo|secho|echo_via_pager)|(sys\.)?(stdout|stderr)\.(write|writelines)|.*\bprint_exc)$"
    others = sorted({*CORE} - {*WRITERS})
    assert not offending(others, lambda path: [call for call in calls(nodes(path)) if re.match(written, call)])


COMMANDS = sorted((ROOT / "pixkit" / "cli" / "commands").glob("[a-z]*.py"))
COMPUTING = (
    "models",
    "network",
    "samplers",
    "execution",
    "layers",
    "heads",
    "backbones",
    "orderings",
    "noise",
    "randomness",
)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_commands_parse_and_print(path, nodes):
    """What a command does is a function of a lower part: here are no tensors but to show them, and no model."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 170
    assert not set(parts_imported(nodes(path))) & set(COMPUTING)
    names = {node.attr for node in nodes(path) if isinstance(node, ast.Attribute)}
    assert not names & {"no_grad", "sample", "draw", "decode", "encode", "score", "completing"}


def abstract_methods(nodes):
    """(module, class, method) of every method that is marked abstract, in the core and in plugins."""
    for path in (*CORE, *PLUGINS):
        root = "pixkit" if path.is_relative_to(ROOT / "pixkit") else "plugins"
        parts = path.relative_to(ROOT if root == "pixkit" else ROOT / "plugins").with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        for cls in nodes(path):
            if not isinstance(cls, ast.ClassDef):
                continue
            for method in cls.body:
                marks = getattr(method, "decorator_list", [])
                if any("abstractmethod" in ast.unparse(mark) for mark in marks):
                    yield module, cls.name, method.name


def test_abstract_means_abstract(nodes):
    """`@abstractmethod` does nothing on a class that does not derive from abc.ABC, as a plain nn.Module does not."""
    found = list(abstract_methods(nodes))
    assert len(found) > 20
    for module, name, method in found:
        cls = getattr(importlib.import_module(module), name)
        assert isinstance(cls, abc.ABCMeta), f"{module}: {name} needs abc.ABC as a base"
        assert method in cls.__abstractmethods__, f"{module}: {name}.{method}"


def test_what_is_not_implemented_is_abstract(nodes):
    """Nobody finds out by calling it: construction says which method is missing."""
    every = [*CORE, *PLUGINS]
    assert not offending(every, lambda path: [ast.unparse(node) for node in nodes(path) if raises(node)])


def raises(node):
    return isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc)


def overrides():
    """(class, base, method) of every method of ours that takes the place of one of ours."""
    for path in (*CORE, *PLUGINS):
        root = ROOT if path.is_relative_to(ROOT / "pixkit") else ROOT / "plugins"
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if path.name == "__main__.py":
            continue
        for cls in vars(importlib.import_module(module)).values():
            for base in cls.__mro__[1:] if inspect.isclass(cls) and cls.__module__ == module else ():
                names = [name for name, value in vars(cls).items() if inspect.isfunction(value) and name != "__init__"]
                if base.__module__.startswith("pixkit"):
                    yield from ((cls, base, name) for name in names if inspect.isfunction(vars(base).get(name)))


def test_what_overrides_a_method_has_its_defaults():
    """Whoever calls it by the base's signature gets what that says."""
    found = list(overrides())
    assert len(found) > 200
    for cls, base, name in found:
        ours, theirs = (inspect.signature(vars(owner)[name]).parameters for owner in (cls, base))
        for key in ours.keys() & theirs.keys():
            if theirs[key].default is not inspect.Parameter.empty:
                assert ours[key].default == theirs[key].default, f"{cls.__name__}.{name}: {key}"
