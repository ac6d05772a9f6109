"""An image as a sequence of rows, read by a recurrent network."""

from __future__ import annotations

import itertools
from typing import Self

import click
from pydantic import AliasChoices, Field, model_validator
from torch import Tensor, nn

import pixkit
from pixkit.backbones import check_multiple
from pixkit.components import InitialiserRef
from pixkit.layers import Reorient, Turn
from pixkit_plugins.row_rnn.recurrence import CellName, ModeName, RowOptions, RowRecurrence, initialise
from pixkit_plugins.row_rnn.restore import command as restore_command

pixkit_api_version = 1


class RowRNN(pixkit.Backbone):
    """A recurrent network over rows: LSTM, GRU or plain RNN, many-to-many (seq2seq) or many-to-one (seq2vec).

    The prediction of row r depends only on rows 0..r-1, for r = 0 on the empty prefix: the pixels of a row are
    independent of one another given the rows above, as in the ordering `row_at_once`. Finer orderings of the same rows
    (raster, snake) are also accepted, but what they would allow within a row is not used. The likelihood is exact.

    One step reads a row, in_maps * W values, and gives `width` features for each of W pixels by a linear map; that map
    and the head's are linear, so that together they are one layer from hidden state to logits. Batch normalisation
    follows each recurrent layer, over images and steps; sampling and scoring use its running statistics.

    LSTM: Hochreiter and Schmidhuber, 1997; GRU: Cho et al., 2014, arXiv 1406.1078; plain: Elman, 1990, with tanh.

    A context enters twice: its mean over a row of pixels, together with that row's step of the recurrence, and each
    pixel's own by a 1x1 map added to the features.
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """The recurrent network."""

        cell: CellName = "lstm"
        """lstm, gru, or rnn (plain, tanh)."""
        mode: ModeName = "seq2seq"
        """seq2seq: one pass, with an output at every step. seq2vec: a pass over each prefix, padded on the left to the
        full height, with an output at the end; H times the work."""
        units: int = Field(default=256, ge=1, le=16384, validation_alias=AliasChoices("units", "hidden_size"))
        """Size of the hidden state in each direction."""
        layers: int = Field(default=1, ge=1, le=64, validation_alias=AliasChoices("layers", "num_layers"))
        """Recurrent layers, stacked."""
        bidirectional: bool = False
        """Also read each prefix backwards; only with seq2vec."""
        batch_norm: bool = False
        """Batch normalisation after each recurrent layer."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Dropout after each recurrent layer."""
        init: InitialiserRef = Field(default="torch", validate_default=True)
        """Initialiser of all weights; torch is what torch's own layers begin with."""
        width: int = Field(default=24, ge=1, le=4096)
        """Features of each pixel for the head."""

        @model_validator(mode="after")
        def _no_leak(self) -> Self:
            if self.bidirectional and self.mode == "seq2seq":
                raise ValueError(
                    "bidirectional with mode seq2seq would leak: the backward direction passes information "
                    "from all later rows to every step, including the row to be predicted. With mode seq2vec each pass "
                    "ends before that row, so that both directions may be used"
                )
            return self

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        self.width = config.width
        self.turn = turn_of(spec)
        check_multiple("width", config.width, spec.ordering.groups, "the number of colour groups", config)
        image = spec.image
        grid = (image.width, image.height) if self.turn.transpose else (image.height, image.width)
        keys = ("cell", "mode", "units", "layers", "bidirectional", "batch_norm", "dropout")
        options = RowOptions(**{key: getattr(config, key) for key in keys})
        self.enter = nn.Identity() if self.turn.trivial else Reorient(self.turn)
        self.rows = RowRecurrence(spec.inputs, config.width, grid, options, context=spec.context)
        self.leave = nn.Identity() if self.turn.trivial else Reorient(self.turn.inverse)
        self.condition = nn.Conv2d(spec.context, config.width, 1) if spec.context else None
        initialise(self, config.init)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        if self.condition is None or context is None:
            return self.leave(self.rows(self.enter(x)))
        return self.leave(self.rows(self.enter(x), self.turn(context))) + self.condition(context)


def turn_of(spec: pixkit.BackboneSpec) -> Turn:
    """How to turn the image so that the ordering draws each row before the next one is begun.

    Raises:
        RecipeError: if there is no such turn.
    """
    for transpose, flip in itertools.product((False, True), repeat=2):
        turn = Turn(transpose, flip)
        steps = turn(spec.ordering.group_steps)
        if bool((steps.amax((0, 2))[:-1] < steps.amin((0, 2))[1:]).all()):
            return turn
    raise pixkit.RecipeError(
        "a recurrent network over rows needs each row drawn before the next one is begun",
        where=spec.ordering.where(),
        found=type(spec.ordering).__name__,
        expected="row_at_once, or rows one after the other (raster, snake), or a symmetry of these",
    )


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "row_rnn", RowRNN)


@pixkit.hookimpl
def pixkit_commands(cli: click.Group) -> None:
    """Add `pixkit restore`."""
    cli.add_command(restore_command)
