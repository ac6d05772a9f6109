"""Images from a folder of image files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import Field

from pixkit.data.base import DataConfig, DataSource, Progress, ReadFile, SourceImages, hold_out
from pixkit.data.file_labels import labels_of_files
from pixkit.data.folders import Listing, list_pictures, splits_of
from pixkit.data.labels_beside import suffix_of
from pixkit.data.picture import Fit, Form, read_frames, read_picture
from pixkit.data.reading import Folder, How
from pixkit.data.remembered import files_used, recall_folder
from pixkit.data.table import SUFFIXES as TABLES
from pixkit.errors import DataError
from pixkit.image import ImageSpec

Side: TypeAlias = Annotated[int, Field(ge=1, le=4096)]


class Images(DataSource):
    """A folder of image files (PNG, JPEG, JPEG XL, BMP, GIF, WebP, TIFF, PNM), subfolders included.

    Test images are a seeded choice by each file's path, or the files of a separate folder. For transparency, 16 bits
    and EXIF orientation see `pixkit.data.picture.read_whole`.
    """

    class Config(DataConfig):
        """The common keys, the folder, and the form of its images."""

        path: str = Field(json_schema_extra={"x-pixkit-path": True})
        """The folder of images, or a zip or tar archive of one (FILE.zip, FILE.tar/FOLDER), which is not unpacked."""
        test_path: str | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
        """A folder or archive of test images; by default, some of `path` are held out."""
        validation_path: str | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
        """A folder or archive of images for validation; by default, a part of the training images, by `validation`."""
        test_fraction: float = Field(default=0.1, ge=0, lt=1)
        """Fraction of the images held out as test images if there is no `test_path`."""
        channels: Literal[1, 3, 4] = 3
        """1 for grey, 3 for RGB, 4 for RGB and opacity."""
        source_levels: int = Field(default=256, ge=2, le=65536)
        """256 or 65536 levels, white the highest, for files of any depth; another number N is for files that contain
        levels 0..N-1 as they are: 2 for masks of 0 and 1."""
        size: Side | Annotated[tuple[Side, Side], Field(strict=False)] | None = None
        """Side in pixels, or [height, width]; by default, the images must have one size."""
        fit: Fit = "crop"
        """crop: scaled to cover, the middle kept; resize: stretched; pad: scaled to fit, on white; exact: refused."""
        resample: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bicubic"
        """Filter for scaling."""
        labels: bool | str = Field(default=False, json_schema_extra={"x-pixkit-path": list(TABLES)})
        """Whether the folders directly below are classes, in the order of their names; as numbers, if all are numbers.
        Or a table, FILE.csv or FILE.csv:COLUMN, with a row for each image: its name, with or without suffix and
        folders, and its class. Or a suffix, `.cls`: beside each image is a file with its name and this suffix, of one
        line, its class, as in archives of WebDataset. An image without a row or file cannot be used (`on_bad`); rows
        and files without an image are counted."""
        on_bad: Literal["error", "skip"] = "error"
        """What to do with a file that cannot be used: stop, or leave it out and note it; stop if most would be left
        out. Without a `size`, images that do not have the most common one cannot be used.

        A file that the system cannot read, because of its permissions or the disk, stops in any case."""
        frames: Literal["first", "all"] = "first"
        """From files with several frames (GIF, TIFF): the first, or all, which stay in one split for each file."""
        splits: Literal["folders", "none"] = Field(default="folders", json_schema_extra={"x-pixkit-lacking": "none"})
        """Whether folders train, val and test directly below `path` are splits, rather than a part of the images or
        classes."""
        max_pixels: int = Field(default=16_000_000, ge=1, le=89_478_485)
        """The most pixels of a file before it is scaled."""

    def form(self) -> Form:
        """The form to which the configuration brings every picture."""
        config, side = self.config, self.config.size
        size = (side, side) if isinstance(side, int) else side
        return Form(config.channels, size, config.fit, config.resample, config.max_pixels, config.source_levels)

    def picture_form(self, spec: ImageSpec) -> Form:
        """See DataSource: like the folder's own; without a `size` they all have one."""
        form = self.form()
        return form if form.size else replace(form, size=(spec.height, spec.width), fit="exact")

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read every image.

        Raises:
            DataError: if there is no image, one cannot be used (unless `on_bad: skip`) or read, images differ in size
                with no `size` given, or the folders do not fit `labels`.
        """
        how = self._how()
        parts = self._parts()
        table, said = self._table(parts)
        self._classes(parts, table)
        train = replace(recall_folder(parts["train"], how, progress), table=table)
        like = self._as_train(how, *train.pixels.shape[2:])
        others = {
            split: replace(recall_folder(parts[split], like, progress), table=table)
            for split in parts
            if split != "train"
        }
        notes = [note for part in (train, *others.values()) for note in part.notes]
        images = self._images({"train": train, **others})
        return replace(images, notes=(*notes, *said, *self._said(parts)), fresh=True)

    def _images(self, parts: Mapping[str, Folder]) -> SourceImages:
        """The images of folders by split, with labels; test images are held out if there is no folder of them.

        Raises:
            DataError: if images have classes that no training image has.
        """
        config, train = self.config, parts["train"]
        classes = None if config.labels is False else train.classes(config.class_names)
        sets = {split: part.images(classes) for split, part in parts.items()}
        files = " ".join(f"{split} {part.digest(classes)}" for split, part in sorted(parts.items()))
        if "test" not in sets:
            order, where = train.order(config.split_seed), str(train.listing.folder)
            sets["train"], sets["test"] = hold_out(sets["train"], order, config.test_fraction, where)
        return SourceImages(
            sets["train"],
            sets["test"],
            validation=sets.get("validation"),
            levels=config.source_levels,
            classes=None if classes is None else len(classes),
            class_names=None if classes is None else tuple(classes),
            files=files,
        )

    def known_classes(self) -> tuple[str, ...] | None:
        """See DataSource: the classes of the files, if none may be left out."""
        parts = self._parts()
        return self._classes(parts, self._table(parts)[0])

    def _classes(self, parts: Mapping[str, Listing], table: dict[Path, str] | None) -> tuple[str, ...] | None:
        """The classes of the files by name; None without labels, or if files that cannot be used are left out.

        Raises:
            DataError: if files are outside the folders of classes, or have classes that no training image has.
        """
        if self.config.labels is False or self.config.on_bad == "skip":
            return None
        files = {split: Folder(listing, torch.empty(0), listing.names, table=table) for split, listing in parts.items()}
        classes = files["train"].classes(self.config.class_names)
        for part in files.values():
            part.require(classes)
        return tuple(classes)

    def outline(self, spec: ImageSpec) -> tuple[SourceImages, ReadFile] | None:
        """See DataSource: if each file is one image, or the cache of decoded images says which files are used."""
        config, parts = self.config, self._parts()
        table = self._table(parts)[0]
        how = self._how()
        files: dict[str, Folder] = {}
        for split, listing in parts.items():
            names = files_used(listing, how if split == "train" else self._as_train(how, spec.height, spec.width))
            if names is None:
                return None
            files[split] = Folder(listing, torch.arange(len(names)).view(-1, 1, 1, 1), names, table=table)

        def read(split: str, number: int) -> torch.Tensor:
            part = files.get(split, files["train"])
            name, form = part.names[number], self.picture_form(spec)
            path = part.listing.file(name)
            if config.frames == "first":
                return torch.from_numpy(read_picture(path, form).copy())
            frame = number - part.names.index(name)
            return torch.from_numpy(next(islice(read_frames(path, form), frame, None)).pixels.copy())

        return self._images(files), read

    def _how(self) -> How:
        return How(self.form(), self.config.on_bad, self.config.frames)

    def _as_train(self, how: How, height: int, width: int) -> How:
        """The same, for images that must be as large as those for training."""
        fit = how.form.fit if self.config.size else "exact"
        return replace(how, form=replace(how.form, size=(height, width), fit=fit))

    def _parts(self) -> dict[str, Listing]:
        """The folders of images by split."""
        config, folder = self.config, self.resolve(self.config.path)
        suffix = suffix_of(config.labels)
        listing = list_pictures(folder, suffix)
        parts = {"train": listing} if config.splits == "none" else splits_of(listing)
        given: dict[str, dict[str, object]] = {
            "test": {"test_path": None, "test_fraction": 0.1},
            "validation": {"validation_path": None, "validation": 0.1},
        }
        for split in parts:
            stated = [key for key, default in given.get(split, {}).items() if getattr(config, key) != default]
            if stated:
                raise DataError(
                    f"images for {split} are given twice",
                    where=f"data.{stated[0]}",
                    found=f"{stated[0]}, and the folder {parts[split].folder}",
                    hint=f"leave data.{stated[0]} out; data.splits=none treats the folders as one",
                )
        if config.test_path is not None:
            parts["test"] = list_pictures(self.resolve(config.test_path), suffix)
        if config.validation_path is not None:
            parts["validation"] = list_pictures(self.resolve(config.validation_path), suffix)
        return parts

    def _table(self, parts: dict[str, Listing]) -> tuple[dict[Path, str] | None, list[str]]:
        """See `labels_of_files`."""
        skip = self.config.on_bad == "skip"
        return labels_of_files(self.config.labels, parts, self.resolve, skip=skip)

    def _said(self, parts: Mapping[str, Listing]) -> list[str]:
        """Which folders are splits, unless the recipe says so."""
        found = [f"{part.folder.name} ({split})" for split, part in parts.items()]
        named = [path for path in (self.config.test_path, self.config.validation_path) if path is not None]
        own = len(parts) > 1 + len(named)
        return [f"folders of {self.resolve(self.config.path)} that are splits: {', '.join(found)}"] if own else []
