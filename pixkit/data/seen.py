"""What was found out of images that stay in their files, kept from one start to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pixkit.data import kept
from pixkit.data.unread import Unread


def remembered(images: Unread, find: Callable[[], dict[str, Any]], what: str, *more: Any) -> dict[str, Any]:
    """What `find` gives, plain data, or gave of the same files before, whose sizes and times are the same.

    Args:
        images: which it is of.
        find: looks at them.
        what: what it is, in words.
        more: what it depends on beside the files; plain data.
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
