"""Facts about images that stay in their files, cached between runs of pixkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pixkit.data import kept
from pixkit.data.unread import Unread


def remembered(images: Unread, find: Callable[[], dict[str, Any]], what: str, *more: Any) -> dict[str, Any]:
    """The result of `find`, plain data, cached as long as the files' sizes and times are the same.

    Args:
        images: the images that it is about.
        find: examines them.
        what: a description.
        more: what it depends on besides the files; plain data.
    """
    identity = images.identity
    key = None if identity is None else kept.key_of("seen", what, identity, *more)
    if key is not None and (known := kept.find(key)) is not None:
        out: dict[str, Any] = known[1]["found"]
        return out
    found = find()
    if key is not None:
        kept.keep(key, np.zeros(0, np.uint8), {"of": f"{images.files[0].rows.path}: {what}", "found": found})
    return found
