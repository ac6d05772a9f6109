"""Find the configuration class that checks a section of a recipe, by walking the annotations."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pixkit.components.config import aliases
from pixkit.components.registry import Registry
from pixkit.components.spec import ComponentSpec, Resolve
from pixkit.errors import PluginError
from pixkit.recipe.schema import Recipe
from pixkit.recipe.source import Path


@dataclass(frozen=True)
class Slot:
    """The annotation of one place in a recipe."""

    annotation: Any
    resolve: Resolve | None = None

    def options(self) -> list[Slot]:
        """The slot itself or, of a union, each member; annotations unwrapped."""
        return list(_alternatives(self))

    def key(self) -> str | None:
        """The key that decides which other keys this section has, if there is one."""
        alternatives = self.options()
        for slot in alternatives:
            if slot.resolve:
                return slot.resolve.key
        return "type" if sum(_is_model(slot.annotation) for slot in alternatives) > 1 else None


def slot_at(path: Path, plain: Any, registry: Registry) -> Slot | None:
    """The slot at `path` of the recipe `plain`; None if no schema reaches it."""
    slot: Slot | None = Slot(Recipe)
    for part in path:
        if slot is None:
            return None
        slot = step(slot, part, plain, registry)
        plain = _child(plain, part)
    return slot


def config_at(path: Path, plain: Any, registry: Registry) -> type[BaseModel] | None:
    """The class that checks the keys of the mapping at `path`, if there is exactly one."""
    slot = slot_at(path, plain, registry)
    for part in path:
        plain = _child(plain, part)
    return config_of(slot, plain, registry) if slot else None


def keys_below(slot: Slot, plain: Any, registry: Registry, within: tuple[type, ...] = ()) -> Iterator[Path]:
    """Every key that a section may have, and those of the sections in it, as relative paths.

    For a section that is not given, the keys of its default. A class that contains itself is entered once.
    """
    config = config_of(slot, plain, registry)
    if config is None or config in within:
        return
    key = slot.key()
    if key and key not in config.model_fields:
        yield (key,)
    for name, field in config.model_fields.items():
        yield (name,)
        given = _child(plain, name)
        below = _default(field) if given is None else given
        for path in keys_below(_field_slot(field), below, registry, (*within, config)):
            yield (name, *path)


def owners(slot: Slot, key: str, registry: Registry) -> list[str]:
    """The alternatives for this place that have that key, by the names that choose them."""
    found: list[str] = []
    for option in _alternatives(slot):
        if option.resolve:
            kind = option.resolve.kind
            found += [one.recipe_name for one in registry if one.kind == kind and _has(one.cls.Config, key)]
        elif _is_model(option.annotation) and _has(option.annotation, key):
            found += map(str, _tags(option.annotation))
    return found


def _has(config: type[BaseModel], key: str) -> bool:
    """Whether a configuration takes a key, under whichever name."""
    return key in config.model_fields or key in aliases(config)


def _default(field: FieldInfo) -> Any:
    """The default of a key, as plain data; None if it is required."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, ComponentSpec):
        return value.dump()
    return value.model_dump() if isinstance(value, BaseModel) else value


def step(slot: Slot, part: str | int, plain: Any, registry: Registry) -> Slot | None:
    """The slot of a key, or of a member of a list, of the section `plain`; None where no schema reaches."""
    config = None if isinstance(part, int) else config_of(slot, plain, registry)
    if config is not None:
        field = config.model_fields.get(str(part))
        return _field_slot(field) if field else None
    for option in _alternatives(slot):
        arguments = get_args(option.annotation)
        if isinstance(part, int) and get_origin(option.annotation) in (list, tuple) and arguments:
            return Slot(arguments[min(part, len(arguments) - 1)] if arguments[-1] is not Ellipsis else arguments[0])
        if isinstance(part, str) and get_origin(option.annotation) is dict and arguments:
            return Slot(arguments[1])
    return None


def config_of(slot: Slot, plain: Any, registry: Registry) -> type[BaseModel] | None:
    """The class that checks the keys of the section `plain` in a slot, if there is exactly one."""
    found: list[type[BaseModel]] = []
    for option in [] if isinstance(plain, list) else _alternatives(slot):
        if option.resolve:
            found.extend(_component(option.resolve, plain, registry))
        elif _is_model(option.annotation):
            found.append(option.annotation)
    if len(found) > 1 and isinstance(plain, dict):
        found = [config for config in found if plain.get("type") in _tags(config)]
    return found[0] if len(found) == 1 else None


def _component(resolve: Resolve, plain: Any, registry: Registry) -> Iterator[type[BaseModel]]:
    name = resolve.name_in(plain)
    try:
        entry = registry.find(resolve.kind, name) if isinstance(name, str) else None
    except PluginError:
        return
    if entry:
        yield entry.cls.Config


def _tags(config: type[BaseModel]) -> tuple[Any, ...]:
    """The values of `type` that choose this member of a union."""
    field = config.model_fields.get("type")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _alternatives(slot: Slot) -> Iterator[Slot]:
    """The slot itself or, for a union, each member; with unwrapped annotations."""
    if slot.resolve:
        yield slot
    elif get_origin(slot.annotation) is Annotated:
        inner, *metadata = get_args(slot.annotation)
        yield from _alternatives(Slot(inner, _resolve_in(metadata)))
    elif get_origin(slot.annotation) in (Union, types.UnionType):
        for member in get_args(slot.annotation):
            yield from _alternatives(Slot(member))
    else:
        yield slot


def _field_slot(field: FieldInfo) -> Slot:
    return Slot(field.annotation, _resolve_in(field.metadata))


def _resolve_in(metadata: list[Any]) -> Resolve | None:
    return next((item for item in metadata if isinstance(item, Resolve)), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _child(plain: Any, part: str | int) -> Any:
    if isinstance(plain, dict):
        return plain.get(part)
    if isinstance(plain, list) and isinstance(part, int) and part < len(plain):
        return plain[part]
    return None
