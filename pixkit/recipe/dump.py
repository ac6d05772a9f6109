"""Writing plain data as YAML that reads back equal, here and in readers of YAML 1.1."""

from __future__ import annotations

from typing import Any

import yaml

from pixkit.recipe.scalars import ScalarError, resolve_scalar


def dump_yaml(plain: Any) -> str:
    """Plain data (mappings with text keys, lists, scalars) as YAML, keys in the order given.

    Mappings are written as blocks, lists of scalars in one line. ``parse_yaml`` of the result gives
    equal data; tuples come back as lists.

    Raises:
        yaml.representer.RepresenterError: for anything that is not plain data.
    """
    return yaml.dump(
        plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=float("inf")
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    """Quote what either version of YAML would not read as this text."""
    simple = value.isprintable() and value == value.strip()
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if simple and _is_text(value) else '"')


def _list(dumper: _Dumper, value: list[Any] | tuple[Any, ...]) -> yaml.Node:
    flow = not any(isinstance(item, dict | list | tuple) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


def _is_text(value: str) -> bool:
    try:
        return isinstance(resolve_scalar(value), str)
    except ScalarError:
        return False


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(tuple, _list)
