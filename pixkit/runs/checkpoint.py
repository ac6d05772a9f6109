"""Checkpoints: folders of safetensors files with a manifest that vouches for every byte.

A checkpoint is a folder with `model.safetensors`, `optimizer.safetensors`, perhaps `ema.safetensors`, and
`manifest.json`: format version, step, SHA-256 and layout (names, types, shapes) of each file, the training loop's
state, the latest scores, and the SHA-256 of all that. Loading never runs code from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor, nn

from pixkit.data.contents import HEAD, told
from pixkit.errors import CheckpointError, NonFiniteError, listed
from pixkit.files import replacing, writing
from pixkit.runs.folders import new_folder
from pixkit.runs.manifest import FORMAT, Manifest, encode_manifest, read_manifest, sha256
from pixkit.runs.places import CHECKPOINT, MANIFEST
from pixkit.runs.runfile import RunFile
from pixkit.runs.tensorfile import pieces, write_tensors
from pixkit.wrappers import plain_name

Tensors = Mapping[str, Tensor]


def save(
    folder: Path,
    contents: Mapping[str, Tensors] | Iterable[tuple[str, Tensors]],
    *,
    step: int,
    model: str,
    state: dict[str, Any],
    metrics: dict[str, Any],
    before: Callable[[], None] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Write a checkpoint atomically. It takes hardly any memory, because it may be called after memory ran out.

    Args:
        folder: where; an older checkpoint there is replaced.
        contents: the tensors of each file, by its name without suffix; or an iterable of such pairs, each of which is
            requested after the previous one has been written.
        step: number of optimiser steps made.
        model: the model's registered name.
        state: the training loop's state, plain data.
        metrics: the latest scores, plain data.
        before: called when all is written, before the folder takes its name; it may raise.
        progress: called repeatedly while tensors are written.

    Raises:
        NonFiniteError: if a weight is not finite; nothing is written.
        RunError: if the disk is full or the folder cannot be written.
    """
    files = {}
    with writing(folder, before), new_folder(folder, CHECKPOINT.owns, before) as temporary:
        for name, tensors in contents.items() if isinstance(contents, Mapping) else contents:
            bad = non_finite(tensors)
            if bad:
                raise NonFiniteError(
                    "not saved: there are values that are not finite", where=f"{folder}, {name}", found=listed(bad)
                )
            with open(temporary / f"{name}.safetensors", "xb") as file:
                digest, size = write_tensors(file, tensors, progress)
            files[name] = {"sha256": digest, "bytes": size, "layout": layout(tensors)}
        body = {"format": FORMAT, "step": step, "model": model, "files": files, "state": state, "metrics": metrics}
        (temporary / MANIFEST).write_bytes(encode_manifest(body))


def amend(
    folder: Path, *, state: dict[str, Any], metrics: dict[str, Any], before: Callable[[], None] | None = None
) -> None:
    """Change what a checkpoint says about the training loop; its tensors stay. `before` is as in `save`.

    Raises:
        CheckpointError: if its manifest is damaged.
        RunError: if it cannot be written; it is then unchanged.
    """
    body = {**read_manifest(folder).model_dump(), "format": FORMAT, "state": state, "metrics": metrics}
    with writing(folder, before), replacing(folder / MANIFEST, before) as temporary:
        temporary.write_bytes(encode_manifest(body))


def read_tensors(folder: Path, manifest: Manifest, name: str) -> dict[str, Tensor]:
    """The tensors of one file, every byte checked, on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, not safetensors, or contains NaN or infinity.
    """
    path = folder / f"{name}.safetensors"
    if name not in manifest.files:
        exported = "optimizer" not in manifest.files
        raise CheckpointError(
            f"there are no {name} weights in this checkpoint",
            where=str(folder),
            found=listed(manifest.files),
            hint="an exported run is not trained further; train.init_from=RUN starts another one" if exported else None,
        )
    record = manifest.files[name]
    data = RunFile(path, record.bytes, error=CheckpointError).content()
    if told(data[:HEAD]) in ("a pickle", "a zip archive"):
        raise CheckpointError("a pickle, which could run anything", where=str(path), expected="safetensors")
    if len(data) != record.bytes:
        raise CheckpointError(
            "cut short", where=str(path), found=f"{len(data)} bytes", expected=f"{record.bytes} bytes"
        )
    if sha256(data) != record.sha256:
        raise CheckpointError(
            "damaged: its bytes are not those that were saved",
            where=str(path),
            found=f"SHA-256 {sha256(data)}",
            expected=record.sha256,
        )
    try:
        tensors = parse_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError("not a safetensors file", where=str(path), found=str(error)) from None
    if layout(tensors) != record.layout:
        raise CheckpointError("names, types or shapes are not those that were saved", where=str(path))
    bad = non_finite(tensors)
    if bad:
        raise CheckpointError("there are values that are not finite", where=str(path), found=listed(bad))
    return tensors


def verify(folder: Path) -> Manifest:
    """Check every byte of a checkpoint; raise CheckpointError with the reason if anything is wrong."""
    manifest = read_manifest(folder)
    for name in manifest.files:
        read_tensors(folder, manifest, name)
    return manifest


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and persistent buffers, by name.

    Raises:
        ValueError: if the model's state contains anything but tensors, which safetensors could not hold.
    """
    state = model.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(f"{type(model).__name__} keeps something other than tensors in its state: {listed(odd)}")
    return state


def load_model(model: nn.Module, tensors: Tensors, where: str) -> None:
    """Copy tensors into a model, which must have exactly these names, types and shapes.

    Raises:
        CheckpointError: listing the differences; the model is unchanged.
    """
    check_fit(model, tensors, where)
    model.load_state_dict(dict(tensors), strict=True)


def check_fit(model: nn.Module, tensors: Tensors, where: str) -> None:
    """Raise CheckpointError, listing the differences, unless names, types and shapes are the model's."""
    # a part of the model may be wrapped by torch.compile now, or have been when it was saved, which changes its names
    wrong = differences({plain_name(name): value for name, value in tensors.items()}, weights(model))
    if wrong:
        raise CheckpointError("another model's weights", where=where, found=listed(wrong, "; ", longest=WHOLE))


WHOLE = 200
"""The most characters of a line of `differences`: tensor names are long, and what is wrong follows them."""


def differences(found: Tensors, expected: Tensors) -> list[str]:
    """Missing and extra tensors, and those of another type or shape, one line each."""
    lines = [f"{name} is missing" for name in expected if name not in found]
    lines += [f"{name} is not in the model" for name in found if name not in expected]
    for name in found:
        if name in expected and _kind(found[name]) != _kind(expected[name]):
            lines.append(f"{name} is {_kind(found[name])}, the model has {_kind(expected[name])}")
    return lines


def layout(tensors: Tensors) -> str:
    """SHA-256 of the names, types and shapes."""
    return sha256("\n".join(sorted(f"{name} {_kind(value)}" for name, value in tensors.items())).encode())


def non_finite(tensors: Tensors) -> list[str]:
    """Names of the tensors with a NaN or an infinity."""
    return [
        name for name, value in tensors.items() if not all(bool(torch.isfinite(part).all()) for part in pieces(value))
    ]


def _kind(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
