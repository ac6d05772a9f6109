"""The hooks that a plugin may implement, and the marker to implement them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from pixkit.components.registry import Registrar

API_VERSION = 1
"""The value of a plugin's ``pixkit_api_version``; increased when a hook or a contract changes."""

hookspec = pluggy.HookspecMarker("pixkit")
hookimpl = pluggy.HookimplMarker("pixkit")


@hookspec
def pixkit_register(registry: Registrar) -> None:
    """Register components: ``registry.add(kind, name, cls)``."""


@hookspec
def pixkit_commands(cli: click.Group) -> None:
    """Add commands to the command line: ``cli.add_command(command)``."""


@hookspec
def pixkit_train_start(run: Any) -> None:
    """Training starts; `run` is the pixkit.runs.run.Run being trained."""


@hookspec
def pixkit_train_step(run: Any, step: int, metrics: dict[str, float]) -> None:
    """An optimiser step was made; `metrics` is the row of metrics.jsonl.

    On a GPU later steps may have been launched by then, up to the recipe's `train.lag`; none if that is 0.
    """


@hookspec
def pixkit_train_eval(run: Any, step: int, metrics: dict[str, float]) -> None:
    """The model was scored on the validation images."""


@hookspec
def pixkit_train_end(run: Any, step: int) -> None:
    """Training ended, whether completed or interrupted."""
