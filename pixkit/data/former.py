"""Class numbers of pixkit 0.1, whose runs store no names."""

from __future__ import annotations

from pixkit.data.base import SourceImages
from pixkit.data.classes import renumbered


def numbered_as_before(source: str, images: SourceImages) -> SourceImages:
    """The images of the named source with the class numbers that 0.1 used.

    Folders were sorted as text, 10 before 2; labels of arrays were used as numbers, the largest of which determined the
    number of classes.
    """
    names = images.class_names
    if names is None:
        return images
    if source == "images":
        return renumbered(images, sorted(names))
    if source == "arrays" and all(name.isdigit() for name in names):
        return renumbered(images, [str(number) for number in range(max(map(int, names)) + 1)])
    return images
