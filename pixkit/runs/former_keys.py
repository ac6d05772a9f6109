"""Keys of pixkit's own components that locks of earlier versions have under another name."""

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
"""By the component's name: what `pixkit.components.config.aliases` says of its Config. Locks are read without plugins,
and runs are compared by their keys."""


def with_present_keys(said: Any) -> Any:
    """A recipe as plain data, with the present names of these keys; one that has both names keeps them."""
    if isinstance(said, list):
        return [with_present_keys(each) for each in said]
    if not isinstance(said, dict):
        return said
    kind = said.get("type")
    present = FORMER_KEYS.get(kind, {}) if isinstance(kind, str) else {}
    names = {key: present[key] for key in said if key in present and present[key] not in said}
    return {names.get(key, key): with_present_keys(value) for key, value in said.items()}
