"""A component from a configuration, or by its name."""

from __future__ import annotations

from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec


def chosen(kind: str, given: ComponentSpec | str) -> ComponentSpec:
    """Return the component itself, or the one with that name and default keys.

    Raises:
        PluginError: if no component has that name.
    """
    if isinstance(given, ComponentSpec):
        return given
    known = registry()
    entry = known.get(kind, given)
    return ComponentSpec(entry, entry.cls.Config.model_validate({}, context={"registry": known}))
