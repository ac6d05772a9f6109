"""The contract of mixing layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from pixkit.layers import MixingLayer
from pixkit.layers.state import each_tensor, initial_state
from pixkit.testing.parts import randomise

Grid = tuple[int, int]
GARBAGE = 1e3
"""The content of memories where nothing is ready yet: finite, and not to be used."""


def check_layer(
    layer: MixingLayer,
    inputs: Sequence[tuple[int, int, int]],
    *,
    groups: int = 1,
    readiness: Sequence[Tensor] | None = None,
    tight: bool = True,
) -> None:
    """Check everything that pixkit requires of a mixing layer: `at` and `ready` agree with `forward`.

    `reads` names what has an effect; a unit is ready when everything that it reads is; walking the steps, `at` computes
    each unit from what is ready then, and gets `forward`'s values; its state is on the device passed to `init_state`.
    In float64, with random weights.

    Args:
        layer: the layer.
        inputs: maps, height and width of each input.
        groups: G, the number of colour groups.
        readiness: for each input, int64 [G, h, w]; random by default.
        tight: whether everything that the layer reads has an effect; not so in attention, where a single key has none.

    Raises:
        AssertionError: saying which promise fails.
    """
    assert layer.plannable, f"{type(layer).__name__} has no method `at`: it can only be sampled by whole passes"
    twin = copy.deepcopy(layer).double().eval()
    randomise(twin, seed=0)
    generator = torch.Generator().manual_seed(1)
    x = [torch.randn(2, *shape, generator=generator, dtype=torch.float64) for shape in inputs]
    given = list(readiness or ())
    given = given or [torch.randint(0, 6, (groups, h, w), generator=generator) for _, h, w in inputs]
    with torch.no_grad():
        grids = [(h, w) for _, h, w in inputs]
        effects = find_effects(twin, x, groups)
        check_reads(twin, effects, grids, tight)
        check_ready(twin, effects[0].shape[:3], grids, given)
        every = torch.ones(effects[0].shape[:3], dtype=torch.bool)
        for units in (every, torch.rand(every.shape, generator=generator) < 0.3):
            check_steps(twin, x, given, units)
        check_device(twin, grids)


def find_effects(layer: MixingLayer, x: list[Tensor], groups: int) -> list[Tensor]:
    """Which unit of each input affects which of the output's: bool [G, h', w', G, h, w], by finite changes."""
    before, found = layer(*x), []
    for index, whole in enumerate(x):
        _, _, height, width = whole.shape
        effect = torch.zeros(groups, *before.shape[2:], groups, height, width, dtype=torch.bool)
        for g, i, j in product(range(groups), range(height), range(width)):
            changed = whole.clone()
            changed[:, g::groups, i, j] += 1.7
            after = layer(*x[:index], changed, *x[index + 1 :])
            effect[..., g, i, j] = (after != before).unflatten(1, (-1, groups)).any(1).any(0)
        found.append(effect)
    return found


def check_reads(layer: MixingLayer, effects: list[Tensor], grids: list[Grid], tight: bool) -> None:
    """For some units, `reads` names what affects any of them, and the places that hold it."""
    generator = torch.Generator().manual_seed(2)
    for share in (0.0, 0.2, 1.0):
        units = torch.rand(effects[0].shape[:3], generator=generator) < share
        for number, (effect, found) in enumerate(zip(effects, layer.reads(units, grids), strict=True)):
            seen = effect[units].any(0)
            assert not (seen & ~found).any(), f"input {number} has an effect that `reads` does not name"
            assert not (tight and (found & ~seen).any()), f"`reads` names units of input {number} that have no effect"


def check_ready(layer: MixingLayer, size: Sequence[int], grids: list[Grid], readiness: list[Tensor]) -> None:
    """A unit is ready with the last of everything that it reads: not before, and not after."""
    found = layer.ready(*readiness)
    assert found.dtype == torch.int64, f"readiness is {found.dtype}"
    assert found.shape == tuple(size), f"readiness has the shape {tuple(found.shape)}, not {tuple(size)}"
    for g, h, w in product(*map(range, size)):
        unit = torch.zeros(tuple(size), dtype=torch.bool)
        unit[g, h, w] = True
        named = zip(layer.reads(unit, grids), readiness, strict=True)
        latest = max(int(torch.where(read, given, 0).amax()) for read, given in named)
        stated = int(found[g, h, w])
        assert stated >= latest, f"unit (g, h, w) = ({g}, {h}, {w}) is ready before everything that it reads"
        assert stated <= latest, f"unit (g, h, w) = ({g}, {h}, {w}) is ready later than everything that it reads"
    at_once = layer.ready(*map(torch.zeros_like, readiness))
    assert not at_once.any(), "with all inputs ready at 0, some output is ready later"


def check_steps(layer: MixingLayer, x: list[Tensor], readiness: list[Tensor], units: Tensor) -> None:
    """Step by step, rank by rank, from memories that hold only what is ready, `at` computes the values of `forward`.

    Computed are the requested units, bool [G, h', w'], and those that `ranks` adds. A replayable layer gives the same
    when called again.
    """
    out, due, ranks = layer(*x), layer.ready(*readiness), layer.ranks(units)
    assert ranks.shape == units.shape, f"`ranks` has the shape {tuple(ranks.shape)}, not {tuple(units.shape)}"
    assert not (units & (ranks < 0)).any(), "`ranks` leaves out requested units"
    groups = len(due)
    grids = [(one.shape[2], one.shape[3]) for one in x]
    state = initial_state(layer, len(x[0]), grids, x[0].device)
    for step in due.unique().tolist():
        memories = [_memory(one, given <= step) for one, given in zip(x, readiness, strict=True)]
        for rank, group in product(range(int(ranks.max()) + 1), range(groups)):
            sites = ((due[group] == step) & (ranks[group] == rank)).flatten().nonzero().flatten()
            if not len(sites):
                continue
            where = f"step {step}, rank {rank}, colour group {group}"
            expected = out[:, group::groups].flatten(2)[:, :, sites].transpose(1, 2)
            for again in ["", ", called again,"][: 1 + layer.replayable]:
                found = layer.at(group, groups, sites, memories, state)
                assert found.shape == expected.shape, f"{where}: `at` gives {tuple(found.shape)}, not {expected.shape}"
                same = torch.allclose(found, expected, rtol=0, atol=1e-9)
                assert same, f"{where}: `at`{again} differs from `forward`"


def check_device(layer: MixingLayer, grids: list[Grid]) -> None:
    """The state of a layer is entirely on its device, since `at` moves nothing."""
    device = torch.device("meta")
    try:
        state = initial_state(copy.deepcopy(layer).to(device), 2, grids, device)
    except RuntimeError:  # it reads values of parameters or buffers, which do not exist on `meta`
        return
    elsewhere: list[Tensor] = []

    def look(tensor: Tensor) -> Tensor:
        if tensor.device != device:
            elsewhere.append(tensor)
        return tensor

    each_tensor(look, state)
    assert not elsewhere, (
        f"{type(layer).__name__}.init_state made {len(elsewhere)} tensors on another device than requested, "
        f"the first of shape {tuple(elsewhere[0].shape)} on {elsewhere[0].device}"
    )


def _memory(x: Tensor, ready: Tensor) -> Tensor:
    """[B, M, h, w] as a memory [B, h * w + 1, M], garbage where it is not ready, zeros after the last site."""
    filled = torch.where(ready, x.unflatten(1, (-1, len(ready))), GARBAGE).flatten(1, 2)
    flat = filled.flatten(2).transpose(1, 2)
    return torch.cat([flat, flat.new_zeros(len(flat), 1, flat.shape[2])], 1)
