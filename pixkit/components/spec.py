"""Components as named in recipes: a registered name and a validated configuration.

A component is a class with a nested pydantic ``Config``. A configuration that holds another component annotates it with
one of the ``...Ref`` types below; validation then looks the name up in the registry given as
``context={"registry": registry}``, or in that of this process, and validates the remaining keys against that
component's own ``Config``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from pixkit.catalogue.kinds import BARE, one_of
from pixkit.components.config import ComponentConfig
from pixkit.distribution import is_own
from pixkit.errors import KeyPath


@dataclass(frozen=True)
class Entry:
    """One registered component."""

    kind: str
    name: str
    # Any: the base class depends on the kind
    cls: Any
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"the {self.kind} '{self.name}' ({self.cls.__qualname__} of {self.distribution} {self.version})"

    @property
    def qualified(self) -> str:
        """``distribution:name``, which always resolves."""
        return f"{self.distribution}:{self.name}"

    @property
    def recipe_name(self) -> str:
        """The name written in a locked recipe: bare for pixkit's own, qualified for others."""
        return self.name if is_own(self.distribution) else self.qualified

    @property
    def summary(self) -> str:
        """First line of the component's docstring."""
        return (self.cls.__doc__ or "").strip().split("\n")[0]


@dataclass(frozen=True)
class ComponentSpec:
    """A registered component together with its validated configuration.

    The configuration, and every one within it, records where it stands in a recipe (`ComponentConfig.where`): at the
    ordinary place of the component's kind, until another component's configuration contains it.
    """

    entry: Entry
    config: ComponentConfig
    key: str = "type"

    def __post_init__(self) -> None:
        for path, value, _ in walk(self.config, _PLACES.get(self.entry.kind, ("model", self.entry.kind))):
            if isinstance(value, ComponentConfig):
                value.settle(path)

    def __repr__(self) -> str:
        said = "".join(f", {key}={value!r}" for key, value in self.config if key in self.config.model_fields_set)
        return f"<{self.entry.kind} {self.entry.recipe_name!r}{said}>"

    @property
    def name(self) -> str:
        """The registered name."""
        return self.entry.name

    @property
    # Any: the base class depends on the kind
    def cls(self) -> Any:
        """The component's class."""
        return self.entry.cls

    # Any: arguments and result depend on the kind
    def build(self, *args: Any, **kwargs: Any) -> Any:
        """Construct the component: ``cls(config, *args, **kwargs)``."""
        return self.entry.cls(self.config, *args, **kwargs)

    # Any: plain data, as YAML has it
    def dump(self) -> Any:
        """The recipe section for this component with all defaults: a mapping, or a bare name (see `BARE`)."""
        if self.entry.kind in BARE and not type(self.config).model_fields:
            return self.entry.recipe_name
        return {self.key: self.entry.recipe_name, **self.config.model_dump(mode="json")}


_PLACES: dict[str, KeyPath] = {
    "model": ("model",),
    "data": ("data",),
    "sampler": ("sample",),
    "tracker": ("train", "log"),
    "activation": ("model", "backbone", "activation"),
    "norm": ("model", "backbone", "norm"),
    "initialiser": ("model", "backbone", "init"),
    "encoding": ("model", "input"),
    "optimiser": ("train", "optimizer"),
    "schedule": ("train", "schedule"),
    "conditioner": ("model", "context"),
}
"""Where recipes name a component of each kind, unless that is the model's section named after the kind."""


def walk(
    value: Any, path: KeyPath = (), declared: FieldInfo | None = None
) -> Iterator[tuple[KeyPath, Any, FieldInfo | None]]:
    """Yield (path, value, field) for everything in a validated configuration, starting with itself.

    A component has the path of its configuration, and comes before it. Members of a list have the list's field.
    """
    yield path, value, declared
    if isinstance(value, ComponentSpec):
        yield from walk(value.config, path, declared)
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from walk(getattr(value, name), (*path, name), field)
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from walk(held, (*path, key), declared)
    elif isinstance(value, list | tuple):
        for index, held in enumerate(value):
            yield from walk(held, (*path, index), declared)


class Resolve:
    """Annotation that makes pydantic resolve a recipe section through the registry.

    Args:
        kind: kind of the component.
        key: the key of a mapping that names it.
        usual: the name to use for a mapping without that key; None if the key is required.
    """

    def __init__(self, kind: str, key: str = "type", usual: str | None = None) -> None:
        self.kind, self.key, self.usual = kind, key, usual

    def name_in(self, section: Any) -> Any:
        """The name given by a section, a mapping or a bare name; None if there is none."""
        return section.get(self.key, self.usual) if isinstance(section, dict) else section

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(ComponentSpec.dump),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object", "x-pixkit-kind": self.kind, "x-pixkit-key": self.key}

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> ComponentSpec:
        if isinstance(value, ComponentSpec):
            return value
        if isinstance(value, str):
            value = {self.key: value}
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "component_section",
                "expected a mapping with the key '{key}', or the name of {one}",
                {"key": self.key, "kind": self.kind, "one": one_of(self.kind)},
            )
        rest = {k: v for k, v in value.items() if k != self.key}
        entry = self._lookup(value, info)
        return ComponentSpec(entry, entry.cls.Config.model_validate(rest, context=info.context), self.key)

    def _lookup(self, value: dict[str, Any], info: core_schema.ValidationInfo) -> Entry:
        name = self.name_in(value)
        if self.key not in value and name is None:
            raise self._error("missing", None, value, f"the key '{self.key}' is missing: it names the {self.kind}")
        if not isinstance(name, str):
            raise self._error("component_name", self.key, name, f"expected the name of {one_of(self.kind)}")
        registry = (info.context or {}).get("registry") or _installed()
        entry = registry.find(self.kind, name)
        if entry is None:
            text = registry.unknown_message(self.kind, name)
            raise self._error("unknown_component", self.key, name, text, registry.names(self.kind))
        out: Entry = entry
        return out

    def _error(
        self, code: Any, loc: str | None, value: Any, text: str, known: list[str] | None = None
    ) -> ValidationError:
        error = PydanticCustomError(code, "{text}", {"text": text, "known": known or [], "kind": self.kind})
        details: InitErrorDetails = {"type": error, "loc": (loc,) if loc else (self.key,), "input": value}
        return ValidationError.from_exception_data(self.kind, [details])


def _installed() -> Any:
    """The components of this process, for configurations made by a program."""
    from pixkit.components.plugins import registry

    return registry()


OrderingRef: TypeAlias = Annotated[ComponentSpec, Resolve("ordering")]
MaskRef: TypeAlias = Annotated[ComponentSpec, Resolve("mask")]
BackboneRef: TypeAlias = Annotated[ComponentSpec, Resolve("backbone")]
HeadRef: TypeAlias = Annotated[ComponentSpec, Resolve("head")]
SamplerRef: TypeAlias = Annotated[ComponentSpec, Resolve("sampler")]
ModelRef: TypeAlias = Annotated[ComponentSpec, Resolve("model")]
DataRef: TypeAlias = Annotated[ComponentSpec, Resolve("data", key="source")]
TrackerRef: TypeAlias = Annotated[ComponentSpec, Resolve("tracker")]
ActivationRef: TypeAlias = Annotated[ComponentSpec, Resolve("activation")]
NormRef: TypeAlias = Annotated[ComponentSpec, Resolve("norm")]
InitialiserRef: TypeAlias = Annotated[ComponentSpec, Resolve("initialiser")]
EncodingRef: TypeAlias = Annotated[ComponentSpec, Resolve("encoding", usual="scaled")]
OptimiserRef: TypeAlias = Annotated[ComponentSpec, Resolve("optimiser")]
ScheduleRef: TypeAlias = Annotated[ComponentSpec, Resolve("schedule", usual="constant")]
ConditionerRef: TypeAlias = Annotated[ComponentSpec, Resolve("conditioner")]
