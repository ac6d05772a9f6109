"""A sound plugin: an ordering, a backbone, a head, a command and a hook that watches training."""

from __future__ import annotations

import click
import torch
from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.heads import LevelCategorical

pixkit_api_version = 1


class ColumnAtOnce(pixkit.Ordering):
    """All sites of a column together, columns from the left."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step c."""
        return torch.arange(width).repeat(height, 1)


class Neighbours(pixkit.Backbone):
    """One masked layer and a 1x1 one."""

    class Config(pixkit.ComponentConfig):
        """Its size."""

        width: int = Field(default=12, ge=1)
        """Number of maps."""

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        self.width = config.width
        self.body = nn.Sequential(
            pixkit.layers.MaskedConv2d(spec.inputs, self.width, 5, "A", spec.ordering),
            nn.ReLU(),
            pixkit.layers.Pointwise(self.width, self.width, spec.ordering),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to features."""
        return self.body(x)


class Scaled(pixkit.Head):
    """A softmax whose logits are multiplied by a constant."""

    class Config(pixkit.ComponentConfig):
        """The constant."""

        scale: float = Field(default=2.0, gt=0)
        """What logits are multiplied by."""

    def __init__(self, config: Config, spec: pixkit.ImageSpec, ordering: pixkit.Ordering) -> None:
        super().__init__(config, spec, ordering)
        self.maps = spec.levels * spec.channels

    @classmethod
    def colours(cls, config: Config, spec: pixkit.ImageSpec) -> tuple[str, ...]:
        """One after the other."""
        return ("sequential",)

    def distribution(self, params: Tensor) -> LevelCategorical:
        """Levels outermost."""
        return LevelCategorical(self.config.scale * params.unflatten(1, (self.spec.levels, self.spec.channels)))


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    registry.add("ordering", "column_at_once", ColumnAtOnce)
    registry.add("backbone", "neighbours", Neighbours)
    registry.add("head", "scaled", Scaled)


@pixkit.hookimpl
def pixkit_commands(cli: click.Group) -> None:
    cli.add_command(click.Command("door-greet", callback=lambda: click.echo("good day")))


@pixkit.hookimpl
def pixkit_train_end(run: object, step: int) -> None:
    (run.path / "door.txt").write_text(f"ended at step {step}\n", encoding="utf-8")
