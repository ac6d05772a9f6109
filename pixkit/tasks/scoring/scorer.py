"""A model's figures for images, one by one: their nats, the terms of these, and the share of each site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.context import rows_of
from pixkit.errors import UsageError
from pixkit.image import Batch
from pixkit.layers.modes import evaluating
from pixkit.memory import memory_errors
from pixkit.models.base import Model
from pixkit.models.capabilities import lacking
from pixkit.models.mixed import mixed, mixed_sites
from pixkit.precision import float32_products
from pixkit.randomness import derive, isolated_rng, seed_torch

BEST_LABEL = "best label"
"""The figure for an image with unknown label: its nats given the likeliest label."""


@dataclass(frozen=True)
class Said:
    """For B images, figures by name, including 'nats', float64 [B], shares of sites, [B, H, W], and likeliest labels.

    All on the CPU; None if not requested.
    """

    figures: Mapping[str, Tensor]
    sites: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True)
class Scorer:
    """Scores images in evaluation mode; an image's figures do not depend on the others.

    Attributes:
        model: the model; its mode, and torch's generators, are left unchanged.
        seed: for the draws of a bound or an estimate: the same for each image.
        importance: estimate the likelihood of a latent model from this many importance samples.
        maps: also compute the share of each site.

    Raises:
        UsageError: if the model has no likelihood, cannot be estimated, or has no figures for sites.
    """

    model: Model
    seed: int = 0
    importance: int | None = None
    maps: bool = False

    def __post_init__(self) -> None:
        if self.model.score_kind == "none":
            raise lacking(self.model, "scorable", "score")
        if self.importance is not None:
            self.model.require("importance_sampled", "importance")
        if self.maps:
            self.model.require("mapped", "maps")
            if self.importance is not None:
                raise UsageError("an estimate has no map", where="importance", hint="leave one of the two out")

    @property
    def kind(self) -> str:
        """'exact', 'bound' or 'estimate'."""
        return self.model.score_kind if self.importance is None else "estimate"

    def parts(self) -> list[str]:
        """Names of an image's figures besides its nats, if its label is known or not needed; scores a blank image."""
        if self.importance is not None:
            return []
        blank = torch.zeros(1, *self.model.spec.shape, dtype=torch.int64)
        rows = torch.zeros(1, sum(each.size for each in self.model.spec.context))
        said = self(blank, torch.zeros(1, dtype=torch.int64) if self.model.labelled else None, rows)
        return [name for name in said.figures if name != "nats"]

    @float32_products()
    @memory_errors("a smaller batch_size")
    def __call__(self, x: Tensor, labels: Tensor | None = None, beside: Tensor | None = None) -> Said:
        """Score images int64 [B, C, H, W], given labels, int64 [B], and the arrays beside them, [B, D].

        Without labels, a labelled model scores each image under a uniform prior over labels, p(x) = mean over y of
        p(x | y), and reports the label with the largest p(x | y).
        """
        model = self.model
        with torch.no_grad(), evaluating(model), isolated_rng(model.device):
            if beside is None:
                beside = rows_of(model.spec.context, x, None)
            return self._every(x, beside) if model.labelled and labels is None else self._given(x, labels, beside)

    def _given(self, x: Tensor, labels: Tensor | None, beside: Tensor | None) -> Said:
        """Score images given their labels: together if noise belongs to images, otherwise one by one from one seed."""
        if self.kind == "exact" or (self.kind == "bound" and self.model.draws_by_number):
            return self._one_pass(x, labels, beside)
        rows = [slice(row, row + 1) for row in range(len(x))]
        alone = [
            self._one_pass(x[row], *(None if each is None else each[row] for each in (labels, beside))) for row in rows
        ]
        figures = {name: torch.cat([each.figures[name] for each in alone]) for name in alone[0].figures}
        sites = [each.sites for each in alone if each.sites is not None]
        return Said(figures, torch.cat(sites) if sites else None)

    def _one_pass(self, x: Tensor, labels: Tensor | None, beside: Tensor | None) -> Said:
        model = self.model
        if self.kind != "exact":
            seed_torch(derive(self.seed, "score"), model.device)
        numbers = torch.arange(len(x)) if self.kind == "exact" else torch.zeros(len(x), dtype=torch.int64)
        batch = Batch(x, labels, numbers, beside).to(model.device)
        sites: Tensor | None = None
        figures: Mapping[str, Tensor]
        if self.importance is not None:
            figures = {"nats": model.importance(batch, self.importance)}
        elif model.mapped:
            figures, sites = model.assess_sites(batch)
        else:
            figures = model.assess(batch)
        plain = {name: values.double().cpu() for name, values in figures.items()}
        return Said(plain, sites.cpu() if self.maps and sites is not None else None)

    def _every(self, x: Tensor, beside: Tensor | None) -> Said:
        """Score under every label: nats of the mixture and, as 'best label', given the likeliest; and that label."""
        count = self.model.classes or 0
        each = [self._given(x, torch.full((len(x),), label), beside) for label in range(count)]
        log_probs = torch.stack([-said.figures["nats"] for said in each])
        best = log_probs.max(0)
        sites = [said.sites for said in each if said.sites is not None]
        shares = mixed_sites(log_probs, torch.stack(sites).double()) if sites else None
        return Said({"nats": -mixed(log_probs), BEST_LABEL: -best.values}, shares, best.indices)
