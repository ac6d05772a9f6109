"""Codes that a run's data source turns into pictures, where samples are shown."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.data import DataSource
from pixkit.data.base import Decoder
from pixkit.errors import DataError, PluginError, reason
from pixkit.models.base import Model
from pixkit.tasks.beside import conditions_of

PICTURE = 256
"""Levels of decoded pictures."""


def decoder_of(source: DataSource) -> Decoder | None:
    """A data source's decoder; None if it has none.

    Raises:
        DataError: if a file of it is missing.
    """
    try:
        return source.decoder()
    except OSError as error:
        raise DataError("the decoder cannot be read", where=str(source), found=reason(error)) from error


@torch.no_grad()
def decoded(decoder: Decoder, model: Model, codes: Tensor, rows: Tensor | None) -> Tensor:
    """The pictures of sampled codes, int64 [N, C', H', W'] of 256 levels.

    Args:
        decoder: the data source's.
        model: which drew them.
        codes: int64 [N, C, H, W].
        rows: the rows of a list of conditions, [N, W], if the model has one; a hidden array is 0.

    Raises:
        PluginError: if the decoder's result is something else.
    """
    conditions = conditions_of(model)
    beside = {}
    if conditions is not None and rows is not None:
        beside = conditions.by_name(rows[:, rows.shape[1] - conditions.beside :].cpu())
    found = decoder(codes.cpu(), beside)
    where = getattr(decoder, "__qualname__", type(decoder).__name__)
    if found.is_floating_point() or found.ndim != 4 or len(found) != len(codes) or found.shape[1] not in (1, 3):
        raise PluginError(
            "the decoder does not give pictures",
            where=where,
            found=f"{found.dtype} {tuple(found.shape)}",
            expected=f"integers ({len(codes)}, 1 or 3, H, W)",
        )
    if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < PICTURE:
        raise PluginError(
            "the decoder's pictures have other levels",
            where=where,
            found=f"{int(found.min())}..{int(found.max())}",
            expected=f"0..{PICTURE - 1}",
        )
    return found.long().cpu()
