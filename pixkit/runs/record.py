"""A run's records of how it is made: its recipe (recipe.lock.yaml), and the machine (env.json)."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixkit.components.plugins import Plugins
from pixkit.data.dataset import Dataset
from pixkit.distribution import version
from pixkit.errors import UsageError
from pixkit.models.base import Model
from pixkit.network import Autoregressive
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe import LoadedRecipe


def pick_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` means; auto is cuda if there is one.

    Of several ranks each has a separate GPU: the one with its number on its machine. It becomes the process's current
    one, since what torch allocates on the current GPU, such as its context, would otherwise be on the first for all.

    Raises:
        UsageError: if it is unknown or missing.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not ranks.alone:
        name = f"cuda:{ranks.local}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError("no such device", where="device", found=name, expected="auto, cpu or cuda")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        found = (
            f"{name}; there are {count} devices" if count else f"{name}; there is none that torch {_torch()} can use"
        )
        raise UsageError("CUDA device missing", where="device", found=found, hint="--device cpu")
    if device.type == "cuda" and not ranks.alone:
        torch.cuda.set_device(device)
    return device


def settings_of(
    loaded: LoadedRecipe,
    dataset: Dataset,
    model: Model,
    *,
    arithmetic: dict[str, Any],
    steps: dict[str, Any] | None = None,
    parts: Sequence[dict[str, Any]] = (),
    kernels: dict[str, Any] | None = None,
    segments: Sequence[dict[str, int]] = (),
) -> dict[str, Any]:
    """The contents of a lock: the recipe with every default, and the section `lock` (see `pixkit.runs.run`)."""
    lock = {
        "recipe": loaded.origin,
        "overrides": list(loaded.overrides),
        "image": dataset.spec.dump(),
        "classes": dataset.classes,
        **({} if dataset.class_names is None else {"class_names": list(dataset.class_names)}),
        "data": {"description": dataset.description, "hashes": dataset.hashes(), **_of_source(dataset)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "arithmetic": arithmetic,
        **({} if steps is None else {"steps": steps}),
        **({"parts": list(parts)} if parts else {}),
        **({} if kernels is None else {"kernels": kernels}),
        **({"segments": list(segments)} if segments else {}),
        "changes": [],
    }
    return {**loaded.lock(), "lock": lock}


def _of_source(dataset: Dataset) -> dict[str, Any]:
    """The number of levels of the source's images, if it is known only from these, and what is known of its files."""
    levels = dataset.source_levels
    known: dict[str, Any] = {} if levels in (None, dataset.source.stated_levels) else {"levels": levels}
    return known | ({"files": dataset.files} if dataset.files else {})


def environment(device: torch.device, seed: int, loaded: Plugins) -> dict[str, Any]:
    """Versions, plugins and machine, as plain data."""
    return {
        "pixkit": version(),
        "python": platform.python_version(),
        "torch": _torch(),
        "numpy": np.__version__,
        "plugins": {
            f"{info.distribution}:{info.name}": info.version
            for info in loaded.infos
            if info.health in ("ok", "conflict")
        },
        "seed": seed,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "repeatable": _promise(device),
    }


def machine(network: Autoregressive) -> dict[str, Any]:
    """The properties on which measured times depend: processor, threads, torch and the number type, as plain data."""
    reference = network.reference
    return {**machine_of(reference.device), "dtype": str(reference.dtype).removeprefix("torch.")}


def machine_of(device: torch.device) -> dict[str, Any]:
    """The same without the number type."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": _torch(),
    }


def changed(before: dict[str, Any], now: dict[str, Any]) -> str:
    """How two environments differ, in words; empty if they do not."""
    return "; ".join(
        ", ".join(_changed_members(before[key], now[key])) if key == "plugins" else f"{key} {before[key]} -> {now[key]}"
        for key in now
        if key in before and before[key] != now[key]
    )


def _changed_members(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Plugins that were added, removed, or changed their version."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return [f"plugin {name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.machine()


def _promise(device: torch.device) -> str:
    if device.type == "cuda":
        return (
            "bit for bit on the same GPU and versions, where recipe.lock.yaml says that kernels are deterministic and "
            "names no operation without one; elsewhere CUDA kernels may add in any order"
        )
    return "bit for bit on the same machine, versions and number of threads"


@contextmanager
def repeatable() -> Iterator[None]:
    """Make cuDNN choose the same deterministic algorithms every time; its settings are restored afterwards."""
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


def _torch() -> str:
    return str(torch.__version__)
