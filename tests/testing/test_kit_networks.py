"""The contract kit can fail: backbones, samplers and models with one thing wrong each, and what is said of them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pixkit.components.config import ComponentConfig
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.noise import Noise
from pixkit.orderings.scans import Raster
from pixkit.samplers import Ancestral
from pixkit.testing import (
    PlainBackbone,
    check_backbone,
    check_model,
    check_sampler,
    component,
    named,
    plain_backbone,
)
from pixkit.testing.models import check_total


def noticed(check, text, *arguments):
    with pytest.raises(AssertionError, match=text):
        check(*arguments)


def raster():
    return [named("ordering", "raster")]


def test_the_plain_one_passes():
    check_backbone(plain_backbone(), raster())


class Peeks(PlainBackbone):
    """Sees the whole image."""

    def forward(self, x):
        return super().forward(x) + x.mean((1, 2, 3), keepdim=True)


class PeeksAtItself(PlainBackbone):
    """Sees the sub-pixel that it predicts."""

    def forward(self, x):
        return super().forward(x) + 0.01 * x.repeat(1, self.width // x.shape[1], 1, 1)


class MixesColours(PlainBackbone):
    """A dense 1x1 map: green sees blue."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.body.append(nn.Conv2d(self.width, self.width, 1))


class MixesImages(PlainBackbone):
    """Batch statistics."""

    def forward(self, x):
        features = super().forward(x)
        return features - features.mean(0, keepdim=True) if len(x) else features


class Forgets(PlainBackbone):
    """A buffer that is not saved."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.register_buffer("shift", torch.randn(1), persistent=False)

    def forward(self, x):
        return super().forward(x) + self.shift


class Rolls(PlainBackbone):
    """Draws a number each time."""

    def forward(self, x):
        return super().forward(x) + torch.rand(1)


class Idle(PlainBackbone):
    """A parameter that nothing reads."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.idle = nn.Parameter(torch.zeros(2))


class Narrow(PlainBackbone):
    """Says less than it gives."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width //= 2


class Single(PlainBackbone):
    """Leaves float64."""

    def forward(self, x):
        return super().forward(x).float()


class Undescribed(PlainBackbone):
    """A key without a word."""

    class Config(ComponentConfig):
        """One key."""

        size: int = 3


class Picky(PlainBackbone):
    """Refuses without a word."""

    def __init__(self, config, spec):
        raise RecipeError("no")


@pytest.mark.parametrize(("cls", "text"), [
    (Peeks, "leak"), (PeeksAtItself, "leak"), (MixesColours, "leak"), (MixesImages, "images in a batch mix"),
    (Forgets, "saved and loaded"), (Rolls, "the same images give"), (Idle, "backbone.idle takes no part"),
    (Narrow, r"features \(3, 6, 1, 1\), expected \(3, 3, 1, 1\)"),
    (Single, "float64 pixels give torch.float32"), (Undescribed, "'size' of Undescribed has no description"),
])  # fmt: skip
def test_backbones(cls, text):
    noticed(check_backbone, text, component("backbone", cls), raster())


def test_refusals_need_a_reason():
    noticed(check_backbone, "without a reason", component("backbone", Picky))


class RasterOnly(PlainBackbone):
    """Takes one ordering, and says so."""

    def __init__(self, config, spec):
        if not isinstance(spec.ordering, Raster):
            raise RecipeError("this network runs along rows and takes the raster alone")
        super().__init__(config, spec)


def test_a_refusal_with_a_reason_is_no_fault_unless_that_ordering_was_asked_for():
    check_backbone(component("backbone", RasterOnly))
    with pytest.raises(RecipeError, match="along rows"):
        check_backbone(component("backbone", RasterOnly), [named("ordering", "snake")])


class OneSampler(Ancestral):
    """Ancestral, with its draws changed by `change(draw, request)`."""

    change = None

    def prepare(self, network, known):
        draw = super().prepare(network, known)
        return lambda request: type(self).change(draw, request)


def sampler(function):
    return component(
        "sampler", type("Wrong", (OneSampler,), {"__doc__": "One fault.", "change": staticmethod(function)})
    )


def cold(draw, request):
    return draw(replace(request, temperature=1.0))


def deaf(draw, request):
    return draw(
        replace(request, context=None if request.context is None else request.context[:1].expand_as(request.context))
    )


def careless(draw, request):
    return draw(replace(request, known=None))


def forgetful(draw, request):
    drawn = draw(replace(request, known=None))
    return drawn if request.known is None else torch.where(request.known.mask, request.known.values, drawn)


def selfish(draw, request):
    noise = request.noise
    return draw(replace(request, noise=type(noise)(noise.seed, range(len(noise)))))


def silent(draw, request):
    return draw(replace(request, progress=None))


def greedy(draw, request):
    torch.rand(1)
    return draw(request)


@pytest.mark.parametrize(("function", "text"), [
    (cold, "temperature 0.6"), (careless, "known sub-pixel was changed"), (forgetful, "40% known"),
    (deaf, "differ from"), (selfish, "batch size 2"), (silent, "progress was"), (greedy, "torch's generator was used"),
])  # fmt: skip
def test_samplers(function, text):
    noticed(check_sampler, text, sampler(function))


SMALL = {"type": "pixelcnn", "width": 12, "layers": 1, "output_layers": 1}


class Doubled(AutoregressiveModel):
    """Scores that are not probabilities."""

    def score(self, batch):
        return super().score(batch) / 2


class Averaged(AutoregressiveModel):
    """Scores the batch, not the image."""

    def score(self, batch):
        return super().score(batch).mean().expand(len(batch.x))


class Wandering(AutoregressiveModel):
    """Draws from torch's generator."""

    def draw(self, request):
        noise = Noise(int(torch.randint(100, ())), request.noise.images)
        return super().draw(replace(request, noise=noise))


class Counted(AutoregressiveModel):
    """Forgets which image it is."""

    def draw(self, request):
        return super().draw(replace(request, noise=Noise(request.noise.seed, range(len(request)))))


class Summing(AutoregressiveModel):
    """Says that its loss is a mean over images, and it is their sum."""

    def phases(self):
        (phase,) = super().phases()

        def loss(batch, step):
            losses = phase.loss(batch, step)
            return {**losses, "loss": losses["loss"] * len(batch.x)}

        return [replace(phase, loss=loss)]


class Trusting(AutoregressiveModel):
    """Proves nothing."""

    def verify(self):
        pass


class Partial(AutoregressiveModel):
    """Scores of the last class that are not probabilities."""

    def score(self, batch):
        return super().score(batch) / (1 + (batch.labels == self.classes - 1))


def test_models_with_labels():
    def check(cls):
        model = component("model", cls, backbone=SMALL, context={"type": "label"})
        check_total(model.build(ImageSpec(1, 2, 2, 2), 3).double().eval(), 3)

    check(AutoregressiveModel)
    noticed(check, r"sum to .*label 2", Partial)


@pytest.mark.parametrize(("cls", "text"), [
    (Doubled, "sum to"), (Averaged, "depends on its batch"), (Wandering, "torch's generator"),
    (Counted, "which others are drawn"), (Summing, "loss is not a mean over images"),
    (Trusting, "does not notice a leak in network.backbone"),
])  # fmt: skip
def test_models(cls, text):
    noticed(check_model, text, component("model", cls, backbone=SMALL))
