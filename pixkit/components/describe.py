"""Descriptions of components in words."""

from __future__ import annotations

from typing import Any

from pixkit.components.plugins import registry


def describe(kind: str, component: Any) -> str:
    """A component's registered name with the keys that differ from their defaults: "spiral, direction outward".

    Args:
        kind: kind of the component.
        component: an instance of a registered class, with its `config`; for any other class, the class is named.
    """
    components, config = registry(), component.config
    names = (entry.name for entry in components if entry.kind == kind and entry.cls is type(component))
    required = {key: getattr(config, key) for key, field in type(config).model_fields.items() if field.is_required()}
    usual = type(config).model_validate(required, context={"registry": components}).model_dump(mode="json")
    words = [next(names, type(component).__name__)]
    for key, value in config.model_dump(mode="json").items():
        if value != usual[key] or key in required:
            words.append(key if value is True else f"{key} {value}")
    return ", ".join(words)
