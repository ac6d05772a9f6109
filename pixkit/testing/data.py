"""The contract of data sources."""

from __future__ import annotations

from pathlib import Path

import torch

from pixkit.components.spec import ComponentSpec
from pixkit.data import Dataset, prepare
from pixkit.data.base import DataConfig
from pixkit.data.loading import classes_of
from pixkit.testing.configs import check_config, resolve


def check_data(source: ComponentSpec, base: Path | None = None) -> Dataset:
    """Check everything that pixkit requires of a data source: loading twice gives the same images and hashes.

    Its configuration survives a round trip and has the common keys; images, labels and sizes match the data set's
    description, and so do classes reported without reading images; an image is the same in any batch; only training
    images under dynamic binarisation change between visits; loading does not use torch's generator.

    Args:
        source: the component; its images must be available, since downloads are not checked.
        base: the folder that its relative paths start from; by default the working directory.

    Returns:
        The data set, for checks of its contents.
    """
    check_config(source)
    assert issubclass(source.cls.Config, DataConfig), "its Config must derive from pixkit.data.DataConfig"
    folder = base or Path.cwd()
    state = torch.random.get_rng_state()
    dataset, again = prepare(source, folder), prepare(source, folder)
    assert torch.equal(state, torch.random.get_rng_state()), "torch's generator was used: give the source a seed"
    assert dataset.size("train") >= 1, "there are no training images"
    assert dataset.description and dataset.name == source.name, "the data set has no description"
    told, names = classes_of(source, folder), dataset.class_names or tuple(map(str, range(dataset.classes or 0)))
    assert told in (None, names), f"known_classes() gives {told}, the images are of {names}"
    assert dataset.hashes() == again.hashes(), "loaded twice, the hashes differ"
    assert set(dataset.hashes()) - {"validation"} == {"train", "test", "split"}, f"hashes of {sorted(dataset.hashes())}"
    for split in Dataset.SPLITS:
        assert dataset.size(split) == again.size(split), f"loaded twice, {split} has another size"
        if dataset.size(split):
            check_split(dataset, again, split, dynamic=source.config.model_dump()["binarise"] == "dynamic")
    check_levels(source, folder, dataset)
    return dataset


def check_split(dataset: Dataset, again: Dataset, split: str, *, dynamic: bool) -> None:
    """The images and labels of one split, individually, in other batches, and at the next visit."""
    count = min(dataset.size(split), 48)
    rows = torch.arange(count)
    batch = dataset.batch(split, rows)
    dataset.spec.check(batch.x, where=split)
    assert batch.x.dtype == torch.int64, f"{split}: images are {batch.x.dtype}, not int64"
    assert torch.equal(batch.indices, rows), f"{split}: the batch has other numbers than requested"
    assert (batch.labels is None) == (dataset.classes is None), f"{split}: labels and classes go together"
    if batch.labels is not None:
        assert batch.labels.dtype == torch.int64, f"{split}: labels are {batch.labels.dtype}"
        assert int(batch.labels.min()) >= 0 and int(batch.labels.max()) < (dataset.classes or 0), f"{split}: labels"
    assert torch.equal(again.batch(split, rows).x, batch.x), f"{split}: loaded twice, the images differ"
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    shuffled = dataset.batch(split, order)
    assert torch.equal(shuffled.x, batch.x[order]), f"{split}: an image depends on the others in its batch"
    parts = list(dataset.batches(split, 5, limit=count))
    assert torch.equal(torch.cat([part.x for part in parts]), batch.x), f"{split}: batches in order differ"
    renewed = not torch.equal(dataset.batch(split, rows, draw=1).x, batch.x)
    assert not renewed or (dynamic and split == "train"), f"{split}: images change between visits"


def check_levels(source: ComponentSpec, folder: Path, dataset: Dataset) -> None:
    """Binarising gives two levels, by a threshold or by draws; the hashes are those of the images as loaded."""
    if source.config.model_dump()["binarise"] is not None:
        return
    for kind in ("threshold", "static", "dynamic"):
        section = {**source.dump(), "levels": None, "binarise": kind}
        binary = prepare(resolve(source, section), folder)
        assert binary.spec.levels == 2, f"binarised by {kind}, there are {binary.spec.levels} levels"
        assert binary.hashes() == dataset.hashes(), "the hashes differ from those of the images as loaded"
        binary.spec.check(binary.batch("train", torch.arange(1)).x)
