"""The base class of models, which score images, sample them, and say how they are trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, overload

import torch
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.execution.reference import Progress
from pixkit.image import Batch, ImageSpec
from pixkit.layers.modes import evaluating
from pixkit.models import deprecated
from pixkit.models.declared import Declared, no_score
from pixkit.models.drawn import check_exact, log_prob
from pixkit.models.field import field_of
from pixkit.models.guided import require_guidable
from pixkit.models.phase import Phase
from pixkit.models.request import SampleRequest, check_counts, check_room, context_for
from pixkit.noise import Noise
from pixkit.precision import float32_products
from pixkit.readiness.check import accepted, find
from pixkit.readiness.report import Pixel, Report, report_of
from pixkit.samplers import Drawn, Known, Sampler, sampler_for
from pixkit.samplers.batch import Guidance, check_guidance
from pixkit.wrappers import networks_in, plain_name, with_wrappers, without_wrappers


class Model(Declared, nn.Module, ABC):
    """Base of model components: ``Model(config, spec, classes)``.

    A subclass implements `phases`, `draw` and, unless its `score_kind` is "none", `score`. `classes` is the number of
    label classes of the data, None if there are none. `class_names`, in the order of the labels, is set by the code
    that makes the model for some data; None if only the numbers are known.

    A model declares what it can do by attributes of the class or of the instance. Check these, or `require` them; a
    model that cannot do what is asked raises UsageError.

        score_kind            what `score` gives: "exact", "bound" or "none"
        scorable              `assess` gives a figure by which models are compared
        labelled              images are scored, and drawn, given labels
        conditions            what the context of `sample` may be: ("label",), ("code",) or ()
        codes                 number of values of a categorical code that can be chosen when drawing; 0 if there is none
        guidable              it knows images without a label, or without a condition: `no_label`, and `guidance`
        completes             it draws some sub-pixels given others: `known`, and `completing`
        has_latent            it is a LatentModel: `encode`, `decode`, `latents`, and as many `levels`
        mapped                `assess_sites` gives nats of each site
        importance_sampled    `importance` estimates the likelihood
        draws_by_number       `assess`, of a bound, draws the same noise for images of one number: batches can be scored
    """

    class Config(ComponentConfig):
        """No keys."""

    former: ClassVar[str] = ""
    """Why a class counts as written for pixkit 0.1 (see `pixkit.models.deprecated`); empty for all others."""

    # Any: each class has its own Config
    def __init__(self, config: Any, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.classes = classes
        self.class_names: tuple[str, ...] | None = None
        self.register_state_dict_post_hook(without_wrappers)  # type: ignore[no-untyped-call]
        if self.former:
            deprecated.warn(self)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        deprecated.adapt(cls, Model)
        if (cls.former or cls.score_kind == "none") and getattr(cls.score, "__isabstractmethod__", False):
            cls.score = no_score  # type: ignore[method-assign]  # which such a class need not write

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @abstractmethod
    def phases(self) -> list[Phase]:
        """The phases of one training step, in order."""

    def initialise(self, batch: Batch) -> None:
        """Data-dependent initialisation, called once with the first training batch; nothing by default."""

    def verify(self) -> Mapping[str, Report]:
        """Prove every `Autoregressive` in the model causal; return a report on each, by its name in the model.

        If one can be neither proved nor seen to leak, a warning says why.

        Raises:
            CausalityError: if one leaks; it names the layer to blame.
        """
        reports = {}
        for name, network in networks_in(self).items():  # not a comprehension: it would be the line warned of
            reports[name] = report_of(network, accepted(find(network)))
        return reports

    def receptive_field(self, pixel: Pixel | None = None) -> Tensor:
        """The sub-pixels that the network reads to predict one, bool [C, H, W]; the first of several networks.

        Colours that are drawn in one step (``colours: joint``, as PixelCNN++ has them) are not read by the network: how
        they depend on one another is up to the head, and not shown.

        Args:
            pixel: (colour, row, column); by default the last colour in the middle of the image.

        Raises:
            UsageError: if there is no such sub-pixel, or no autoregressive network.
            Untraceable: if the network cannot be traced; it says why.
        """
        return field_of(self, pixel)

    @abstractmethod
    def score(self, batch: Batch) -> Tensor:
        """Nats of each image, [B], as `score_kind` says; the figure that validation and tables report.

        Gradients are recorded, except under ``torch.no_grad()``, which validation and tables use.
        """

    def assess(self, batch: Batch) -> Mapping[str, Tensor]:
        """Per-image figures, [B] each: 'nats', the score, and named terms that sum to it, or other figures.

        Without a likelihood there is no 'nats', only other figures of each image.
        """
        return {"nats": self.score(batch)}

    def measure(self, scored: Iterable[Batch], reference: Iterable[Batch]) -> Mapping[str, float]:
        """Named figures of all the scored images together that are not means over images; none by default.

        `reference` are validation images, or training images if there are none, for setting thresholds and the like;
        both can be iterated once.
        """
        return {}

    def remarks(self, parts: Mapping[str, float], step: int | None = None) -> list[str]:
        """Remarks on scores with these parts, means over images; after `step` steps, or at the end if None."""
        return []

    def request(
        self,
        n: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        sampler: str | Sampler = "auto",
        batch_size: int = 64,
        first: int = 0,
        known: Known | None = None,
        context: Tensor | None = None,
        guidance: Guidance = 0.0,
        progress: Progress | None = None,
    ) -> SampleRequest:
        """A request for images number first..first+n-1 of a seed, for `draw`.

        Args:
            n: how many.
            seed: names the noise, 0 <= seed < 2**64.
            temperature: divides logits (and scales), 1e-20..1e20; 1 is the model's own distribution.
            sampler: a sampler or its name; "auto" is the fastest exact one.
            batch_size: images drawn together.
            first: number of the first image.
            known: sub-pixels that are known; values for each of the n images, or one for all.
            context: [n, ...], as the model's `conditions` say: int64 labels, by default i % classes for image i; or
                int64 codes, by default drawn as well.
            guidance: the weight w of `pixkit.samplers.guidance`, -1e6..1e6; 0 is the model itself. Of a model with a
                list of conditions, one for all that can be hidden, or a mapping from names to weights.
            progress: called as progress(done, total).

        Raises:
            UsageError: if something does not fit, also in memory, or the model cannot do it.
            PluginError: if there is no sampler of that name.
        """
        check_counts(n, seed, first)
        check_room(n, self.spec)
        check_guidance(guidance)
        noise = Noise(seed, range(first, first + n))
        self.check_known(known, n)
        require_guidable(self, guidance)
        under = self.resolve_context(noise, context)
        return SampleRequest(noise, sampler_for(sampler), temperature, batch_size, known, under, guidance, progress)

    def check_known(self, known: Known | None, n: int) -> None:
        """Raise UsageError unless `n` images can be drawn given these sub-pixels."""
        if known is not None:
            self.require("completes", "known")
            known.check(self.spec, n)

    def resolve_context(self, noise: Noise, context: Tensor | None) -> Tensor | None:
        """The context that images are drawn with, on the model's device; by default image i has label i % classes.

        Raises:
            UsageError: if it does not fit.
        """
        return context_for(self, noise, context)

    @abstractmethod
    def draw(self, request: SampleRequest) -> Drawn:
        """Draw the request's images; each depends only on its noise and context, not on batches, ranks or sampler."""

    @overload
    # Any: the keywords of `request`
    def sample(self, n: int, *, return_log_prob: Literal[False] = False, **options: Any) -> Tensor: ...

    @overload
    # Any: the keywords of `request`
    def sample(self, n: int, *, return_log_prob: Literal[True], **options: Any) -> tuple[Tensor, Tensor]: ...

    @float32_products()
    # Any: the keywords of `request`
    def sample(self, n: int, *, return_log_prob: bool = False, **options: Any) -> Tensor | tuple[Tensor, Tensor]:
        """Draw images number first..first+n-1 of a seed, int64 [n, C, H, W]; the keywords of `request`.

            x = model.sample(10, seed=0, temperature=0.9)
            x, nats = model.sample(10, return_log_prob=True)

        An image depends on the seed and its number, not on n, the batch size, the sampler or the model's mode.

        Args:
            n: how many.
            return_log_prob: also return log p(x) of each image, nats [n], without gradients: under the model itself and
                the image's context, whatever the temperature, the guidance or the `known` sub-pixels.
            options: `seed`, `temperature`, `sampler`, `batch_size`, `first`, `known`, `context`, `guidance`,
                `progress`.

        Raises:
            UsageError: if something does not fit, or the model cannot do it.
        """
        if return_log_prob:
            self.check_exact("return_log_prob")
        request = self.request(n, **options)
        with evaluating(self):  # no dropout, and BatchNorm's statistics stay
            images = deprecated.draw_of(self)(request).images
        return (images, self.drawn_log_prob(images, request)) if return_log_prob else images

    def check_exact(self, where: str) -> None:
        """Raise UsageError unless the score is exact; `where` is the option that asks for it."""
        check_exact(self, where)

    def drawn_log_prob(self, images: Tensor, request: SampleRequest) -> Tensor:
        """log p(x), nats [n], of images drawn for a request, given their context; without gradients."""
        return log_prob(self, images, request)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load names without wrappers, as `state_dict` returns them, or with those of torch.compile."""
        for name in list(state_dict):
            value = state_dict.pop(name)
            own = name.startswith(prefix)  # wrappers of the whole model are in the prefix, and stay
            state_dict[prefix + plain_name(name[len(prefix) :]) if own else name] = value
        super()._load_from_state_dict(state_dict, prefix, *rest)
        with_wrappers(self, state_dict, prefix)  # from which the parts load afterwards

    def extra_repr(self) -> str:
        """Images and classes for print(model)."""
        return f"{self.spec}" + ("" if self.classes is None else f", {self.classes} classes")
