"""Each check of the contract of models fails for a model with that one thing wrong."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from pixkit.components.config import ComponentConfig
from pixkit.image import Batch, ImageSpec
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.models.base import Model, Phase
from pixkit.models.latent import LatentModel
from pixkit.models.request import SampleRequest
from pixkit.samplers import Drawn
from pixkit.testing import PlainBackbone, check_capabilities, check_latent_model, check_model, component, random_images
from pixkit.testing.models import SPEC, check_images, check_leaks, check_phases, check_scores, check_total

SMALL = ImageSpec(1, 2, 3, 4)
BATCH = Batch(random_images(SMALL, 4), None, torch.arange(4))


class Independent(Model):
    """All sub-pixels alike, whatever the others: a distribution of levels, for each label if there are any."""

    class Config(ComponentConfig):
        """No keys."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.logits = nn.Parameter(torch.zeros(classes or 1, spec.levels))
        self.labelled = classes is not None

    def phases(self):
        return [Phase("likelihood", self.parameters(), self.loss, mean=True)]

    def loss(self, batch, step):
        return {"loss": self.nats(batch).mean()}

    def nats(self, batch):
        labels = batch.labels if self.labelled else torch.zeros(len(batch.x), dtype=torch.int64)
        shares = self.logits[labels].log_softmax(1)
        return -shares.gather(1, batch.x.flatten(1)).sum(1)

    def score(self, batch):
        return self.nats(batch)

    @torch.no_grad()
    def draw(self, request: SampleRequest):
        labels = request.context if self.labelled else torch.zeros(len(request), dtype=torch.int64)
        edges = self.logits[labels].softmax(1).cumsum(1)[:, :-1].double()
        uniforms = request.noise.uniforms(1, self.spec)[:, 0].flatten(1)
        return Drawn((uniforms[:, :, None] >= edges[:, None]).sum(2).view(-1, *self.spec.shape))


def wrong(base=Independent, **attributes):
    return component("model", type("Wrong", (base,), {"__doc__": "One fault.", **attributes}))


def noticed(check, text, *arguments, **options):
    with pytest.raises(AssertionError, match=text):
        check(*arguments, **options)


class Dropping(Independent):
    """Draws while it is trained."""

    def nats(self, batch):
        return nn.functional.dropout(super().nats(batch), 0.5, self.training)


def test_a_right_one_passes():
    check_model(component("model", Dropping))
    check_model(component("model", Independent), classes=3, spec=SMALL)


# All of it


class Rolled(Independent):
    """Its weights are nobody's seed's."""

    made = itertools.count(1)

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.shift = nn.Parameter(torch.full((1,), float(next(self.made))))

    def nats(self, batch):
        return super().nats(batch) + 0 * self.shift


class Moody(Independent):
    """Has numbers that are not saved with it: its score's, or its samples'."""

    made = itertools.count(1)
    scores, draws = 0.0, 0

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.number = next(self.made)

    def nats(self, batch):
        return super().nats(batch) + self.scores * self.number

    def draw(self, request):
        return Drawn((super().draw(request).images + self.draws * self.number) % self.spec.levels)


class Partial(Independent):
    """What is scored is no distribution at one tiny shape, or with one label."""

    shape, label = (), None

    def nats(self, batch):
        wrong = self.spec.shape == self.shape
        told = batch.labels == self.label if self.labelled else torch.zeros(len(batch.x))
        return super().nats(batch) + 1e-7 * (wrong + told.double())


class Doubtful(Independent):
    """Finds a fault in itself."""

    def verify(self):
        raise AssertionError("doubts itself")


@pytest.mark.parametrize(("spec", "text"), [
    (component("model", Rolled), "built twice with one seed, shift differs"),
    (component("model", Doubtful), "doubts itself"),
    (wrong(Moody, scores=1.0), "after saving and loading, its scores differ"),
    (wrong(Moody, draws=1), "after saving and loading, its samples differ"),
    (wrong(Partial, shape=(1, 2, 5)), "probabilities of all images sum to"),
    (wrong(Partial, shape=(3, 1, 2)), "probabilities of all images sum to"),
    (wrong(phases=lambda self: []), r"the phases are called \[\]"),
    (wrong(score=lambda self, batch: self.nats(batch) / 0), "scores must be finite"),
    (wrong(draw=lambda self, request: Drawn(torch.zeros(len(request), *self.spec.shape).long())), "another seed"),
    (wrong(completes=True), "completes is declared but refused"),
])  # fmt: skip
def test_models(spec, text):
    noticed(check_model, text, spec)


@pytest.mark.parametrize("label", [0, 2])
def test_a_distribution_is_one_for_each_label(label):
    noticed(check_model, rf"sum to .*label {label}", wrong(Partial, label=label), classes=3)


def test_a_leak_in_any_backbone_is_looked_for():
    class Trusting(AutoregressiveModel):
        """Proves the first network alone."""

        def __init__(self, config, spec, classes=None):
            super().__init__(config, spec, classes)
            self.second = self.build_network(config.ordering)

        def verify(self):
            second, self.second = self.second, None
            try:
                super().verify()
            finally:
                self.second = second

    built = component("model", Trusting, backbone={"type": "pixelcnn", "width": 6, "layers": 0}).build(SMALL)
    second = built.second.backbone
    noticed(check_leaks, "a leak in second.backbone", built)
    assert built.second.backbone is second, "put back"


def test_a_backbone_within_another_is_looked_at_with_it():
    class Within(PlainBackbone):
        """Has another one within it, which sees less."""

        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.inner = PlainBackbone(config, spec)

    built = component("model", AutoregressiveModel, backbone={"type": "pixelcnn", "width": 6, "layers": 0}).build(SMALL)
    built.network.backbone = Within(None, built.network.backbone.spec)
    check_leaks(built)


# Phases


def phase(**attributes):
    def phases(self):
        (only,) = Independent.phases(self)
        return [replace(only, **{key: value(self, only) for key, value in attributes.items()})]

    return phases


def twice(self):
    (only,) = Independent.phases(self)
    return [only, only]


def second_reaches_nothing(self):
    (only,) = Independent.phases(self)
    every = list(self.parameters())
    first = replace(
        only, parameters=every, loss=lambda batch, step: {"loss": self.nats(batch).mean() + self.other.sum()}
    )
    return [first, replace(first, name="late", loss=lambda batch, step: {"loss": self.other.sum()})]


def loss(change):
    return phase(loss=lambda self, only: lambda batch, step: change(self, only.loss(batch, step)["loss"]))


@pytest.mark.parametrize(("phases", "text"), [
    (second_reaches_nothing, "phase late: parameter 0 does not affect"),
    (lambda self: [], "the phases are called"), (twice, r"called \['likelihood', 'likelihood'\]"),
    (phase(parameters=lambda self, only: []), "parameters of another"),
    (phase(parameters=lambda self, only: [self.logits, nn.Parameter(torch.zeros(1))]), "parameters of another"),
    (loss(lambda self, value: {"loss": value[None]}), "likelihood: loss"),
    (loss(lambda self, value: {"loss": value / 0}), "likelihood: loss"),
    (loss(lambda self, value: {"loss": value.detach() + self.other.sum()}), "parameter 0 does not affect"),
    (loss(lambda self, value: {"loss": value + (0 * self.logits).sqrt().sum()}), "gradient of 0 is not finite"),
    (loss(lambda self, value: {"loss": value + (0 * self.logits[0, 0]).sqrt()}), "gradient of 0 is not finite"),
    (loss(lambda self, value: {"loss": value + 0 * self.other.sum(), "late": value * len(self.seen)}), "late is no"),
])  # fmt: skip
def test_phases(phases, text):
    def __init__(self, config, spec, classes=None):
        Independent.__init__(self, config, spec, classes)
        self.other = nn.Parameter(torch.zeros(1))
        self.seen = []

    def nats(self, batch):
        self.seen = batch.x
        return Independent.nats(self, batch)

    noticed(check_phases, text, wrong(__init__=__init__, nats=nats, phases=phases).build(SMALL), BATCH)


def test_phases_are_looked_at_in_train_mode_and_leave_no_gradients():
    modes = []

    def nats(self, batch):
        modes.append((self.training, torch.is_grad_enabled()))
        return Independent.nats(self, batch)

    built = wrong(nats=nats, initialise=lambda self, batch: modes.append(batch)).build(SMALL).eval()
    check_phases(built, BATCH)
    assert modes[0] is BATCH and modes[1] == (True, True) and set(modes[2:]) == {(False, False)}
    assert built.training and built.logits.grad is None


def test_a_loss_that_draws_is_not_taken_for_one_that_is_no_mean():
    draws = loss(lambda self, value: {"loss": value * torch.rand(())})
    state = torch.random.get_rng_state()
    summed = {"loss": lambda self, batch, step: {"loss": self.nats(batch).sum()}}
    check_phases(wrong(phases=draws, **summed).build(SMALL), BATCH)
    assert not torch.equal(torch.random.get_rng_state(), state), "the loss's own draws are its affair"


# Scores and figures


@pytest.mark.parametrize(("attributes", "text"), [
    ({"score_kind": "good"}, "score_kind is 'good'"), ({"metric": "sharpness"}, "a metric is only for models"),
    ({"score": lambda self, batch: self.nats(batch)[:, None].detach()}, r"shape \(4, 1\)"),
    ({"score": lambda self, batch: self.nats(batch) / 0}, "scores must be finite"),
    ({"score": lambda self, batch: self.nats(batch).where(batch.indices == 1, torch.inf)}, "scores must be finite"),
    ({"score": lambda self, batch: self.nats(batch).detach() * (1 + 1e-3 * len(batch.x))}, "depends on its batch"),
])  # fmt: skip
def test_scores(attributes, text):
    noticed(check_scores, text, wrong(**attributes).build(SMALL), BATCH)


def test_bounds_may_depend_on_what_is_drawn_with_their_batch():
    check_scores(wrong(score_kind="bound", score=lambda self, batch: torch.rand(len(batch.x))).build(SMALL), BATCH)


def test_the_scores_of_labelled_images_are_asked_for_with_their_labels():
    seen = []

    def score(self, batch):
        seen.append((batch.labels.tolist(), batch.indices.tolist()))
        return Independent.score(self, batch)

    batch = replace(BATCH, labels=torch.tensor([2, 0, 1, 2]))
    check_scores(component("model", type("Told", (Independent,), {"score": score})).build(SMALL, 3), batch)
    assert seen == [([2, 0, 1, 2], [0, 1, 2, 3]), *(([label], [row]) for row, label in enumerate([2, 0, 1, 2]))]


FIGURES = {"score_kind": "none", "metric": "sharpness"}


def sharp(self, batch):
    return {"sharpness": torch.ones(len(batch.x))}


@pytest.mark.parametrize(("attributes", "text"), [
    ({"assess": lambda self, batch: {"nats": torch.ones(len(batch.x)), **sharp(self, batch)}}, "nats are only for"),
    ({"assess": lambda self, batch: {"sharpness": torch.ones(1)}}, r"sharpness has the shape \(1,\)"),
    ({"assess": lambda self, batch: {"sharpness": torch.ones(len(batch.x)) / 0}}, "sharpness: must be finite"),
    ({"assess": lambda self, batch: {"sharpness": torch.ones(4).where(batch.indices == 1, torch.nan)}},
     "sharpness: must be finite"),
    ({"assess": lambda self, batch: {}}, r"the metric sharpness is not among \[\]"),
    ({"assess": lambda self, batch: {}, "measure": lambda self, scored, reference: {"depth": 1.0}}, "among .'depth'"),
])  # fmt: skip
def test_figures(attributes, text):
    noticed(check_scores, text, wrong(**FIGURES, **attributes).build(SMALL), BATCH)


def test_figures_of_images_or_of_all_together_will_do_and_of_none_if_there_is_no_metric():
    check_scores(wrong(**FIGURES, assess=sharp).build(SMALL), BATCH)
    measured = {"assess": lambda self, batch: {}, "measure": lambda self, scored, reference: {"sharpness": 1.0}}
    check_scores(wrong(**FIGURES, **measured).build(SMALL), BATCH)
    state = torch.random.get_rng_state()
    check_scores(wrong(**FIGURES, assess=lambda self, batch: {"sharpness": torch.rand(4)}).build(SMALL), BATCH)
    assert torch.equal(torch.random.get_rng_state(), state)
    check_scores(wrong(score_kind="none", assess=None).build(SMALL), BATCH)


# Images


def drawn(change):
    return {"draw": lambda self, request: Drawn(change(self, request, Independent.draw(self, request).images))}


def greedy(self, request, images):
    torch.rand(1)
    return images


def second_time(self, request, images):
    self.calls = getattr(self, "calls", 0) + 1
    return images if self.calls == 1 else images.flip(3)


@pytest.mark.parametrize(("change", "text"), [
    (greedy, "torch's generator was used"), (second_time, "the same seed gives other"),
    (lambda self, request, images: images.int(), "5 samples are torch.int32"),
    (lambda self, request, images: images[:4], r"5 samples are torch.int64 \(4, "),
    (lambda self, request, images: images if request.batch_size > 2 else images.flip(3), "depend on the batch size"),
    (lambda self, request, images: images if len(request) > 2 else images.flip(3), "which others are drawn"),
    (lambda self, request, images: images * 0, "another seed gives the same"),
    (lambda self, request, images: images if len(images) else images[:, :, :1], "no samples have another shape"),
])  # fmt: skip
def test_images(change, text):
    noticed(check_images, text, wrong(**drawn(change)).build(SMALL))


# Capabilities


@pytest.mark.parametrize(("attributes", "text"), [
    ({"has_latent": True}, "has_latent must say"), ({"guidable": True}, "guidable, but without conditions"),
    ({"importance_sampled": True}, "importance_sampled is declared but refused"),
    ({"importance_sampled": False, "importance": lambda self, batch, count: None}, "not declared but not refused"),
    ({"completes": True}, "completes is declared but refused"),
    ({"completes": False, "completing": lambda self, known: None}, "completes is not declared but not refused"),
    ({"guidable": False, "no_label": lambda self: None}, "guidable is not declared but not refused"),
    ({"resolve_context": lambda self, noise, context: None}, "conditions is not declared but not refused"),
    ({"check_known": lambda self, known, n: None}, "completes is not declared but not refused"),
    ({"require": lambda self, *what: None}, "is not declared but not refused"),
])  # fmt: skip
def test_capabilities(attributes, text):
    built = wrong(**attributes).build(SMALL)
    for name, value in attributes.items():  # a class that has a method is taken to declare what it shows
        setattr(built, name, value if isinstance(value, bool) else getattr(built, name))
    noticed(check_capabilities, text, built, BATCH)


@pytest.mark.parametrize("classes", [None, 1, 3])
def test_a_model_may_have_labels_of_any_number_of_classes(classes):
    check_capabilities(component("model", Independent).build(SMALL, classes), BATCH)


def test_a_total_is_of_all_images():
    check_total(component("model", Independent).build(ImageSpec(1, 1, 2, 3)).double(), None)
    built = wrong(nats=lambda self, batch: Independent.nats(self, batch) + 2e-8).build(ImageSpec(1, 1, 2, 3)).double()
    noticed(check_total, "sum to", built, None)


def test_a_latent_model_is_one():
    noticed(check_latent_model, "Independent is not a LatentModel", component("model", Independent))
    assert not issubclass(Independent, LatentModel) and SPEC.channels == 3
