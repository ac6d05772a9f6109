"""The configuration of components in recipes."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import TypeAdapter

from pixkit.components.plugins import registry
from pixkit.components.registry import Registry
from pixkit.components.spec import ComponentSpec, Resolve
from pixkit.recipe import dump_yaml, parse_yaml


def check_config(spec: ComponentSpec) -> None:
    """Check that a recipe's section survives a round trip through JSON and YAML, and that every key is described."""
    assert spec.entry.summary, f"{spec.cls.__name__} has no docstring: `pixkit ls` shows its first line"
    for key, field in spec.cls.Config.model_fields.items():
        assert field.description, f"the key '{key}' of {spec.cls.__name__} has no description"
    dump = spec.dump()
    for form, text in (("JSON", json.loads(json.dumps(dump))), ("YAML", parse_yaml(dump_yaml(dump), "dump").plain())):
        again = resolve(spec, text)
        assert again.config == spec.config, f"{spec.name}: after a round trip through {form} it is {again.config!r}"
        assert again.dump() == dump, f"{spec.name}: writing it again gives {again.dump()!r}, not {dump!r}"


def resolve(spec: ComponentSpec, section: object) -> ComponentSpec:
    """Resolve a section of a recipe as a component of the same kind as `spec`, which need not be registered."""
    known = Registry()
    known.extend(list(registry()))
    if known.find(spec.entry.kind, spec.entry.qualified) is None:
        known.extend([spec.entry])
    adapter: TypeAdapter[ComponentSpec] = TypeAdapter(Annotated[ComponentSpec, Resolve(spec.entry.kind, spec.key)])
    return adapter.validate_python(section, context={"registry": known})
