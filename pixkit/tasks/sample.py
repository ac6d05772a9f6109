"""Draw images from a trained model: freely, by label or code, continuing given rows, or along a latent code."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor

from pixkit.errors import UsageError
from pixkit.memory import memory_errors
from pixkit.memory.guard import SMALLER_DRAW
from pixkit.models.request import check_room
from pixkit.precision import float32_products
from pixkit.samplers import Drawn, Known
from pixkit.samplers.batch import Guidance, check_count, check_guidance, is_guided
from pixkit.tasks import latents
from pixkit.tasks.beside import Asked, Conditioning, conditions_of, context_of, rows_in_turn
from pixkit.tasks.decoded import decoded, decoder_of
from pixkit.tasks.drawer import Drawer, DrawingOptions, Images, Source, open_drawer
from pixkit.tasks.labels import Choice, repeat_codes, repeat_labels
from pixkit.tasks.masks import keep_edge
from pixkit.tasks.sampled import Sampled, layout_of
from pixkit.tasks.varied import LATENT, Axes, axes_of, require_variable, varied_request

IN_A_ROW = 8
"""Images per label, code or interpolation, if no number is given."""


@float32_products()
@memory_errors(SMALLER_DRAW)
def sample(
    model: Source,
    n: int | None = None,
    *,
    labels: Choice | None = None,
    codes: Choice | None = None,
    given: Images | None = None,
    rows: int | None = None,
    context: Asked | None = None,
    guidance: Guidance | None = None,
    vary: str | Axes | None = None,
    interpolate: Tensor | Sequence[str | Path] | None = None,
    return_log_prob: bool = False,
    **options: Unpack[DrawingOptions],
) -> Sampled:
    """Draw images from a trained model.

        drawn = pixkit.sample("runs/digits-gated", 10, labels="all", seed=1)
        pixkit.figures.save_grid(drawn.images, 17, "grid.png", columns=drawn.columns)

    An image depends only on the seed and its number, not on how many are drawn or how.

    Args:
        model: a trained model in eval mode, or its run, or the run's folder.
        n: number of images; with `labels`, `codes` or `interpolate` the number for each, 8 by default. Otherwise the
            default is the recipe's `sample.count`, or 64 for a model that was given without its run.
        labels: draw n images of each of these classes: a number 0..classes-1, a name, several ("ant,bee"), or "all";
            "none" draws without a label. By default, a model with labels cycles through the classes.
        codes: draw n images of each of these values of a categorical code.
        given: an image to continue, int64 [1, C, H, W], or its name: a file, or "test:5" of the run's data. Several
            (int64 [m, C, H, W], a list of names, a folder, an array) are each continued n times, under each of the
            labels or codes, if any.
        context: for a model with a list of conditions, what images are drawn given, n for each: images of the run's
            data, "test:5" or several, whose conditions are meant; or by name an array [m, ...], a file of one, or such
            an image: `{"small": array, "attributes": "test:5"}`; or both, `["test:5", {"attributes": array}]`, where
            what is named replaces what the images have. By default those of the image that is `given`, else those of
            the run's validation images in turn.
        rows: number of rows that are given. Under a raster ordering the others follow p(others | given).
        guidance: strengthens the influence of the conditions, or of each by its name, `{"label": 2.0}`; 0 is the model
            itself. By default the recipe's `sample.guidance`.
        vary: what differs: "pixels" (their noise, under one code, or under the conditions of a row) or, for a latent
            model, "latent" (the code, under one pixel noise) or "latentL", only level L; for a model with conditions,
            one of them, by name: n of the given values, of the classes, or of those of the run's validation images,
            under one noise and with the other conditions held, in a row for each of these that is given. Two of them,
            ("label", "small"), differ from row to row and within a row: with n images in it, under one noise.
        interpolate: for a latent model, two images, from the code of one to that of the other.
        return_log_prob: also return log p(x) of each image, given its label if it has one: under the model itself,
            whatever the temperature, the guidance or the given rows. Not for a latent model, whose likelihood only has
            a bound.
        options: how to draw: see `DrawingOptions` (seed, temperature, sampler, batch_size, device, ...).

    Raises:
        UsageError: for arguments that the model does not take, or that exclude one another.
        DataError: if an image cannot be read or does not fit.
        RunError: if there is no such run.
        CheckpointError: if its checkpoint is missing or damaged.
    """
    used: dict[str, Any] = {
        "labels": labels,
        "codes": codes,
        "context": context,
        "given": given,
        "interpolate": interpolate,
        "vary": vary,
    }
    used |= {
        "guidance": guidance if guidance is not None and is_guided(guidance) else None,
        "return_log_prob": return_log_prob or None,
    }
    named = [name for name, value in used.items() if value is not None]
    axes = None if vary is None else axes_of(vary)
    if incompatible(named, axes):
        raise UsageError(f"{' and '.join(named)} cannot be combined", where="sample")
    if (given is None) != (rows is None):
        raise UsageError("given and rows go together", where="sample", expected='given="test:5", rows=10')
    if guidance is not None:
        check_guidance(guidance)
    if n is not None:
        check_count("n", n, 0, math.inf, "0 or more")
    drawer = open_drawer(model, **options)
    if axes is not None:
        require_variable(drawer.model, axes)
        if drawer.model.has_latent and len(named) > 1:
            raise UsageError(f"{' and '.join(named)} cannot be combined", where="sample")
    if return_log_prob:
        drawer.model.check_exact("return_log_prob")
    together = any(each is not None for each in (labels, codes, interpolate, context))
    number = n if n is not None else IN_A_ROW if together else drawer.count
    check_room(number, drawer.model.spec)
    decoder = None if drawer.run is None else decoder_of(drawer.run.recipe().data.build(Path.cwd()))
    drawn, nats, under = _along_the_code(drawer, number, axes, interpolate), None, None
    layout: dict[str, Any] = {"columns": number if together else None}
    if drawn is None:
        wish: dict[str, Any] = {"labels": labels, "given": given, "rows": rows, "context": context}
        wish["guidance"] = drawer.guidance if guidance is None else guidance
        if axes is None:
            request = drawer.request(**_request(drawer, number, codes=codes, **wish))
            layout = layout_of(drawer.model, request, number if together else None, labels)
        else:
            request, layout = varied_request(drawer, axes, n, each=IN_A_ROW, **wish)
        drawn, under = drawer.model.draw(request), request.context
        nats = drawer.model.drawn_log_prob(drawn.images, request).cpu() if return_log_prob else None
    shown = None if decoder is None else decoded(decoder, drawer.model, drawn.images, under)
    return Sampled(drawn.images.cpu(), drawn.summary, log_prob=nats, decoded=shown, **layout)


def incompatible(named: Collection[str], axes: Axes | None = None) -> bool:
    """Whether the arguments with these names, all of which are given, exclude one another.

    `vary`, unless one of its `axes` means a latent code, goes with everything that defines conditions.
    """
    alone = {"interpolate"} | ({"vary"} if axes is None or any(map(LATENT.fullmatch, axes)) else set())
    wrong = {"labels", "codes"} <= set(named) or {"vary", "codes"} <= set(named)
    return len(named) > 1 and (bool(alone & set(named)) or wrong)


def _along_the_code(
    drawer: Drawer, n: int, axes: Axes | None, ends: Tensor | Sequence[str | Path] | None
) -> Drawn | None:
    """Images of a latent model whose codes are related, if requested."""
    if ends is not None:
        model = drawer.latent_model("interpolate")
        images = drawer.images(ends, where="interpolate")
        if len(images) != 2:
            raise UsageError("an interpolation has two ends", where="interpolate", found=f"{len(images)} images")
        return drawer.decode(*latents.interpolate(model, images, n, drawer.seed))
    if axes is not None and drawer.model.has_latent:
        return drawer.decode(*latents.vary(drawer.latent_model("vary"), axes[0], n, drawer.seed))
    return None


def _request(
    drawer: Drawer,
    n: int,
    *,
    labels: Choice | None,
    codes: Choice | None,
    given: Images | None,
    rows: int | None,
    context: Asked | None,
    guidance: Guidance,
) -> dict[str, Any]:
    """The model's request: `n` and the conditions to draw under."""
    request: dict[str, Any] = {"n": n, "guidance": guidance}
    found = _conditions(drawer, n, labels=labels, context=context, given=given)
    if found is not None:
        request["context"] = found
    elif labels is not None:
        request["context"] = repeat_labels(drawer.model, labels, n)
    if codes is not None:
        request["context"] = repeat_codes(drawer.model, codes, n)
    if "context" in request:
        request["n"] = len(request["context"])
    if given is not None and rows is not None:
        image = drawer.images(given, where="given")
        if len(image) > 1:
            each = request["n"]
            if "context" in request:
                context_rows = request["context"]
                request["context"] = context_rows.repeat(len(image), *[1] * (context_rows.ndim - 1))
            image = image.repeat_interleave(each, 0)
            request["n"] = len(image)
        request["known"] = Known(keep_edge(drawer.model.spec.shape, "top", rows), image)
    return request


def _conditions(
    drawer: Drawer, n: int, *, labels: Choice | None, context: Asked | None, given: Images | None
) -> Tensor | None:
    """The rows of a list of conditions: n of each that is asked for, or n in turn; None of a model without a list."""
    if conditions_of(drawer.model) is None and context is None:
        return None
    if context is None and given is not None:
        names, images = drawer.named_images(given, where="given")
        if len(images) != 1:
            raise UsageError(
                "one image with its conditions at a time", where="given", found=f"{len(images)} images", expected="1"
            )
        found = context_of(drawer, names[0], images, labels)  # type: ignore[arg-type]  # several labels are refused
        return None if found is None else found.repeat_interleave(n, 0)
    if context is not None or labels is not None or drawer.run is None:
        conditioning = Conditioning(drawer.model, drawer.run, drawer.loading)
        return conditioning.rows({} if context is None else context, labels).repeat_interleave(n, 0)
    return rows_in_turn(drawer.model, drawer.data, n)
