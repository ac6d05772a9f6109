"""Models whose images may be conditioned on their labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from pixkit.backbones.conditioners import Conditioner, LabelConfig, LabelContext
from pixkit.backbones.conditions import Conditions
from pixkit.backbones.named import reads_labels
from pixkit.components.spec import ComponentSpec, ConditionerRef
from pixkit.context import LABEL
from pixkit.errors import RecipeError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.layers import initialise_from_data
from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.models.batches import batches
from pixkit.models.capabilities import lacking
from pixkit.models.drawn import no_nats
from pixkit.models.guided import guided
from pixkit.models.request import SampleRequest, as_context, context_for
from pixkit.network import Autoregressive, assemble
from pixkit.noise import Noise
from pixkit.samplers import Drawn
from pixkit.samplers.batch import is_guided

Given: TypeAlias = Tensor | Mapping[str, Any] | None
"""A context as callers give it: labels, or arrays by name, where a model has a list of conditions."""
ContextRef: TypeAlias = LabelConfig | Annotated[list[ConditionerRef], Field(min_length=1)] | None
"""The recipe's key `context`: `{type: label}`, or a list of conditioners."""


class NoLabels(RecipeError):
    """A recipe asks for labels, and its data have none."""


class LabelledModel(Model):
    """Base of models of pixels alone that can be given labels.

    Its ``Config`` has the keys `input`, `context` (`ContextRef`), `backbone` and `head`.

    Attributes:
        label_config: what the recipe says of labels; None if the model takes none, or a list of conditions.
        network: the network, or the first of several; its conditioner takes labels, or rows of `Conditions`.
    """

    label_config: LabelConfig | None
    network: Autoregressive
    completes = True

    # Any: each class has its own Config
    def __init__(self, config: Any, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self.label_config = None if isinstance(config.context, list) else config.context
        said = [part.config for part in config.context] if isinstance(config.context, list) else [config.context]
        listed = isinstance(config.context, list) and any(map(reads_labels, config.context))
        self.labelled = self.label_config is not None or listed
        self.guidable = any(part.dropout > 0 for part in said if part is not None)

    def build_network(self, ordering: ComponentSpec) -> Autoregressive:
        """A network of the recipe's parts for one ordering."""
        config = self.config
        conditioner: Conditioner | None = label_context(self.label_config, self.classes)
        if isinstance(config.context, list):
            conditioner = conditions(config.context, self.spec, self.classes)
        return assemble(self.spec, ordering, config.input, config.backbone, config.head, conditioner=conditioner)

    @property
    def conditioner(self) -> LabelContext | None:
        """The network's encoder of labels; None if the model takes none, or a list of conditions."""
        found = self.network.conditioner
        return found if isinstance(found, LabelContext) else None

    @property
    def several(self) -> Conditions | None:
        """The network's encoder of a list of conditions; None if the recipe has none."""
        found = self.network.conditioner
        return found if isinstance(found, Conditions) else None

    @property
    def conditions(self) -> tuple[str, ...]:
        """See Model: of a list of conditions their names."""
        return super().conditions if self.several is None else self.several.names

    def context_of(self, batch: Batch) -> Tensor | None:
        """The batch's context for the network: labels, or rows of conditions; None if it takes none.

        Of images without arrays beside them, as in `log_prob`, what is not made of the image is hidden if it may be; so
        are arrays with a NaN, and a label K of K classes.
        """
        if self.several is not None and self.spec.context and batch.context is None:
            known = {LABEL: batch.labels} if self.several.label is not None and batch.labels is not None else {}
            return self.several.given(known, len(batch.x), batch.x).to(batch.x.device)
        if self.several is not None:
            return self.several.known(batch.labels, batch.context)
        return batch.labels if self.labelled else None

    def context_shown(self, batch: Batch) -> Tensor | None:
        """The same of training images, some of it hidden (`dropout`), from torch's generator."""
        if self.several is not None:
            return self.several.dropped(self.several.rows(batch.labels, batch.context))
        return self.labels_shown(batch.labels)

    def initialise(self, batch: Batch) -> None:
        """Initialise the data-dependent layers (`pixkit.layers.DataInitialised`), in the network's order."""
        context = self.context_of(batch)
        initialise_from_data(self.network, lambda: self.network(batch.x, context))

    def no_label(self) -> Tensor:
        """See Model: int64 [1]; of a list of conditions the row of an image without any, if all may be hidden."""
        if self.several is not None and self.guidable:
            return self.several.given({}, 1).to(self.device)
        if not self.guidable or self.conditioner is None:
            raise lacking(self, "guidable")
        return torch.tensor([self.conditioner.unlabelled], device=self.device)

    def labels_shown(self, labels: Tensor | None) -> Tensor | None:
        """The labels of training images, some of them hidden."""
        if self.label_config is None or self.conditioner is None or labels is None:
            return None
        hidden = torch.rand(labels.shape, device=labels.device) < self.label_config.dropout
        return torch.where(hidden, self.conditioner.unlabelled, labels)

    def site_nats(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """What `nll_map` gives of a batch on the model's device, [B, H, W], given the labels if the model takes any."""
        raise lacking(self, "mapped")

    def assess_sites(self, batch: Batch) -> tuple[Mapping[str, Tensor], Tensor]:
        """See Model: sites sum to the nats."""
        sites = self.site_nats(batch.x, self.context_of(batch))
        return {"nats": sites.flatten(1).sum(1)}, sites

    @abstractmethod
    def image_log_probs(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """log p(x) of a batch on the model's device, nats [B], given the labels if the model takes any."""

    def log_prob(self, x: Tensor, context: Given = None, *, batch_size: int | None = None) -> Tensor:
        """log p(x) of each image, nats [B], on the model's device.

        In training mode it is computed with dropout. Labels are used as given: to train a model with label dropout,
        pass ``model.labels_shown(labels)``, as the loss of `phases` does.

            loss = -model.log_prob(x).mean()
            loss.backward()  # of a model that pixkit.build_model gave, or pixkit.load(run, trainable=True)

        Args:
            x: int64 [B, C, H, W].
            context: int64 [B], the images' labels, if the model takes labels; by default none, which requires a model
                trained with label dropout. Of a list of conditions, arrays by name, [B, ...] each: what is left out is
                made of the image, if it is the image, smaller, or hidden if it may be.
            batch_size: images at a time; by default 256 if no gradients are recorded (under ``torch.no_grad()``, or
                with the frozen parameters of `pixkit.load`), otherwise all of them.

        Raises:
            DataError: if x is not a batch of such images.
            UsageError: if the labels do not fit.
        """
        return self._in_batches(self.image_log_probs, x, context, batch_size)

    def nll_map(self, x: Tensor, context: Given = None, *, batch_size: int | None = None) -> Tensor:
        """-log p of the colours of each site given the earlier sites, nats [B, H, W]; they sum to -log p(x).

            sites = model.nll_map(x)
            sites.flatten(1).sum(1)  # -model.log_prob(x)

        For a mixture over orderings, p(x) = mean over o of p_o(x), each site gets the mean over o of its shares of -log
        p_o(x), with weights p(o | x); the rest of -log p(x), at most the log of their number, is spread evenly. Labels,
        batches and errors are those of `log_prob`.
        """
        return self._in_batches(self.site_nats, x, context, batch_size, (self.spec.height, self.spec.width))

    def _in_batches(
        self,
        scored: Callable[[Tensor, Tensor | None], Tensor],
        x: Tensor,
        context: Given,
        batch_size: int | None,
        shape: tuple[int, ...] = (),
    ) -> Tensor:
        """Score images in batches, [B, *shape]."""
        self.spec.check(x)
        labels = self.labels_scored(x, context)
        self.network.check_context(labels, len(x))
        if not len(x):
            return no_nats(self).new_empty(0, *shape)
        parts = [
            scored(x[some].long().to(self.device), None if labels is None else labels[some])
            for some in batches(self, len(x), batch_size)
        ]
        return torch.cat(parts)

    def forward(self, x: Tensor, context: Given = None) -> Tensor:
        """`log_prob` of all images together, for wrappers of modules such as DistributedDataParallel."""
        return self.log_prob(x, context, batch_size=x.shape[0])

    def labels_scored(self, x: Tensor, context: Given) -> Tensor | None:
        """The labels to score images with, as they are given; where the model takes some and none are, no label.

        Of a list of conditions, its rows.
        """
        context = self._by_name(context)
        if self.several is not None and not isinstance(context, Tensor):
            return self.several.given(context or {}, len(x), x).to(self.device)
        if context is not None:
            return as_context(context).to(self.device)
        return self.no_label().expand(len(x)) if self.labelled else None

    def _by_name(self, context: Given) -> Given:
        """A context as it is, but labels of a model with a list of conditions, int64 [B], by their name."""
        if self.several is not None and not isinstance(context, Tensor | Mapping | None):
            raise UsageError(
                "not arrays by name",
                where="context",
                found=f"of type {type(context).__name__}",
                expected=f"a mapping with {', '.join(self.several.names)}",
            )
        labels = isinstance(context, Tensor) and not context.is_floating_point() and context.ndim == 1
        return {LABEL: context} if self.several is not None and labels else context

    def resolve_context(self, noise: Noise, context: Given) -> Tensor | None:
        """See Model: labels that the network knows, or rows of conditions, by name."""
        context = self._by_name(context)
        if self.several is not None and not isinstance(context, Tensor):
            turn = {LABEL: [number % (self.classes or 1) for number in noise.images]} if self.several.label else {}
            context = self.several.given(turn | dict(context or {}), len(noise))
        found = context_for(self, noise, context)
        self.network.check_context(found, len(noise))
        return found

    def drawn_log_prob(self, images: Tensor, request: SampleRequest) -> Tensor:
        """See Model."""
        if self.several is None:
            return super().drawn_log_prob(images, request)
        with torch.no_grad(), evaluating(self):
            return self.log_prob(images, request.context, batch_size=request.batch_size)

    def draw_by(self, network: Autoregressive, request: SampleRequest) -> Drawn:
        """Draw a request's images by one of the networks, with guidance if requested."""
        sampler = request.sampler
        if is_guided(request.guidance):
            sampler = guided(self, sampler, request.guidance)
        return sampler.draw(
            network,
            request.noise,
            temperature=request.temperature,
            known=request.known,
            context=request.context,
            batch_size=request.batch_size,
            progress=request.progress,
        )


def label_context(config: LabelConfig | None, classes: int | None) -> LabelContext | None:
    """The conditioner that a recipe asks for.

    Raises:
        NoLabels: if the data have none.
    """
    if config is None:
        return None
    if classes is None:
        raise _no_labels(config.where())
    return LabelContext(classes, config.size)


def conditions(components: list[ComponentSpec], spec: ImageSpec, classes: int | None) -> Conditions:
    """The conditioner made of a recipe's list.

    Raises:
        NoLabels: if the data have none, and one of them takes labels.
        RecipeError: if there is no such array, or a conditioner does not take it.
    """
    for component in components:
        if reads_labels(component) and classes is None:
            raise _no_labels(component.config.where())
    return Conditions(components, spec, classes)


def _no_labels(where: str) -> NoLabels:
    return NoLabels(
        "the data have no labels to condition on",
        where=where,
        found="type: label",
        expected="data with labels (mnist, fashion_mnist, cifar10, digits; arrays and images, if they are read)",
    )
