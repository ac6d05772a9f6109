"""Everything that can be done with one recipe, on images made up for it: trained for two steps, resumed, scored, drawn.

    python tests/device/every_recipe.py NAME cuda|cpu    # prints [verdict, note, figures] as JSON

On a GPU the model is the recipe's, on a CPU a small one of its kind; images have a side of 8.
"""

import json
import math
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import torch
from made_data import made_data
from outcomes import FAILED, OK
from safetensors.torch import load_file

import pixkit
from pixkit.errors import PixkitError, UsageError, message
from pixkit.recipe import load_recipe
from pixkit.runs.load import load_data
from pixkit.tasks.beside import conditions_of
from pixkit.tasks.masks import keep_edge
from pixkit.tasks.score import active_units
from pixkit.tasks.upscale import coarse_lattice
from pixkit.training.precision import Arithmetic
from pixkit.training.rounding import largest_change
from pixkit.training.watch import Reporter

sys.path.append(str(Path(__file__).resolve().parents[1] / "execution"))

from families import smaller, stated

SIDE = 8
OPTIONS = (
    *("train.batch_size=4", "train.accumulate=1", "train.eval_every=2", "train.checkpoint_every=1"),
    *("train.schedule.type=constant", "train.precision=fp32", "train.memory_format=contiguous"),
    *("sample.count=2", "sample.batch_size=2"),
)
CLOSE = 1e-4
"""Of the nats: what float32 may differ by between two devices."""


class Wrong(Exception):
    """Something does not hold."""


class Heard(Reporter):
    """Keeps what a build has to say of problems."""

    def __init__(self):
        self.problems = []

    def problem(self, text):
        self.problems.append(text)


class Tried:
    """A recipe's run on a device, and what is found of it."""

    def __init__(self, name, device, folder, side):
        self.name, self.device, self.folder = name, device, folder
        overrides = [] if device == "cuda" else list(smaller(stated(name)))
        data = made_data(folder, name, load_recipe(name).recipe.data.config.model_dump(), side)
        self.options = [*overrides, *OPTIONS, data]
        self.figures, self.said = {}, []

    def trained(self):
        """Two steps, scores and samples of the best."""
        heard = Heard()
        result = self._build("whole", 2, reporter=heard)
        self.run = result.run
        if heard.problems or result.grid_path is None:
            raise Wrong("; ".join(heard.problems) or "no samples were drawn")
        self.model = pixkit.load(self.run, device=self.device)
        self.data = load_data(self.run)
        for row in result.scores:
            if row.kind != "none" and not math.isfinite(row.nats):
                raise Wrong(f"{row.split}: {row.nats} nats")

    def resumed(self):
        """A run that was cut after a step, and went on, has the bits of the whole one, or says why it may not."""
        self._build("cut", 1)
        cut = self._build("cut", 2, resume=True).run
        for part in ("model", "ema", "optimizer"):
            files = [run.checkpoint("last") / f"{part}.safetensors" for run in (self.run, cut)]
            if not files[0].exists():
                continue
            one, other = map(load_file, files)
            apart = {
                key: float((one[key].double() - other[key].double()).abs().max()) for key in one if one[key].numel()
            }
            worst = max(apart, key=apart.get)
            if apart[worst] and (without := cut.settings()["lock"].get("kernels", {}).get("without")):
                self.said.append(f"resumed {apart[worst]:.2g} off: no deterministic kernel for {', '.join(without)}")
            elif apart[worst]:
                raise Wrong(f"{part} {worst} differs by {apart[worst]:.2g}")

    def verified(self):
        """Proved by readiness."""
        for report in pixkit.verify(self.model).values():
            if report.verdict != "proved":
                raise Wrong(f"{report.verdict}: {report.problem}")

    def scored(self):
        """The nats of the CPU, where they are exact; estimated ones and others are at least numbers."""
        if not self.model.scorable:
            return
        options = {"batch_size": 4, "split": "test"}
        here = pixkit.evaluate(self.run, device=self.device, **options)
        if here.kind == "exact":
            there = pixkit.evaluate(self.run, device="cpu", **options)
            self.figures["nats"] = here.nats
            if abs(here.nats - there.nats) > CLOSE * abs(there.nats):
                raise Wrong(f"{here.nats} nats, on the CPU {there.nats}")
        if self.model.importance_sampled:
            found = pixkit.evaluate(self.run, device=self.device, importance=2, limit=2, **options)
            if not math.isfinite(found.nats):
                raise Wrong(f"{found.nats} nats by importance sampling")
        active_units(self.model, self.data, "test")

    def rounded(self):
        """How far the nats of an image go under coarser products."""
        if self.model.score_kind == "none":
            return
        batch = self.data.batch("test", torch.arange(4)).to(self.model.device)
        for precision in ("tf32", "bf16"):
            if precision == "bf16" or self.device != "cpu":
                change = largest_change(self.model, batch, Arithmetic(precision))
                self.figures[f"change under {precision}"] = change

    def sampled(self):
        """In float64 the images of the CPU; there, of a CPU's own run, those of ancestral sampling."""
        self.said.append(pixkit.sample(self.run, 2, device=self.device).summary.split("; ")[0])
        here, there = (pixkit.load(self.run, device=device).double() for device in (self.device, "cpu"))
        other = "ancestral" if self.device == "cpu" else "auto"
        given = self._listed()
        drawn = [
            pixkit.sample(model, 2, seed=1, sampler=sampler, **given).images
            for model, sampler in ((here, "auto"), (there, other))
        ]
        if not torch.equal(*drawn):
            raise Wrong(
                f"{int((drawn[0] != drawn[1]).sum())} of {drawn[0].numel()} sub-pixels are not those of the CPU"
            )

    def completed(self):
        """The lower half, given the upper one."""
        if self.model.completes:
            known = keep_edge(self.model.spec.shape, "top", self.model.spec.height // 2)
            found = pixkit.complete(self.model, self._image(), known, 2, **(self._listed() or self._label()))
            if not torch.equal(found.samples[:, known], self._image().expand_as(found.samples)[:, known]):
                raise Wrong("what was given was changed")

    def upscaled(self):
        """To twice the side, where the ordering is from coarse to fine."""
        if not self.model.completes:
            return
        try:
            coarse_lattice(self.model, 2)
        except UsageError:
            return
        pixkit.upscale(self.model, self._image(), 2, **self._label())
        self.said.append("upscaled")

    def reconstructed(self):
        """Drawn from the codes of images."""
        if self.model.has_latent:
            pixkit.reconstruct(self.model, self.data.batch("test", torch.arange(2)).x)
            self.said.append("reconstructed")

    def _build(self, name, steps, **options):
        recipe = load_recipe(self.name, [*self.options, f"train.steps={steps}"])
        return pixkit.build(recipe, self.folder / name, device=self.device, **options)

    def _image(self):
        return self.data.batch("test", torch.arange(1)).x

    def _listed(self):
        """The conditions of the first test image, if the model has a list of them."""
        conditions = conditions_of(self.model)
        if conditions is None:
            return {}
        batch = self.data.batch("test", torch.arange(1))
        given = conditions.by_name(batch.context) | ({"label": batch.labels} if conditions.label else {})
        return {"context": {name: given[name] for name in conditions.names}}

    def _label(self):
        return {"label": 1} if self.model.labelled else {}


STAGES = ("trained", "resumed", "verified", "scored", "rounded", "sampled", "completed", "upscaled", "reconstructed")


def check(name, device, side=SIDE):
    """[verdict, note, figures] of a recipe, on images of this side."""
    started, problems = time.perf_counter(), []
    with tempfile.TemporaryDirectory(prefix="pixkit-recipe-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried = Tried(name, device, Path(folder), side)
        for stage in STAGES:
            try:
                getattr(tried, stage)()
            except (Wrong, PixkitError, RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
                traceback.print_exc()
                problems.append(f"{stage}: {type(error).__name__}: {message(error)}")
                if stage == "trained":
                    break
    figures = {"seconds": time.perf_counter() - started, **tried.figures}
    return [FAILED if problems else OK, "; ".join(problems or tried.said), figures]


if __name__ == "__main__":
    print(json.dumps(check(*sys.argv[1:3])))
