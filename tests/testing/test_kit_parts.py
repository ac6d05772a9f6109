"""The contract kit can fail: heads, orderings, tap shapes, data and configurations with one thing wrong each."""

import itertools

import pytest
import torch
from pydantic import Field
from torch import nn

from pixkit.components.config import ComponentConfig
from pixkit.data.base import DataSource, ImageSet, SourceImages
from pixkit.errors import DataError, RecipeError
from pixkit.heads import LevelCategorical, Softmax
from pixkit.heads.base import at_least_single
from pixkit.orderings.base import Ordering
from pixkit.orderings.masks import TapShape
from pixkit.orderings.scans import Raster
from pixkit.testing import (
    PlainBackbone,
    check_config,
    check_data,
    check_head,
    check_mask,
    check_ordering,
    component,
)


def noticed(check, text, *arguments):
    with pytest.raises(AssertionError, match=text):
        check(*arguments)


def test_the_plain_ones_pass():
    check_ordering(component("ordering", Raster))
    check_data(component("data", Pictures))


class Bent(LevelCategorical):
    """Draws from other probabilities than it states."""

    def quantile(self, uniforms, temperature=1.0):
        return super().quantile(uniforms**1.05, temperature)


class Heavy(LevelCategorical):
    """Probabilities that sum to more than 1."""

    def site_log_prob(self, x):
        return super().site_log_prob(x) + 1e-4


class Coarse(LevelCategorical):
    """Computes in half precision."""

    def __init__(self, logits):
        super().__init__(logits)
        self.logits = logits


class Mixing(LevelCategorical):
    """A matrix product, which autocast computes in half precision."""

    def __init__(self, logits):
        turned = at_least_single(logits)
        cooler = 0.999 * torch.eye(logits.shape[1]).to(turned)
        super().__init__(torch.matmul(cooler, turned.flatten(2)).view_as(turned))


class Fragile(LevelCategorical):
    """Overflows."""

    def level_log_probs(self):
        return self.logits - self.logits.exp().sum(1, keepdim=True).log()


class Restless(LevelCategorical):
    """Ignores the uniforms."""

    def quantile(self, uniforms, temperature=1.0):
        return super().quantile(torch.rand_like(uniforms.double()), temperature)


class Shifted(LevelCategorical):
    """A mean that is off."""

    @property
    def mean(self):
        return super().mean + 0.1


class Crossed(LevelCategorical):
    """A colour reads the parameters of the next one, in what it draws as in its probabilities."""

    def __init__(self, logits):
        full = logits.to(torch.promote_types(logits.dtype, torch.float32))
        super().__init__(full + 0.5 * full.roll(-1, 2))


class Smooth(LevelCategorical):
    """In a whole image a site looks at the one beside it."""

    def __init__(self, logits):
        full = logits.to(torch.promote_types(logits.dtype, torch.float32))
        super().__init__(full + 0.5 * full.roll(1, -1) * (full.ndim == 5))


@pytest.mark.parametrize(("distribution", "text"), [
    (Bent, "do not follow"), (Heavy, "sum to 1 only"), (Coarse, "log-probabilities"), (Mixing, "under autocast"),
    (Fragile, "parameters of size"), (Restless, "same uniforms"), (Shifted, "`mean`"), (Crossed, "colour 0 reads"),
    (Smooth, "selected sites"),
])  # fmt: skip
def test_heads(distribution, text):
    class Wrong(Softmax):
        """A head with one fault."""

        def distribution(self, params):
            return distribution(params.unflatten(1, (self.spec.levels, self.spec.channels)))

    noticed(check_head, text, component("head", Wrong))


class Warm(Softmax):
    """Starts with what the backbone says."""

    def projection(self, width):
        layer = super().projection(width)
        nn.init.normal_(layer.weight)
        return layer


class Refuses(Softmax):
    """Takes nothing."""

    def __init__(self, config, spec, ordering):
        raise RecipeError("this head cannot be used with these images at all")


@pytest.mark.parametrize(("cls", "text"), [(Warm, "untrained projection"), (Refuses, "refuses every image")])
def test_heads_that_start_wrong(cls, text):
    noticed(check_head, text, component("head", cls))


class Moody(Ordering):
    """Another permutation every time; one drawn at random would be the same now and then."""

    asked = itertools.count()

    def site_steps(self, height, width):
        return torch.arange(height * width).roll(next(self.asked)).view(height, width)


class Bare(Ordering):
    """Lacks the common keys."""

    class Config(ComponentConfig):
        """Nothing."""

    def site_steps(self, height, width):
        return torch.arange(height * width).view(height, width)


class Stubborn(Raster):
    """Ignores the flips."""

    def _oriented(self):
        return self.site_steps(self.spec.height, self.spec.width)


SIZES = [(1, 1), (1, 5), (4, 1), (2, 2), (3, 5), (8, 7)]
TURNS = itertools.product([False, True], repeat=3)


@pytest.mark.parametrize(("size", "turn"), list(zip(itertools.cycle(SIZES), TURNS, strict=False)), ids=str)
def test_orderings_that_are_wrong_at_one_size_in_one_symmetry(size, turn):
    class Lapsed(Raster):
        """Skips a step."""

        def _oriented(self):
            there = (self.config.transpose, self.config.flip_horizontal, self.config.flip_vertical)
            wrong = (self.spec.height, self.spec.width) == size and there == turn
            return super()._oriented() + wrong

    noticed(check_ordering, "a step is missing", component("ordering", Lapsed))


class Backwards(Raster):
    """Draws blue first."""

    def __init__(self, config, spec, colours="sequential"):
        super().__init__(config, spec, colours)
        self.group_steps = self.group_steps.flip(0)
        self.steps = self.group_steps.expand(spec.channels, -1, -1)


@pytest.mark.parametrize(("cls", "text"), [
    (Moody, "building it twice"), (Bare, "common keys|pixkit.Ordering.Config"),
    (Stubborn, "symmetry"), (Backwards, "one after the other"),
])  # fmt: skip
def test_orderings(cls, text):
    noticed(check_ordering, text, component("ordering", cls))


class Counts(TapShape):
    """Answers with a number."""

    def has(self, dy, dx):
        return dy * dy


class Alternates(TapShape):
    """Answers differently each time it is built."""

    turn = itertools.count()

    def __init__(self, config=None):
        super().__init__(config)
        self.answer = next(self.turn) % 2 == 0

    def has(self, dy, dx):
        return self.answer


@pytest.mark.parametrize(("cls", "text"), [(Counts, "not True or False"), (Alternates, "differs between")])
def test_masks(cls, text):
    noticed(check_mask, text, component("mask", cls))


class Pictures(DataSource):
    """A few grey images."""

    def load(self, progress=None):
        pixels = torch.arange(40 * 6, dtype=torch.uint8).view(40, 1, 2, 3) % 4
        return SourceImages(ImageSet(pixels), ImageSet(pixels[:5]), levels=4)


class Fresh(Pictures):
    """Other images every time."""

    def load(self, progress=None):
        generator = torch.Generator()
        generator.seed()
        pixels = torch.randint(0, 256, (40, 1, 5, 5), dtype=torch.uint8, generator=generator)
        return SourceImages(ImageSet(pixels), ImageSet(pixels[:5]), levels=256)


class Thirsty(Pictures):
    """Uses torch's generator."""

    def load(self, progress=None):
        torch.rand(1)
        return super().load(progress)


class Boasting(Pictures):
    """Tells of classes that it has not."""

    def known_classes(self):
        return ("ant", "bee")


@pytest.mark.parametrize(("cls", "text"), [
    (Fresh, "hashes differ"), (Thirsty, "torch's generator"),
    (Boasting, r"gives \('ant', 'bee'\), the images are of \(\)"),
])  # fmt: skip
def test_data(cls, text):
    noticed(check_data, text, component("data", cls))


class Overflowing(Pictures):
    """Has a level too many."""

    def load(self, progress=None):
        loaded = super().load(progress)
        return SourceImages(loaded.train, loaded.test, levels=3)


def test_data_out_of_range_is_refused_by_pixkit_itself():
    with pytest.raises(DataError, match="out of range"):
        check_data(component("data", Overflowing))


class Lossy(PlainBackbone):
    """A key that is not written as it is read."""

    class Config(ComponentConfig):
        """One key."""

        sizes: tuple[int, ...] = Field((1, 2), description="Sizes.")


def test_configurations():
    """A tuple is a list in YAML, which strict validation refuses: the field needs strict=False."""
    with pytest.raises(Exception, match="valid tuple"):
        check_config(component("backbone", Lossy))
