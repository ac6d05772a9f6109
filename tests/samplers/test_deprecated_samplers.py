"""Samplers that are written for pixkit 0.1 draw and say what they did then, with a DeprecationWarning."""

import warnings

import pytest
import torch

from pixkit.backbones.conditioners import LabelContext
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.noise import Noise
from pixkit.samplers import SAMPLERS, Ancestral, Cached, Known, Sampler
from pixkit.samplers.guidance import Guided
from pixkit.testing import GREY, check_sampler, component, named, network, plain_backbone, random_images

NOISE = Noise(2, range(3))


class Talking(Sampler):
    """Returns a plain function, keeps a count, reads `clamped`."""

    def __init__(self, config):
        super().__init__(config)
        self.batches = 0

    def prepare(self, network, known):
        self.batches, draw = 0, Ancestral(Ancestral.Config()).prepare(network, known)

        def counted(request):
            self.batches += 1
            return draw(request)

        return counted

    def summary(self):
        return "; ".join(filter(None, [super().summary(), f"{self.batches} batches, clamped {self.clamped}"]))


class Heir(Cached):
    """Says more than `Cached` did."""

    def summary(self):
        return f"mine: {super().summary()}"


class Looking(Ancestral):
    """Reads `clamped` while it prepares."""

    def prepare(self, network, known):
        self.seen = self.clamped
        return super().prepare(network, known)


class Whole(Sampler):
    """Overrides `sample`, and knows no `prepare`."""

    def sample(self, network, noise, *, temperature=1.0, known=None, context=None, batch_size=None, progress=None):
        options = {"temperature": temperature, "known": known, "context": context, "progress": progress}
        return Ancestral(Ancestral.Config()).sample(network, noise, **options)


class Around(Ancestral):
    """Overrides `sample`, and calls the base's."""

    calls = 0

    def sample(self, network, noise, **options):
        self.calls += 1
        return super().sample(network, noise, **options)


class Saying:
    """Brings `summary` from beside."""

    def summary(self):
        return f"aside, clamped {self.clamped}"


class Beside(Saying, Cached):
    """Has it from a mixin."""


class Later(Talking):
    """Overrides `prepare` alone, of a class of 0.1."""

    def prepare(self, network, known):
        self.batches = 7
        return Ancestral(Ancestral.Config()).prepare(network, known)


class Helper(Sampler):
    """Abstract, with a summary."""

    def summary(self):
        return f"helped, clamped {self.clamped}"


class Helped(Helper):
    """Has `prepare` alone."""

    def prepare(self, network, known):
        return Ancestral(Ancestral.Config()).prepare(network, known)


FORMER = [Talking, Heir, Whole, Around, Beside, Later, Helped]


def known(*rows):
    mask = torch.zeros(GREY.shape, dtype=torch.bool)
    mask[:, list(rows)] = True
    return Known(mask, random_images(GREY, 3))


def built(cls):
    with pytest.warns(DeprecationWarning, match=f"{cls.__name__} is written for pixkit 0.1") as caught:
        sampler = cls(cls.Config())
    assert len(caught) == 1
    return sampler


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("cls", FORMER)
def test_they_pass_the_contract(cls):
    check_sampler(component("sampler", cls))


@pytest.mark.parametrize("cls", FORMER)
def test_they_draw_what_ancestral_sampling_draws_by_every_door(cls):
    net, sampler = network(plain_backbone(), GREY), built(cls)
    expected = Ancestral(Ancestral.Config()).sample(net, NOISE, known=known(1))
    assert torch.equal(sampler.sample(net, NOISE, known=known(1), batch_size=2), expected)
    drawn = sampler.draw(net, NOISE, known=known(1), batch_size=2)
    assert torch.equal(drawn.images, expected)
    labelled = network(named("backbone", "pixelcnn", width=8, layers=1), GREY, conditioner=LabelContext(3, 2))
    labels, nothing = torch.tensor([0, 1, 2]), torch.tensor([3])
    expected = Guided(Ancestral(Ancestral.Config()), 1.0, nothing).sample(labelled, NOISE, context=labels)
    assert torch.equal(Guided(sampler, 1.0, nothing).sample(labelled, NOISE, context=labels), expected)


def test_summary_is_the_last_samples():
    net, sampler = network(plain_backbone(), GREY), built(Talking)
    assert "2 batches, clamped True" in sampler.draw(net, NOISE, known=known(1), batch_size=2).summary
    said = sampler.summary()
    assert said.count("clamped: some known") == 1 and "2 batches, clamped True" in said
    drawn = sampler.draw(net, NOISE, known=known(1))
    assert drawn.summary.count("clamped: some known") == 1, "said once, by draw"
    assert sampler.draw(net, NOISE, known=known(0)).summary == "1 batches, clamped False"
    assert sampler.summary() == "1 batches, clamped False"


def test_what_a_built_in_base_says_is_there():
    said = built(Heir).draw(network(plain_backbone(), GREY), NOISE).summary
    assert said.startswith("mine: cached sampling by")


@pytest.mark.parametrize(("cls", "said"), [(Beside, "aside"), (Later, "7 batches"), (Helped, "helped")])
@pytest.mark.parametrize(("rows", "clamped"), [((1,), True), ((0,), False)])
def test_the_sign_may_be_inherited(cls, said, rows, clamped):
    sampler = built(cls)
    summary = sampler.draw(network(plain_backbone(), GREY), NOISE, known=known(*rows)).summary
    assert said in summary and f"clamped {clamped}" in summary
    assert f"clamped {clamped}" in sampler.summary()


class Inside(Ancestral):
    """Reads `clamped` where nothing in the class says so: in a closure, and by name."""

    def prepare(self, network, known):
        draw, seen = super().prepare(network, known), [getattr(self, "clam" + "ped")]

        def drawn(request):
            seen.append(self.clamped)
            self.seen = seen
            return draw(request)

        return drawn


@pytest.mark.parametrize(("cls", "times"), [(Looking, 1), (Inside, 2)])
@pytest.mark.parametrize(("rows", "clamped"), [((1,), True), ((0,), False)])
def test_clamped_can_be_read_while_it_is_drawn(cls, times, rows, clamped):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler = cls(cls.Config())
    with pytest.warns(DeprecationWarning, match="remembers nothing"):
        sampler.sample(network(plain_backbone(), GREY), NOISE, known=known(*rows))
    assert sampler.seen == (clamped if times == 1 else [clamped] * times)


class Anew(Around):
    """Of today, derived from one of 0.1."""

    def draw(self, network, noise, **options):
        return Sampler.draw(self, network, noise, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_class_of_today_that_is_derived_from_one_of_0_1_draws_by_its_own():
    sampler = Anew(Anew.Config())
    sampler.sample(network(plain_backbone(), GREY), NOISE)
    assert sampler.calls == 0


def test_models_draw_by_an_overridden_sample():
    backbone = {"type": "pixelcnn", "width": 6, "layers": 1, "output_layers": 1}
    model = named("model", "autoregressive", backbone=backbone).build(GREY).eval()
    assert isinstance(model, AutoregressiveModel)
    sampler = built(Around)
    assert torch.equal(model.sample(3, seed=2, sampler=sampler), model.sample(3, seed=2))
    assert sampler.calls == 1


def test_those_of_today_do_not_warn_unless_they_are_asked_what_they_remember():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samplers = [cls(cls.Config()) for cls in SAMPLERS.values()]
    assert samplers
    for sampler in samplers:
        with pytest.warns(DeprecationWarning, match=r"draw\(...\).summary"):
            assert sampler.summary() == ""
