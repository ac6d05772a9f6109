"""Each check of the contract of heads fails for a head with that one thing wrong, wherever it is wrong."""

import math
import re

import pytest
import torch
from torch import nn
from torch.distributions import constraints

from pixkit.errors import RecipeError
from pixkit.heads import LevelCategorical, Softmax
from pixkit.image import ImageSpec
from pixkit.orderings.scans import Raster
from pixkit.testing import check_head, component
from pixkit.testing.heads import (
    EXTREMES,
    SPECS,
    check_colours,
    check_extremes,
    check_precision,
    check_probabilities,
    check_quantiles,
    check_shapes,
    check_sites,
)

THREE = ImageSpec(3, 2, 3, 3)
GREY = ImageSpec(1, 2, 3, 5)


def built(cls, spec=THREE, **attributes):
    """A head whose distribution is of that class, or a head of that class, with these attributes."""
    head_class = cls
    if issubclass(cls, LevelCategorical):

        class head_class(Softmax):
            def distribution(self, params):
                return cls(params.unflatten(1, (self.spec.levels, self.spec.channels)))

    head = head_class(head_class.Config(), spec, Raster(Raster.Config(), spec, "sequential"))
    for name, value in attributes.items():
        setattr(head, name, value)
    return head


def noticed(check, text, *arguments, **options):
    with pytest.raises(AssertionError, match=text):
        check(*arguments, **options)


CHECKS = (check_shapes, check_probabilities, check_extremes, check_precision, check_sites, check_colours)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_right_one_passes_each_check(check):
    check(built(LevelCategorical))


class Lists(Softmax):
    ways = ()

    @classmethod
    def colours(cls, config, spec):
        return cls.ways


@pytest.mark.parametrize("ways", [(), ("sequential", "sequential")])
def test_ways_of_colours_are_some_and_none_is_named_twice(ways):
    cls = type("Listed", (Lists,), {"__doc__": "A list.", "ways": ways})
    noticed(check_head, r"colours\(\) gave", component("head", cls))


class Curt(Softmax):
    """Refuses without a word."""

    def __init__(self, config, spec, ordering):
        raise RecipeError("no")


def test_a_refusal_needs_a_reason():
    noticed(check_head, "is refused without a reason", component("head", Curt))


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_heads_that_are_wrong_for_one_kind_of_images(number):
    class Lone(Softmax):
        """Takes these alone, and its projection depends on features."""

        def __init__(self, config, spec, ordering):
            if spec != SPECS[number]:
                raise RecipeError("this head takes images of another kind")
            super().__init__(config, spec, ordering)

        def projection(self, width):
            layer = super().projection(width)
            nn.init.ones_(layer.weight)
            return layer

    noticed(check_head, "untrained projection", component("head", Lone))


# Shapes


class Widened(Softmax):
    def projection(self, width):
        return nn.Conv2d(width, self.maps + 3, 1)


class Batched(LevelCategorical):
    @property
    def batch_shape(self):
        return torch.Size([1])


class Flattened(LevelCategorical):
    @property
    def event_shape(self):
        return torch.Size([super().event_shape.numel()])


class Refusing(LevelCategorical):
    """Its constraints hold of one number, and not of the other."""

    arg_constraints = {"edges": constraints.positive}  # noqa: RUF012  # as torch's own have it
    edges = torch.tensor([1.0, -1.0])


class Thirsty(LevelCategorical):
    draws = 2


class Stacked(LevelCategorical):
    def sample(self, sample_shape=()):
        return super().sample(sample_shape)[:1]


class Outside(LevelCategorical):
    """The second image has a level too many."""

    def quantile(self, uniforms, temperature=1.0):
        drawn = super().quantile(uniforms, temperature)
        return torch.cat([drawn[:1], torch.full_like(drawn[1:], self.levels)])


class Columned(LevelCategorical):
    def log_prob(self, value):
        return super().log_prob(value)[:, None]


class Averaged(LevelCategorical):
    def log_prob(self, value):
        return self.site_log_prob(value).flatten(1).mean(1)


class AveragedRows(LevelCategorical):
    def log_prob(self, value):
        return self.site_log_prob(value).mean(1).sum(1)


@pytest.mark.parametrize(("cls", "text"), [
    (Widened, r"projection gives \(2, 12, 2, 3\), expected \(2, 9, 2, 3\)"), (Batched, r"batch_shape \(1,\), expected"),
    (Flattened, r"event_shape \(18,\)"), (Refusing, "refuse the distribution's edges"),
    (Thirsty, "disagree about draws"),
    (Stacked, r"sample\(\(4,\)\) has the shape \(1, 2, 3"), (Outside, "outside the support"),
    (Columned, r"log_prob has the shape \(2, 1\)"), (Averaged, "not the sum over sites"),
    (AveragedRows, "not the sum over sites"),
])  # fmt: skip
def test_shapes(cls, text):
    noticed(check_shapes, text, built(cls))


def test_maps_that_do_not_divide():
    noticed(check_shapes, "10 maps do not divide", built(Softmax, maps=10))


# Probabilities


class HeavyAtOne(LevelCategorical):
    """At one site, by a little."""

    extra = 1e-9

    def site_log_prob(self, x):
        nats = super().site_log_prob(x)
        return nats + self.extra * (torch.arange(nats.shape[-1]) == 3)


class HeavyInSingle(HeavyAtOne):
    @property
    def extra(self):
        return 1e-4 * (self.logits.dtype == torch.float32)


class HeavyWhereLarge(HeavyAtOne):
    @property
    def extra(self):
        return 1e-6 * (self.logits.abs().max() > 20)


class LightWhereSmall(HeavyAtOne):
    @property
    def extra(self):
        return -1e-9 * (self.logits.abs().max() < 2)


class Floored(LevelCategorical):
    """As torch's distributions are that are made of probabilities."""

    def site_log_prob(self, x):
        nats = super().site_log_prob(x)
        return nats.clamp_min(math.log(torch.finfo(nats.dtype).eps))


class Cool(LevelCategorical):
    def entropy(self):
        return super().entropy() * 1.01


@pytest.mark.parametrize(("cls", "text"), [
    (HeavyAtOne, "in float64"), (HeavyWhereLarge, "in float64"), (LightWhereSmall, "in float64"),
    (HeavyInSingle, "in float32"), (Floored, "differ from those in float64"), (Cool, "`entropy` does not match"),
])  # fmt: skip
def test_probabilities(cls, text):
    noticed(check_probabilities, text, built(cls))


# Draws


class Floating(LevelCategorical):
    def quantile(self, uniforms, temperature=1.0):
        return super().quantile(uniforms, temperature).double()


class Deep(LevelCategorical):
    def quantile(self, uniforms, temperature=1.0):
        return super().quantile(uniforms, temperature)[:, None]


class CoolByDefault(LevelCategorical):
    def quantile(self, uniforms, temperature=0.9):
        return super().quantile(uniforms, temperature)


class Lukewarm(LevelCategorical):
    def quantile(self, uniforms, temperature=1.0):
        return super().quantile(uniforms)


class OutAt(LevelCategorical):
    """Has a level too many, or too few, once, at one temperature."""

    at, wrong = 0.5, 5

    def quantile(self, uniforms, temperature=1.0):
        drawn = super().quantile(uniforms, temperature)
        if temperature == self.at:
            drawn[..., 7] = self.wrong
        return drawn


@pytest.mark.parametrize(("cls", "text"), [
    (Floating, r"float64 \(1, 1, 300\)"), (Deep, r"int64 \(1, 1, 1, 300\)"), (CoolByDefault, "default temperature"),
    (Lukewarm, "no more often than at 10"),
    *((type("Out", (OutAt,), {"at": at, "wrong": wrong}), f"temperature {at} gives levels out of range")
      for at, wrong in ((1e-3, 5), (0.5, -1), (10.0, 5))),
])  # fmt: skip
def test_draws(cls, text):
    noticed(check_quantiles, text, built(cls, GREY), count=300)


# Extremes, precision, sites, colours


class Overflows(LevelCategorical):
    """Not finite in value, gradient or draw, where one level has a parameter of such a size."""

    size, level, sign = 1e6, 0, 1
    value, gradient, draw = False, False, False

    def site_log_prob(self, x):
        hit = (self.logits[:, self.level] == self.sign * self.size).any(1)
        seen = hit & (x[:, 0] == self.level)
        nats = super().site_log_prob(x)
        if self.gradient:
            nats = nats + 0 * (self.logits[:, self.level, 0].abs() - self.size).abs().sqrt()
        return nats.where(~seen, torch.inf) if self.value else nats

    def quantile(self, uniforms, temperature=1.0):
        drawn = super().quantile(uniforms, temperature)
        return drawn - self.levels * (self.draw and bool((self.logits.abs() == self.size).any()))


@pytest.mark.parametrize(("attributes", "text"), [
    *(({"value": True, "size": size, "level": level, "sign": sign}, f"log_prob is .* of size {re.escape(f'{size:g}')}")
      for size in EXTREMES for level in (0, 2, 4) for sign in (1, -1)),
    *(({"gradient": True, "size": size}, re.escape(f"a gradient is not finite for parameters of size {size:g}"))
      for size in EXTREMES),
    *(({"draw": True, "size": size}, re.escape(f"levels out of range for parameters of size {size:g}"))
      for size in EXTREMES),
])  # fmt: skip
def test_extremes(attributes, text):
    noticed(check_extremes, text, built(type("Wrong", (Overflows,), attributes), GREY))


class HalfWay(LevelCategorical):
    """Computes in the half precision that it is given, and says float32."""

    half = torch.bfloat16

    def __init__(self, logits):
        super().__init__(logits)
        self.given = logits

    def site_log_prob(self, x):
        nats = super().site_log_prob(x)
        return nats.to(self.half).to(nats) if self.given.dtype == self.half else nats


class HalfWayOfTheOther(HalfWay):
    half = torch.float16


class HalfUnderAutocast(LevelCategorical):
    def site_log_prob(self, x):
        nats = super().site_log_prob(x)
        return nats.bfloat16().float() if torch.is_autocast_enabled("cpu") else nats


@pytest.mark.parametrize(("cls", "text"), [
    (HalfWay, "bfloat16 parameters are not converted to float32"),
    (HalfWayOfTheOther, "float16 parameters are not converted to float32"),
    (HalfUnderAutocast, "under autocast"),
])  # fmt: skip
def test_precision(cls, text):
    noticed(check_precision, text, built(cls))


class Smooth(LevelCategorical):
    """A site's probabilities, or its draws, look at the site beside it."""

    parts = ("site_log_prob", "quantile")

    def site_log_prob(self, x):
        return self._of("site_log_prob", x)

    def quantile(self, uniforms, temperature=1.0):
        return self._of("quantile", uniforms, temperature)

    def _of(self, name, *arguments):
        logits = self.logits + 0.5 * self.logits.roll(1, -1) if name in self.parts else self.logits
        return getattr(LevelCategorical(logits), name)(*arguments)


class SmoothDraws(Smooth):
    parts = ("quantile",)


@pytest.mark.parametrize(("cls", "text"), [(Smooth, "selected sites have"), (SmoothDraws, "selected sites are drawn")])
def test_sites(cls, text):
    noticed(check_sites, text, built(cls))


class Reads(LevelCategorical):
    """A colour's probabilities, or its draws, look at the parameters of the next one."""

    colour, parts = 0, ("site_log_prob",)

    def site_log_prob(self, x):
        return self._of("site_log_prob", x)

    def quantile(self, uniforms, temperature=1.0):
        return self._of("quantile", uniforms, temperature)

    def _of(self, name, *arguments):
        logits = self.logits.clone()
        logits[:, :, self.colour] += 0.5 * logits[:, :, self.colour + 1] * (name in self.parts)
        return getattr(LevelCategorical(logits), name)(*arguments)


@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize(("part", "text"), [("site_log_prob", "the probability of"), ("quantile", "the draw of")])
def test_colours(colour, part, text):
    cls = type("Wrong", (Reads,), {"colour": colour, "parts": (part,)})
    noticed(check_colours, f"{text} colour {colour} reads", built(cls))
