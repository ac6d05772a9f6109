"""The command line's use of plugins: report broken ones, and add their commands."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pixkit.cli.look import importing, left_out, plugins_are_loaded
from pixkit.cli.output import shown_path, warn
from pixkit.errors import PluginError, UsageError

if TYPE_CHECKING:
    from pixkit.components.plugins import PluginInfo, Plugins
    from pixkit.components.spec import Entry


def loaded_plugins() -> Plugins:
    """The plugins of this process; each broken one is reported in a line on stderr."""
    with importing():
        from pixkit.components.plugins import plugins

        loaded = plugins()
    for info in loaded.broken():
        warn(left_out(info))
    return loaded


def plugin_options() -> str:
    """``--plugin FILE`` for each loaded plugin file, with a space before it, for printed commands."""
    if not plugins_are_loaded():
        return ""
    from pixkit.components.plugins import plugins

    return "".join(f" --plugin {shlex.quote(shown_path(file))}" for file in plugins().files)


def require_sound(loaded: Plugins) -> None:
    """Raise PluginError if any plugin is broken or in conflict with another."""
    unsound = [info for info in loaded.infos if info.health in ("broken", "conflict")]
    if unsound:
        raise PluginError(
            "--strict-plugins accepts only sound plugins",
            found="; ".join(f"{describe(info)} is {_state(info)}: {info.detail}" for info in unsound),
        )


def require_sound_if_asked(loaded: Plugins) -> None:
    """The same for errors found after the options were read, under --strict-plugins."""
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().params.get("strict_plugins"):
        require_sound(loaded)


def describe(info: PluginInfo) -> str:
    """A plugin's name and its source."""
    return f"'{info.name}' of {info.distribution} {info.version}"


def _state(info: PluginInfo) -> str:
    return "in conflict" if info.health == "conflict" else info.health


def find_component(loaded: Plugins, kind: str, name: str) -> Entry:
    """The component with that name.

    Raises:
        UsageError: if there is none, with the nearest name.
        PluginError: if there is none and a plugin that has it, or may have it, is missing.
    """
    entry = loaded.registry.find(kind, name)
    if entry is not None:
        return entry
    missing = loaded.registry.explain(kind, name)
    if missing:
        raise PluginError(loaded.registry.unknown_message(kind, name), hint=missing)
    raise UsageError(loaded.registry.unknown_message(kind, name), hint=f"pixkit ls {kind}{plugin_options()}")


def commands_of(loaded: Plugins, info: PluginInfo, report: Callable[[str], object] = warn) -> dict[str, click.Command]:
    """The commands of a plugin; if its hook fails, the plugin counts as broken, and that is reported."""
    if info.health in ("broken", "disabled"):
        return {}
    group = click.Group()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            loaded.call(info, "pixkit_commands", cli=group)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        from pixkit.components.attempt import with_line

        info.health, info.detail = "broken", f"pixkit_commands: {with_line(error)}"
        require_sound_if_asked(loaded)
        report(f"the commands of the plugin {describe(info)} were left out: {info.detail}")
        return {}
    return dict(group.commands)


def plugin_command(loaded: Plugins, name: str) -> click.Command | None:
    """The command with that name in a plugin, if there is one.

    Raises:
        PluginError: if several do.
    """
    bringing = [info for info in loaded.infos if name in commands_of(loaded, info)]
    if len(bringing) > 1:
        raise PluginError(
            f"the command '{name}' comes from {' and from '.join(map(describe, bringing))}",
            hint="leave one of them out with PIXKIT_DISABLE_PLUGINS",
        )
    return commands_of(loaded, bringing[0])[name] if bringing else None


def plugin_command_names(loaded: Plugins) -> list[str]:
    """The names of all commands in plugins."""
    return sorted({name for info in loaded.infos for name in commands_of(loaded, info)})
