"""Numbers and switches that modules, classes and functions state: limits, tolerances, sizes of pieces, defaults, what
they can do."""

import ast
import dataclasses
import importlib
from pathlib import Path

from pydantic import BaseModel

from pixkit.components.config import ComponentConfig

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pixkit", "plugins/pixkit_plugins")
TOLERANCE = 1e-3
"""Smaller numbers in functions are tolerances."""
OF_THE_SYSTEM = {"_HINTS", "NOWHERE", "Interrupt.HANDLED"}
"""Numbers of errors and signals, which systems have of their own."""


def limits():
    """By module: each name at its top, each attribute of its classes, and each default of its functions, that is a
    number or a truth, or holds one."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name != "__main__.py":
                module = importlib.import_module(_name(path.relative_to((ROOT / package).parent)))
                values = {name: _plain(value) for name, value in _stated(module, path) if name not in OF_THE_SYSTEM}
                values |= _left_out(ast.parse(path.read_text(encoding="utf-8")).body)
                values |= _tolerances(path)
                if kept := {name: value for name, value in values.items() if _has_number(value)}:
                    found[module.__name__] = kept
    return found


def _name(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _stated(module, path):
    """What is assigned in the file itself, not imported from another."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield from _fields(node.name, getattr(module, node.name))
            for name in (name for inner in node.body for name in _targets(inner)):
                if name in vars(getattr(module, node.name)):  # pydantic takes the defaults of its models away
                    yield f"{node.name}.{name}", vars(getattr(module, node.name))[name]
        for name in _targets(node):
            yield name, getattr(module, name)


def _tolerances(path):
    """By function: what its sums may be off by; of the contract kit all fractions, by which plugins of others pass."""
    whole, found = path.parent.name == "testing", {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            constants = [inner for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
            fractions = [inner for inner in constants if isinstance(inner.value, float)]
            kept = [inner for inner in fractions if whole or 0 < inner.value <= TOLERANCE]
            places = sorted((inner.lineno, inner.col_offset, inner.value) for inner in kept)
            found.setdefault(node.name, []).extend(value for _, _, value in places)
    return found


def _left_out(body, within=""):
    """By function, of one's own use as well: numbers and truths that its arguments default to or its decorators have.

    A decorator's number is the size of a cache. Defaults of what is public are in `signatures.json` as well.
    """
    found = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= _left_out(node.body, f"{within}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            given = dict(zip(names[::-1], node.args.defaults[::-1], strict=False))
            given |= zip([argument.arg for argument in node.args.kwonlyargs], node.args.kw_defaults, strict=True)
            given |= {f"@{one.func.attr}": one.args[0] for one in node.decorator_list if _sized(one)}
            numbers = {name: _number(value) for name, value in sorted(given.items())}
            if stated := {name: number for name, number in numbers.items() if number is not None}:
                found[f"{within}{node.name}()"] = stated
    return found


def _sized(decorator):
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute) and bool(decorator.args)


def _number(node):
    """What an expression says, if that is a number, a truth, or a tuple of them."""
    try:
        value = None if node is None else ast.literal_eval(node)
    except ValueError:
        return None
    return _plain(value) if _has_number(_plain(value)) else None


def _fields(name, cls):
    """Bounds and defaults of a pydantic model's fields; those of components are pinned as keys."""
    if issubclass(cls, BaseModel) and not issubclass(cls, ComponentConfig):
        for key, field in cls.model_fields.items():
            bounds = {}
            for bound in field.metadata:
                bounds |= dataclasses.asdict(bound) if dataclasses.is_dataclass(bound) else {}
            default = {"default": field.default} if isinstance(field.default, int | float) else {}
            yield f"{name}.{key}", bounds | default


def _targets(node):
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return []


def _plain(value):
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _plain(part) for name, part in fields.items() if part is not None}
    if isinstance(value, dict):
        return {getattr(key, "__name__", str(key)): _plain(part) for key, part in value.items()}  # of functions, too
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, int | float):
        return value if type(value) in (bool, int, float) else value.value  # of an enumeration
    return value if isinstance(value, str | None) else type(value).__name__


def _has_number(value):
    if isinstance(value, dict):
        return any(key.lstrip("-").isdigit() or _has_number(part) for key, part in value.items())
    if isinstance(value, list):
        return any(map(_has_number, value))
    return type(value) in (int, float, bool)
