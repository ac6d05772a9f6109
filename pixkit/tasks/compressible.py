"""Images to be compressed, given as levels or by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from pixkit.data import Progress as Loading
from pixkit.data.fitting import OtherSize
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.runs.run import Run
from pixkit.tasks.drawer import Images
from pixkit.tasks.inputs import as_tensors, each_image, named_images, require_names


@contextmanager
def naming_tiles() -> Iterator[None]:
    """Add a hint at tiles to errors about images of another size."""
    try:
        yield
    except OtherSize as error:
        error.hint = "tiles=True takes images of any size, as tiles of this one"
        raise


def images_of(
    images: Images | Sequence[Tensor],
    spec: ImageSpec,
    run: Run,
    loading: Loading | None,
    *,
    changed: list[str] | None = None,
) -> tuple[list[str], Tensor]:
    """Names of the images, if they have any, and their levels, int64 [N, C, H, W], on the CPU.

    Raises:
        UsageError: if there are none.
        DataError: if they cannot be read.
    """
    wanted = _some(images, tiles=False)
    if isinstance(wanted, Tensor):
        return [], wanted.cpu()
    return named_images(wanted, spec, run, where="images", loading=loading, changed=changed)


def images_of_any_size(
    images: Images | Sequence[Tensor], spec: ImageSpec, run: Run, loading: Loading | None, *, changed: list[str]
) -> tuple[list[str], list[Tensor]]:
    """The same for images of any sizes, int64 [C, H, W] each, which may also be passed so."""
    wanted = _some(images, tiles=True)
    if isinstance(wanted[0], Tensor):
        return [], [image.cpu() for image in wanted]
    pairs = each_image(wanted, spec, run, where="images", loading=loading, changed=changed, own_size=True)
    return [name for name, _ in pairs], [image for _, image in pairs]


def _some(images: Images | Sequence[Tensor], *, tiles: bool) -> Any:
    """The given images, as one or more."""
    wanted = as_tensors(images)
    if not isinstance(wanted, Tensor):
        several = isinstance(wanted, Iterable) and not isinstance(wanted, str)
        wanted = [as_tensors(each) for each in wanted] if several else [wanted]
        require_names([each for each in wanted if not isinstance(each, Tensor)], "images")
    if len(wanted) == 0:
        raise UsageError("there are no images", where="images", found="none", expected="one or more")
    alone = 0 if isinstance(wanted, Tensor) else sum(isinstance(each, Tensor) for each in wanted)
    if alone and (not tiles or alone < len(wanted)):
        raise UsageError(
            "not a single tensor, and not names",
            where="images",
            found=f"a sequence with {alone} tensors",
            expected="levels [N, C, H, W], or names",
            hint="tiles=True takes a sequence of tensors [C, H, W]",
        )
    return wanted
