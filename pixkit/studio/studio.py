"""A trained model, and the requests that a page may make. Everything is plain data, as in JSON."""

from __future__ import annotations

import time
from contextlib import suppress

import torch
from torch import Tensor

from pixkit.components.describe import describe
from pixkit.errors import PixkitError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.readiness.report import Sight, chosen_pixel, sight_of
from pixkit.readiness.trace import Trace
from pixkit.samplers import Known
from pixkit.samplers.batch import check_temperature
from pixkit.samplers.kept import REFUSALS, prepared
from pixkit.studio.asked import MOST, DrawAsked, ImageAsked, SightAsked
from pixkit.studio.desk import Cancelled, Desk
from pixkit.studio.events import Event, Pixels, Tell, ended, told
from pixkit.studio.walk import walk
from pixkit.tasks.beside import conditions_of
from pixkit.tasks.drawer import Drawer
from pixkit.tasks.labels import one_label
from pixkit.wrappers import networks_in

LARGEST = 256
"""Largest side in pixels; the page draws each of them individually."""


class Studio:
    """Answers a page's requests with a model; several threads may ask at once.

    Args:
        drawer: the model, and the run with its data.
        name: the name shown on the page.

    Raises:
        UsageError: if images are too large for a page.
    """

    def __init__(self, drawer: Drawer, name: str) -> None:
        self.drawer, self.name, self.model = drawer, name, drawer.model
        self.desk = Desk()
        spec = self.spec
        if max(spec.height, spec.width) > LARGEST:
            found, expected = f"{spec.height} x {spec.width}", f"sides of at most {LARGEST} pixels"
            raise UsageError("images are too large for the page", where=name, found=found, expected=expected)
        if conditions_of(self.model) is not None:
            raise UsageError(
                "the page has no place for a list of conditions",
                where=name,
                found=", ".join(self.model.conditions),
                expected="a model without a context, or with labels alone",
                hint="pixkit complete RUN test:5, pixkit sample RUN --given test:5",
            )

    @property
    def spec(self) -> ImageSpec:
        """The spec of the images."""
        return self.model.spec

    @property
    def _network(self) -> Autoregressive | None:
        """The network that draws if nothing is given, or the first of a model that cannot complete images."""
        if self.model.completes:
            return self.model.completing(self._nothing)
        return next(iter(networks_in(self.model).values()), None)

    @property
    def _nothing(self) -> Tensor:
        return torch.zeros(self.spec.shape, dtype=torch.bool)

    def prepare(self) -> None:
        """Make the plan for all completions; a drawing that arrives meanwhile waits for it.

        An error is reported to the first request that draws.
        """
        if self.model.completes:
            with suppress(PixkitError, Cancelled), self.desk.working():
                nothing = Known(self._nothing, torch.zeros(1, *self.spec.shape, dtype=torch.int64))
                label = torch.zeros(1, dtype=torch.int64, device=self.model.device) if self.model.labelled else None
                walk(self.model.completing(nothing.mask), nothing, Noise(0, range(1)), context=label)

    def about(self) -> Event:
        """The model: its images, its order, its classes, and whether it completes images, or why not."""
        spec, model, network = self.spec, self.model, self._network
        any_part = model.completes and self._any_part()
        palette = None if spec.palette is None else spec.palette.array().tolist()
        names = model.class_names or tuple(map(str, range(model.classes or 0)))
        return {
            "name": self.name,
            "channels": spec.channels,
            "height": spec.height,
            "width": spec.width,
            "levels": spec.levels,
            "palette": palette,
            "blank": spec.blank,
            "completes": model.completes,
            "reason": None if model.completes else _reason(model),
            "any_part": any_part,
            "ordering": None if network is None else "any" if any_part else describe("ordering", network.ordering),
            "steps": None if network is None else network.ordering.steps.flatten().tolist(),
            "labels": list(names) if model.labelled else None,
            "unlabelled": model.guidable,
            "temperature": self.drawer.temperature,
            "most": MOST,
            "data": self.drawer.run is not None,
        }

    def _any_part(self) -> bool:
        """Whether any sites may be given, with the rest drawn from its distribution given these."""
        steps = self.model.completing(self._nothing).ordering.steps
        last = (steps == steps.max()).any(0).expand(self.spec.shape)
        return Known(last, torch.zeros(1, *self.spec.shape)).precede(self.model.completing(last).ordering)

    def sight(self, asked: SightAsked) -> Event:
        """The sub-pixels that a prediction sees, and those that it could see but does not, as flat indices.

        Raises:
            UsageError: if there is no such sub-pixel, or no such sites, or what it sees is unknown.
        """
        network = self.model.completing(self._mask(asked.known)) if self.model.completes else self._network
        if network is None:
            raise UsageError("the model has no autoregressive network", where=self.name)
        sight = sight_of(self._trace(network), chosen_pixel(network, asked.pixel)).flatten()
        kinds = {"seen": (sight == Sight.SEEN) | (sight == Sight.LEAK), "blind": sight == Sight.BLIND}
        return {name: each.nonzero().flatten().tolist() for name, each in kinds.items()}

    def _trace(self, network: Autoregressive) -> Trace:
        try:
            return prepared(network, None).plan.trace
        except REFUSALS as error:
            raise UsageError("what a pixel sees cannot be told", where=self.name, found=str(error)) from error

    def image(self, asked: ImageAsked) -> Event:
        """An image of the run's data: its levels, site by site.

        Raises:
            UsageError: if there is no image with that number, or no run.
            DataError: if the data are missing.
        """
        image = self.drawer.images(f"{asked.split}:{asked.number}")
        return {"levels": image[0].flatten(1).T.flatten().tolist()}

    def check(self, asked: DrawAsked) -> tuple[Known, Tensor | None]:
        """The given sub-pixels, and the images' label, int64 [count]; None if the model takes none.

        Raises:
            UsageError: if something does not fit.
            DataError: if levels are out of range.
        """
        spec, sites, mask = self.spec, asked.known, self._mask(asked.known)
        if len(asked.levels) != spec.channels * len(sites):
            expected = f"{spec.channels} for each of {len(sites)} sites"
            raise UsageError("levels do not fit", where="levels", found=str(len(asked.levels)), expected=expected)
        if sites:
            self.model.require("completes", "known")
        if len(sites) == spec.sites:
            raise UsageError("nothing is missing", where="known", expected="at least one site to draw")
        if not all(0 <= level < spec.levels for level in asked.levels):
            raise UsageError("no such level", where="levels", expected=f"0..{spec.levels - 1}")
        check_temperature(asked.temperature)
        label = one_label(self.model, asked.label)
        values = torch.zeros(spec.channels, spec.sites, dtype=torch.int64)
        values[:, sites] = torch.tensor(asked.levels, dtype=torch.int64).view(-1, spec.channels).T
        given = Known(mask, values.view(1, *spec.shape))
        return given, None if label is None else label.expand(asked.count)

    def _mask(self, sites: list[int]) -> Tensor:
        """Mark these sites as known, bool [C, H, W]; UsageError if there are no such sites, or one occurs twice."""
        if len(set(sites)) < len(sites) or not all(0 <= site < self.spec.sites for site in sites):
            raise UsageError("no such sites", where="known", expected=f"0..{self.spec.sites - 1}, each once")
        mask = self._nothing.flatten(1)
        mask[:, sites] = True
        return mask.view(self.spec.shape)

    def draw(self, asked: DrawAsked, tell: Tell) -> None:
        """Draw and send events: first how, then pixels as they are drawn, finally nats and uncertainties.

        Args:
            asked: accepted by `check` before.
            tell: see `Tell`.
        """
        given, label = self.check(asked)
        began = time.monotonic()
        if not self.model.completes:
            tell({"event": "start", "exact": True, "ordering": None, "steps": None})
            tell(self._drawn_whole(asked, label, tell) | {"seconds": time.monotonic() - began})
            return
        network = self.model.completing(given.mask)
        exact, steps = given.precede(network.ordering), network.ordering.steps
        usual = torch.equal(steps, self.model.completing(self._nothing).ordering.steps)
        ordering = describe("ordering", network.ordering)
        other = None if usual else steps.flatten().tolist()
        tell({"event": "start", "exact": exact, "ordering": ordering, "steps": other})
        pixels = Pixels(tell)
        walked = walk(
            network,
            given,
            Noise(asked.seed, range(asked.count)),
            temperature=asked.temperature,
            context=None if label is None else label.to(self.model.device),
            drawn=pixels,
        )
        pixels.flush()
        tell(told(network, walked, given, exact=exact) | {"seconds": time.monotonic() - began})

    def _drawn_whole(self, asked: DrawAsked, label: Tensor | None, tell: Tell) -> Event:
        """Images of a model that draws them in its own way: all at once."""

        def progress(done: int, total: int) -> None:
            tell({"event": "progress", "done": done, "total": total})

        request = self.model.request(
            asked.count,
            seed=asked.seed,
            temperature=asked.temperature,
            sampler=self.drawer.sampler,
            context=label,
            progress=progress,
        )
        drawn = self.model.draw(request)
        pixels = Pixels(tell)
        pixels(torch.arange(self.spec.sites), drawn.images.flatten(2).transpose(1, 2))
        pixels.flush()
        nats = None
        if self.model.score_kind == "exact":
            nats = self.model.drawn_log_prob(drawn.images, request).neg().tolist()
        return ended(self.spec, nats, summary=drawn.summary)


def _reason(model: Model) -> str:
    try:
        model.require("completes")
    except UsageError as error:
        return ": ".join(filter(None, (error.message, error.found)))
    return ""
