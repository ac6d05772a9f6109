"""Agreement of several ranks before and during training."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import torch
from torch import nn

from pixkit.bits import bytes_of
from pixkit.errors import RankError, UsageError
from pixkit.ranks import Ranks, named
from pixkit.recipe import LoadedRecipe
from pixkit.recipe.schema import TrainConfig
from pixkit.runs.record import changed


def check_shares(config: TrainConfig, ranks: Ranks) -> None:
    """Raise UsageError if a step has only one part: ranks share the parts, and all but one would be idle."""
    if ranks.alone or config.accumulate > 1:
        return
    count = min(ranks.size, config.batch_size)
    smaller = f"train.batch_size={-(-config.batch_size // count)} train.accumulate={count}"
    raise UsageError(
        "ranks share the parts of a step, but it has only one",
        where="train.accumulate",
        found=f"1, for {ranks.size} ranks",
        expected="2 or more, best a multiple of the ranks",
        hint=f"{smaller}, which is about as many images a step; one process gives the same bits with the same keys",
    )


def check_environments(ranks: Ranks, environment: dict[str, Any], loaded: LoadedRecipe) -> None:
    """Check that all ranks have the same recipe, versions and number of threads: digits depend on all of these.

    Args:
        ranks: the ranks.
        environment: what a run records about its machine.
        loaded: the recipe.

    Raises:
        RankError: naming the first rank that differs from rank 0, and in what.
    """
    given: dict[str, Any] = {"recipe": f"{crc32(loaded.text.encode()):08x}", "overrides": list(loaded.overrides)}
    if environment["device"] == "cpu":
        given["instructions"] = torch.backends.cpu.get_cpu_capability()  # the order of sums depends on these
    found = ranks.gather({**environment, **given, "platform": None})
    for rank, one in enumerate(found):
        if different := changed(found[0], one):
            raise RankError(
                f"rank {rank} differs from rank 0",
                found=different,
                hint="the same arguments, versions, kind of device, CPU and OMP_NUM_THREADS for all ranks",
            )


def check_same(ranks: Ranks, what: str, plain: Any) -> None:
    """Check that all ranks have the same plain data.

    Raises:
        RankError: naming `what` differs, and the ranks that differ from rank 0.
    """
    found = ranks.gather(plain)
    others = [rank for rank, one in enumerate(found) if one != found[0]]
    if others:
        raise RankError(
            f"{what}: {named(others)} not the same as on rank 0",
            found=f"{found[others[0]]} on rank {others[0]}",
            expected=f"{found[0]}, as on rank 0",
            hint="the same data, kind of machine, versions and number of threads (OMP_NUM_THREADS) for all ranks",
        )


def check_alike(ranks: Ranks, model: nn.Module, step: int) -> None:
    """Check that all ranks have the same weights after a step, to the last bit.

    Raises:
        RankError: naming the ranks that differ from rank 0.
    """
    if ranks.alone:
        return
    found = 0
    for tensor in model.state_dict().values():
        found = crc32(bytes_of(tensor).cpu().numpy().data, found)
    check_same(ranks, f"the weights after step {step}", f"CRC-32 {found:08x}")
