"""A run's samples over time: some of the same samples at several steps."""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pixkit.errors import PixkitError, message
from pixkit.figures.grids import in_colour
from pixkit.files import is_folder, looking_at
from pixkit.image import ImageSpec
from pixkit.report.markup import Element, element, section
from pixkit.report.picture import data_uri
from pixkit.report.subject import Subject
from pixkit.runs.runfile import RunFile

MOST = 2**28
"""The largest file of samples, in bytes, compressed or not."""
TIMES = 6
"""The number of steps of a run with samples shown, beside those of the best weights."""
IMAGES = 16
"""The largest number of samples shown for a step."""
BUDGET = 600_000
"""Approximate number of sub-pixels of all samples on a page: of larger images fewer are shown for each step."""
SIDE = 48
"""Size of a sample in pixels of the screen, if it has fewer of its own."""
GAP = 1
DAMAGE = (ValueError, KeyError, TypeError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


def samples(subjects: Sequence[Subject], say: Callable[[str], None]) -> Element:
    """A strip for each run, from its first samples to its last.

    Args:
        subjects: the runs.
        say: told which cannot be shown, and why.
    """
    names = {one.number: _chosen(one) for one in subjects}
    dims = [one.run.spec_of(one.settings).dims for one in subjects for _ in names[one.number]]
    count = min(max(BUDGET // max(sum(dims), 1), 1), IMAGES)
    strips = [part for one in subjects for part in _strip(one, names[one.number], count, say)]
    said = "The noise is the same at each step, so that differences show the model's progress and not the draw."
    return section("Samples over time", "samples", element("p", said, class_="soft"), strips)


def _chosen(one: Subject) -> list[str]:
    """Names in samples/, without suffix: of the first step, the last, and some between; and of the best weights."""
    folder = one.run.samples
    with looking_at(folder):
        found = os.listdir(folder) if is_folder(folder) else []
    matches = [match for name in found if (match := re.fullmatch(r"step-([0-9]{1,18})\.npz", name))]
    steps = sorted(int(match[1]) for match in matches)
    places = np.linspace(0, len(steps) - 1, min(TIMES, len(steps))).round().astype(int).tolist()
    return [f"step-{steps[place]}" for place in places] + ["best"] * ("best.npz" in found)


def _strip(one: Subject, names: list[str], count: int, say: Callable[[str], None]) -> Iterator[Element]:
    yield element("h3", one.name)
    if not names:
        yield element("p", "No samples were drawn yet.")
        return
    figures = []
    for name in names:
        try:
            figures.append(_figure(one, name, count))
        except PixkitError as error:
            say(f"{one.mark}: the samples {name} cannot be shown: {message(error)}")
            figures.append(element("p", f"{name}: cannot be shown: {message(error)}", class_="note"))
    yield element("div", figures, class_="strip")


def _figure(one: Subject, name: str, count: int) -> Element:
    spec, step = one.run.spec_of(one.settings), name.replace("-", " ")
    pictures = in_colour(_read(one, name, spec)[:count], spec)
    grid = _grid(pictures)
    scale = max(SIDE // max(pictures.shape[1:3]), 1)
    words = f"{len(pictures)} samples of {one.mark}, {step if name != 'best' else 'by the best weights'}"
    picture = element("img", src=data_uri(grid), width=grid.shape[1] * scale, height=grid.shape[0] * scale, alt=words)
    return element("figure", picture, element("figcaption", step))


def _grid(pictures: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, H, W, 3] in rows of about sqrt(N), separated by a grey line."""
    count, height, width, _ = pictures.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 128, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def _read(one: Subject, name: str, spec: ImageSpec) -> np.ndarray:
    """Levels [N, C, H, W] of samples/NAME.npz; nothing in it is executed, and at most MOST bytes are unpacked."""
    file = RunFile(one.run.samples / f"{name}.npz", MOST, hint="remove it: the page can do without it")
    content = file.content()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo("samples.npy").file_size > MOST:
                raise ValueError(f"more than {MOST} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = arrays["samples"]
        if found.shape[1:] != spec.shape or not len(found):
            raise ValueError(f"an array of shape {found.shape}")
    except DAMAGE as failure:
        expected = f"an array 'samples' of images {spec.shape} in an .npz"
        raise file.unreadable(message(failure) or type(failure).__name__, expected) from failure
    return np.asarray(found)
