"""The base class of component configurations."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    model_validator,
)
from pydantic_core import CoreSchema

from pixkit.components.literals import strict_literals
from pixkit.errors import KeyPath, dotted


@dataclass(frozen=True)
class _Place:
    """Where a configuration stands in a recipe; ignored when configurations are compared."""

    path: KeyPath = field(default=(), compare=False)


class ComponentConfig(BaseModel):
    """Base of every ``Config``: unknown keys refused, values not coerced, NaN refused, frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )
    _place: _Place = PrivateAttr(default_factory=_Place)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """pydantic's schema, with strict types for numbers in a Literal."""
        schema: CoreSchema = strict_literals(handler(source))
        return schema

    @model_validator(mode="before")
    @classmethod
    def _one_name_each(cls, given: Any) -> Any:
        """Refuse a section that has a key under two of its names."""
        for names in _names(cls).values() if isinstance(given, dict) else ():
            used = [f"'{name}'" for name in names if name in given]
            if len(used) > 1:
                raise ValueError(f"{' and '.join(used)} are names of one key: give one of them")
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """pydantic's schema plus a deprecated property for each alias; at most one name of a key may be present."""
        schema = handler(core)
        rule = handler.resolve_ref_schema(schema)
        for name, names in _names(cls).items():
            own = rule["properties"][name]
            for alias in names[1:]:
                rule["properties"][alias] = {**own, "description": f"Another name of {name}.", "deprecated": True}
            rules = rule.setdefault("allOf", [])
            rules += [{"not": {"required": list(two)}} for two in itertools.combinations(names, 2)]
            if name in rule.get("required", ()):
                rule["required"].remove(name)
                rules.append({"anyOf": [{"required": [each]} for each in names]})
        return schema

    def where(self, key: str = "") -> str:
        """Where a key of this configuration, or all of it, stands in the recipe: ``model.backbone.width``.

        Meant for the `where` of errors; in a nested recipe, such as a backbone's own backbone, it is the whole path. A
        configuration that was never part of a component is at the top.
        """
        return dotted((*self._place.path, *([key] if key else [])))

    def settle(self, at: KeyPath | ComponentConfig) -> None:
        """Record its path, or that of another configuration, for `where`. ComponentSpec calls this."""
        self._place = at._place if isinstance(at, ComponentConfig) else _Place(at)


def aliases(config: type[BaseModel]) -> dict[str, str]:
    """The aliases of a configuration's keys, each mapped to the key's name.

    A field declares them as `validation_alias=AliasChoices("width", "filters")`, its own name first.
    """
    return {alias: name for name, names in _names(config).items() for alias in names[1:]}


def _names(config: type[BaseModel]) -> dict[str, list[str]]:
    """The keys with aliases, each with all its names, its own first."""
    return {
        name: [name, *(str(each) for each in field.validation_alias.choices if each != name)]
        for name, field in config.model_fields.items()
        if isinstance(field.validation_alias, AliasChoices)
    }
