"""The group of commands, which imports a command only when it runs or shows its own help."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixkit.distribution import shield_libraries
from pixkit.errors import listed

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SECTIONS: dict[str, dict[str, str]] = {
    "Work": {
        "build": "Train a recipe's model into a run folder.",
        "sweep": "Build a recipe with every combination of some keys' values.",
        "sample": "Draw images from a trained model.",
        "complete": "Draw the missing part of an image, and score the true one.",
        "upscale": "Draw the pixels between those of a small image.",
        "reconstruct": "Encode images and draw them again from their codes.",
        "compress": "Compress images losslessly with a trained model.",
        "decompress": "Restore the images that `pixkit compress` wrote.",
        "studio": "Serve a page to play with a trained model.",
        "eval": "Score a trained model on a split of its data.",
        "score": "Score images one by one, and show where they are unlikely.",
        "export": "Write a run into a new folder, to share it.",
        "verify": "Prove a model, or any module, causal, or show its leak.",
        "bench": "Measure how fast a recipe's model works.",
    },
    "Recipes": {
        "validate": "Check recipes and list all errors.",
        "cp": "Copy a packaged recipe to edit it.",
        "schema": "Print the JSON Schema of recipes.",
        "new-plugin": "Start a plugin: a distribution with one component.",
    },
    "Look around": {
        "ls": "List components, recipes, runs or the zoo.",
        "compare": "Compare runs: recipes, scores and curves.",
        "report": "Write a page about runs: curves, scores, samples, recipes.",
        "show": "Show a component and its keys, a recipe or a run.",
        "plugins": "List plugins, their components and their state.",
        "docs": "Read the documentation, page by page.",
        "cache": "List the decoded images in the cache, or remove them.",
    },
}
"""The summary of each command of pixkit, by section of the help."""


def module_of(command: str) -> str:
    """The module of one of pixkit's own commands."""
    return f"pixkit.cli.commands.{command.replace('-', '_')}"


def _load_files(ctx: click.Context, parameter: click.Parameter, files: Sequence[Path]) -> None:
    if files and not ctx.resilient_parsing:
        shield_libraries()
        from pixkit.cli.plugins import require_sound_if_asked
        from pixkit.components.plugins import plugins

        for file in files:
            plugins().load_file(file)
        require_sound_if_asked(plugins())


plugin_option = click.option(
    "--plugin",
    metavar="FILE.py",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    expose_value=False,
    is_eager=True,
    callback=_load_files,
    help="Load a plugin from a Python file, for this command only; may be repeated.",
)
"""For the group, and for commands that look at recipes, runs or components; defined here because this module imports
little."""


class CommandGroup(click.Group):
    """pixkit's own commands by name; other names are looked up in plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """pixkit's own commands, in the order of the help."""
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; plugins are loaded only for a name that is not pixkit's own."""
        if ctx.resilient_parsing:  # a shell is completing: nothing runs
            from pixkit.cli.completion import drawn_command

            return drawn_command(cmd_name)
        from pixkit.cli.look import importing

        if cmd_name in self.list_commands(ctx):
            with importing():
                command: click.Command = importlib.import_module(module_of(cmd_name)).command
            return command
        if cmd_name.startswith("-"):
            return None
        from pixkit.cli.plugins import loaded_plugins, plugin_command

        return plugin_command(loaded_plugins(), cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """As in click, once damaged files of other packages can no longer make an import fail."""
        shield_libraries()
        return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, suggesting the nearest name for an unknown command."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            from pixkit.cli.plugins import plugin_command_names
            from pixkit.components.plugins import plugins

            known = [*self.list_commands(ctx), *plugin_command_names(plugins())]
            near = difflib.get_close_matches(name, known, n=1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"no command '{name}'.{guess} There are: {listed(known)}.", ctx)
        return None if command is None else name, command, args[1:]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options, and the names of commands with their summaries, without importing any."""
        from pixkit.cli.completion import command_items

        return [*command_items(incomplete), *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing them."""
        from pixkit.cli.look import catalogue

        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()))
        brought = [(each.name, each.summary) for each in catalogue(quiet=True).commands if each.plugin]
        if brought:
            with formatter.section("From plugins"):
                formatter.write_dl(brought)
