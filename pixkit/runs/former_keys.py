"""Keys of pixkit's own components that have another name in locks of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

FORMER_KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "pixelcnnpp": {"filters": "width", "resnets": "blocks"},
        "row_rnn": {"hidden_size": "units", "num_layers": "layers"},
    }
)
"""The aliases of each component's keys (`pixkit.components.config.aliases`), by its name. Locks are read, and
runs compared by their keys, without loading plugins."""


def with_present_keys(said: Any) -> Any:
    """Rename these keys in a recipe, given as plain data; a section with both names keeps both."""
    if isinstance(said, list):
        return [with_present_keys(each) for each in said]
    if not isinstance(said, dict):
        return said
    kind = said.get("type")
    present = FORMER_KEYS.get(kind, {}) if isinstance(kind, str) else {}
    names = {key: present[key] for key in said if key in present and present[key] not in said}
    return {names.get(key, key): with_present_keys(value) for key, value in said.items()}
