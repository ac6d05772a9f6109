"""Images made up for a recipe, of the shape, the levels and the classes of its own, and the arrays beside them."""

import json

import numpy as np

SIDES = {"cifar10": 32, "mnist": 28, "digits": 8, "codes": 8, "one-image": 32}
COUNT = 40


def shape_of(name, side=None):
    """(channels, side, levels) of a recipe's images; `side` in place of its own."""
    kind = next(kind for kind in SIDES if name.startswith(kind))
    channels = 3 if kind in ("cifar10", "one-image") else 1
    levels = {"digits": 17, "codes": 512}.get(kind, 256)
    return channels, min(side or SIDES[kind], SIDES[kind]), levels


def made_data(folder, name, stated, side=None, count=COUNT):
    """The override that gives a recipe images made up for it; `stated` is its section `data`.

    A smooth pattern with noise: what is all noise, or all one value, makes losses that say little.
    """
    channels, side, levels = shape_of(name, side)
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    waves = np.sin(rows * random.uniform(0.2, 1, (count, channels, 1, 1)) + columns * random.uniform(0.2, 1))
    values = np.clip((waves + 1) / 2 + random.normal(0, 0.1, waves.shape), 0, 1) * (levels - 1)
    arrays = {"train": values.round().astype(np.uint16 if levels > 256 else np.uint8)}
    arrays["test"] = arrays["train"][:8]
    arrays["train_labels"], arrays["test_labels"] = np.arange(count) % 10, np.arange(8)
    path = folder / f"{name}-{side}-{count}.npz"
    context = made_beside(stated.get("context") or {}, path, side, count, arrays)
    np.savez(path, **arrays)
    keys = {"source": "arrays", "path": path, "layout": "NCHW", "source_levels": levels, "validation": 0.1}
    keys |= {"train_labels": "train_labels", "test_labels": "test_labels", "classes": 10}
    keys |= {key: stated[key] for key in ("binarise", "levels") if stated.get(key) is not None}
    if context:
        keys["context"] = json.dumps(context)
    return "data={" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


def made_beside(stated, path, side, count, arrays):
    """The section `data.context` of made-up arrays, which are added: codes of half the side, or three numbers."""
    random, found = np.random.default_rng(1), {}
    for name, asked in stated.items():
        given = {key: value for key, value in asked.items() if value is not None} if isinstance(asked, dict) else {}
        if "shrink" in given:
            found[name] = given
            continue
        values = given.get("values")
        if values is None:
            rows = random.normal(size=(count, 3)).astype(np.float32)
        else:
            rows = random.integers(0, values, (count, side // 2, side // 2))
        arrays[f"{name}_train"], arrays[f"{name}_test"] = rows, rows[:8]
        found[name] = {split: f"{path}:{name}_{split}" for split in ("train", "test")}
        found[name] |= {} if values is None else {"values": values}
    return found
