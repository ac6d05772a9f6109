"""The catalogue for commands: that of this process if plugins are already loaded, or else the kept one."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from pixkit.catalogue import store
from pixkit.catalogue.contents import Catalogue, Kept
from pixkit.catalogue.watch import watching
from pixkit.cli.output import is_terminal, say, warn
from pixkit.distribution import shield_libraries

PLUGINS = "pixkit.components.plugins"


def catalogue(*, quiet: bool = False) -> Catalogue:
    """The catalogue.

    Args:
        quiet: do not report broken plugins.
    """
    if plugins_are_loaded():
        from pixkit.cli.live import Live
        from pixkit.cli.plugins import loaded_plugins
        from pixkit.components.plugins import plugins

        return Live(plugins() if quiet else loaded_plugins())
    held = store.find()
    found = Kept(_made() if held is None else held)
    if not quiet:
        for remark in found.remarks if held is not None else ():  # loading the plugins has reported them
            warnings.warn(remark, RuntimeWarning, stacklevel=2)
        for plugin in found.plugins:
            if plugin.health == "broken":
                warn(left_out(plugin))
    return found


def plugins_are_loaded() -> bool:
    """Whether this process has imported its plugins: then these are used, with anything registered by hand."""
    module = sys.modules.get(PLUGINS)
    if module is None:
        return False
    cached = getattr(module.plugins, "cache_info", None)
    return cached is None or bool(cached().currsize)


def left_out(plugin: Any) -> str:
    """The message about a broken plugin, given a `Plugin` or a `PluginInfo`."""
    who = f"'{plugin.name}' of {plugin.distribution} {plugin.version}"
    return f"the plugin {who} is broken and was left out: {plugin.detail}"


def _made() -> dict[str, Any]:
    """Make it by loading all plugins, and keep it."""
    if is_terminal(sys.stderr):
        say("indexing pixkit and its plugins, once after an installation or a change ...")
    shield_libraries()
    with watching() as watch, importing():
        from pixkit.cli.live import Live
        from pixkit.components.plugins import plugins

        held = Live(plugins()).plain()
    store.keep(held, watch)
    return held


@contextmanager
def importing() -> Iterator[None]:
    """Import much without collecting garbage meanwhile: there is hardly any, and it takes a fifth of the time.

    In a command's own process, imported objects are not searched for garbage later either: they stay until the end.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        context = click.get_current_context(silent=True)
        if context is not None and getattr(context.find_root().obj, "own_process", False):
            gc.freeze()
        if enabled:
            gc.enable()
