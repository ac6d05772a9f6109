"""How well an encoder's categories agree with labels that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

import pixkit

Assigned = tuple[Tensor, Tensor | None]
"""q(k | x_n) of images, [N, K], and their labels, int64 [N], if there are any."""

RULE = (
    "clustering_error: all images of a category are given the label of the validation image (a training image where "
    "there are none) that is most certain to be of that category; it is the share of images for which that is another "
    "than their own (rule of arXiv 1706.00531)"
)


def category_labels(q: Tensor, labels: Tensor) -> Tensor:
    """The label of each category, int64 [K]: that of the image n for which q(k | x_n) is largest, the first of several.

    Args:
        q: q(k | x_n), [N, K], N >= 1.
        labels: int64 [N].
    """
    return labels[q.argmax(0)]


def clustering_error(q: Tensor, labels: Tensor, names: Tensor) -> float:
    """The share of images whose likeliest category has another label than their own.

    Args:
        q: q(k | x_n), [N, K], N >= 1.
        labels: int64 [N].
        names: the label of each category, int64 [K].
    """
    return float((names[q.argmax(1)] != labels).double().mean())


def gather(batches: Iterable[pixkit.Batch], category: Callable[[Tensor], Tensor]) -> Assigned:
    """An encoder's output, category(x) = q(k | x), for some images, on the CPU."""
    pairs = [(category(batch.x).cpu(), batch.labels) for batch in batches]
    labels = [some.cpu() for _, some in pairs if some is not None]
    return torch.cat([q for q, _ in pairs]), torch.cat(labels) if labels else None


def figures(scored: Assigned, reference: Assigned) -> dict[str, float]:
    """Figures of the scored images: 'clusters', categories likeliest for some image, and 'clustering_error'.

    The latter only with labels; categories are named by the reference images.
    """
    (q, labels), (known, names) = scored, reference
    found = {"clusters": float(len(q.argmax(1).unique()))}
    if labels is not None and names is not None:
        found["clustering_error"] = clustering_error(q, labels, category_labels(known, names))
    return found
