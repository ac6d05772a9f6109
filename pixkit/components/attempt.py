"""A plugin's first call, guarded: if anything goes wrong, it does so here, without side effects."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

import pluggy

from pixkit.components import hookspecs
from pixkit.components.registry import Registrar
from pixkit.errors import PixkitError, PluginError, message, shorten

PYTHON, OURS = Path(sysconfig.get_path("stdlib")), Path(__file__).parent.parent
INSTALLED = {"site-packages", "dist-packages"}
HOOKS = frozenset(name for name in vars(hookspecs) if name.startswith("pixkit_"))


def attempt(module: Any, key: str, registrar: Registrar) -> None:
    """Let a plugin register its components in a temporary manager: after that, nothing can fail any more.

    Args:
        module: the plugin.
        key: pluggy's name for it.
        registrar: receives its components.

    Raises:
        PluginError: for another `pixkit_api_version`, a misspelt or unmarked hook, or no hook at all.
        Exception: whatever the plugin raises.
    """
    stated = getattr(module, "pixkit_api_version", None)
    if stated != hookspecs.API_VERSION:
        found = "no pixkit_api_version" if stated is None else f"pixkit_api_version = {stated!r}"
        raise PluginError(f"states {found}; this pixkit has {hookspecs.API_VERSION}")
    trial = plugin_manager()
    trial.register(module, key)
    trial.check_pending()
    _check_names(module)
    if not trial.get_hookcallers(module):
        raise PluginError(f"implements no pixkit hook; the hooks are {', '.join(sorted(HOOKS))}")
    trial.hook.pixkit_register(registry=registrar)


def plugin_manager() -> pluggy.PluginManager:
    """A manager that knows the hooks, but no plugin."""
    manager = pluggy.PluginManager("pixkit")
    manager.add_hookspecs(hookspecs)
    return manager


def one_line(error: BaseException) -> str:
    """Type and message, at most some 300 characters; the message is left out if it cannot be obtained."""
    shown = shorten(message(error), 300)
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def with_line(error: BaseException) -> str:
    """`one_line`, and the innermost line of a component that raised the error, if the error does not say it itself."""
    steps = [step for step in traceback.extract_tb(error.__traceback__) if _is_foreign(step.filename)]
    if isinstance(error, PixkitError | SyntaxError) or not steps:
        return one_line(error)
    return f"{one_line(error)} ({steps[-1].filename}, line {steps[-1].lineno})"


def _is_foreign(name: str) -> bool:
    """Whether a file belongs neither to Python, nor to pixkit or an installed torch."""
    path, torch = Path(name), sys.modules.get("torch")
    libraries = [OURS, *([Path(torch.__file__).parent] if torch and torch.__file__ else [])]
    if not path.is_absolute() or any(path.is_relative_to(each) for each in libraries):
        return False
    return not path.is_relative_to(PYTHON) or bool(INSTALLED & {*path.relative_to(PYTHON).parts})


def _check_names(module: Any) -> None:
    """Reject unmarked functions named like a hook, or nearly, which pluggy would ignore."""
    for name in dir(module):
        value = getattr(module, name)
        if name.startswith("pixkit_") and callable(value):
            if name not in HOOKS:
                raise PluginError(f"'{name}' is not a pixkit hook; the hooks are {', '.join(sorted(HOOKS))}")
            if not hasattr(value, "pixkit_impl"):
                raise PluginError(f"'{name}' lacks the @pixkit.hookimpl marker")
