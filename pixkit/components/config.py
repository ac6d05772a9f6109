"""What the keys of a component are declared by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PrivateAttr
from pydantic_core import CoreSchema

from pixkit.components.literals import strict_literals
from pixkit.errors import KeyPath, dotted


@dataclass(frozen=True)
class _Place:
    """Where a configuration stands; no reason for two of them to differ."""

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
        """pydantic's, with numbers of a Literal taken as they are written."""
        schema: CoreSchema = strict_literals(handler(source))
        return schema

    def where(self, key: str = "") -> str:
        """Where a key of this configuration, or all of it, stands in the recipe: ``model.backbone.width``.

        For the `where` of errors; in a recipe within a recipe, as a backbone's own backbone is, the whole path. What
        was never part of a component is at the top.
        """
        return dotted((*self._place.path, *([key] if key else [])))

    def settle(self, at: KeyPath | ComponentConfig) -> None:
        """Note where it stands, for `where`: at a path, or at the place of another one. ComponentSpec does."""
        self._place = at._place if isinstance(at, ComponentConfig) else _Place(at)
