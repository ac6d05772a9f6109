"""How pixkit 0.1 numbered classes, whose runs keep no names."""

from __future__ import annotations

from pixkit.data.base import SourceImages
from pixkit.data.classes import renumbered


def numbered_as_before(source: str, images: SourceImages) -> SourceImages:
    """The images of a source of that name with the numbers that 0.1 gave their classes.

    Folders were sorted as text, 10 before 2; the labels of arrays were numbers as they stood, the largest of which
    said how many there are.
    """
    names = images.class_names
    if names is None:
        return images
    if source == "images":
        return renumbered(images, sorted(names))
    if source == "arrays" and all(name.isdigit() for name in names):
        return renumbered(images, [str(number) for number in range(max(map(int, names)) + 1)])
    return images
