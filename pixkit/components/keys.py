"""The keys of a configuration as rows of a table, read from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from pixkit.components.config import ComponentConfig, aliases
from pixkit.components.spec import ComponentSpec

_BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "pattern": "matches {}",
}
_TYPES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "null"}


@dataclass(frozen=True)
class Key:
    """One key; `default` is YAML-like text, None if the key is required."""

    key: str
    type: str
    default: str | None
    range: str
    description: str


def keys_of(config: type[ComponentConfig]) -> list[Key]:
    """The keys of a configuration, including those of sections within it as `section.key`."""
    schema = config.model_json_schema()
    return list(_walk(config, schema, schema.get("$defs", {}), ""))


def _walk(config: type[BaseModel], schema: dict[str, Any], defs: dict[str, Any], prefix: str) -> Iterator[Key]:
    for name, field in config.model_fields.items():
        rule = schema["properties"][name]
        also = [alias for alias, key in aliases(config).items() if key == name]
        said = [field.description or rule.get("description") or "", f"Also called {', '.join(also)}." if also else ""]
        text = " ".join(" ".join(said).split())
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel) and not field.is_required():
            yield from _walk(section, _target(rule, defs), defs, f"{prefix}{name}.")
            continue
        yield Key(prefix + name, _type(rule, defs), _default(field), _range(rule, defs), text)
        if field.discriminator is not None:
            yield from _variants(field, rule, defs, prefix + name)


def _variants(field: FieldInfo, rule: dict[str, Any], defs: dict[str, Any], key: str) -> Iterator[Key]:
    """The keys of each section that a `type` selects, as `section[type].key`."""
    for variant, part in zip(get_args(field.annotation), rule["oneOf"], strict=True):
        schema = _target(part, defs)
        chosen = _type(schema["properties"][field.discriminator], defs)
        for row in _walk(variant, schema, defs, f"{key}[{chosen}]."):
            if not row.key.endswith(f".{field.discriminator}"):
                yield row


def _target(rule: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a section: of two classes with one name, pydantic gives longer names to both."""
    found: dict[str, Any] = defs[rule["$ref"].rpartition("/")[2]]
    return found


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    plain = to_jsonable_python(value.dump() if isinstance(value, ComponentSpec) else value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _type(rule: dict[str, Any], defs: dict[str, Any]) -> str:
    if "x-pixkit-kind" in rule:
        return str(rule["x-pixkit-kind"])
    if "$ref" in rule:
        target = _target(rule, defs)
        return _type(target, defs) if "enum" in target else str(target.get("title") or rule["$ref"].rpartition("/")[2])
    if "enum" in rule or "const" in rule:
        return " | ".join(_literal(value) for value in rule.get("enum", [rule.get("const")]))
    return _TYPES.get(rule.get("type", ""), "") or _compound(rule, defs)


def _compound(rule: dict[str, Any], defs: dict[str, Any]) -> str:
    if "discriminator" in rule:
        return " | ".join(rule["discriminator"]["mapping"])
    if "anyOf" in rule or "oneOf" in rule:
        return " | ".join(dict.fromkeys(_type(one, defs) for one in rule.get("anyOf") or rule["oneOf"]))
    if "prefixItems" in rule:
        return f"[{', '.join(_type(part, defs) for part in rule['prefixItems'])}]"
    if rule.get("type") == "array":
        return f"[{_type(rule.get('items', {}), defs)}, ...]"
    if isinstance(rule.get("additionalProperties"), dict):
        return f"{{name: {_type(rule['additionalProperties'], defs)}}}"
    return "any"


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _range(rule: dict[str, Any], defs: dict[str, Any]) -> str:
    found = [text.format(rule[name]) for name, text in _BOUNDS.items() if name in rule]
    inner = [part for several in ("anyOf", "oneOf") for part in rule.get(several, [])]
    found += [text for text in (_range(part, defs) for part in inner) if text]
    return ", ".join(found)
