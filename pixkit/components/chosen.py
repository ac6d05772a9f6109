"""A component that a configuration holds, or that a program calls by its name."""

from __future__ import annotations

from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec


def chosen(kind: str, given: ComponentSpec | str) -> ComponentSpec:
    """The component itself, or that of a name, with every key left out.

    Raises:
        PluginError: if there is none of that name.
    """
    if isinstance(given, ComponentSpec):
        return given
    known = registry()
    entry = known.get(kind, given)
    return ComponentSpec(entry, entry.cls.Config.model_validate({}, context={"registry": known}))
