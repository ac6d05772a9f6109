"""Conditioners, and what a network does with a context that does not fit."""

import pytest
import torch

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.context import ContextSpec
from pixkit.errors import RecipeError, UsageError
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import Batch, ImageSpec
from pixkit.readiness.trace import Trace
from pixkit.testing import check_model, component, named, network, plain_backbone, random_images

SPEC = ImageSpec(1, 3, 4, 3)
PIXELCNN = {"type": "pixelcnn", "width": 12, "layers": 1, "output_layers": 1}


def conditional(conditioner):
    return network(named("backbone", "pixelcnn", **{k: v for k, v in PIXELCNN.items() if k != "type"}), SPEC,
                   conditioner=conditioner)  # fmt: skip


@pytest.mark.parametrize(("labels", "found"), [
    (torch.tensor([0, 6, 2]), "torch.int64 (3,), 0..6"), (torch.tensor([0, -1, 2]), "torch.int64 (3,), -1..2"),
    (torch.tensor([0.0]), "torch.float32 (1,)"), (torch.zeros(3, 1, dtype=torch.int64), "torch.int64 (3, 1)"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_told_with_those_that_do(labels, found):
    context = LabelContext(5, 2)
    with pytest.raises(UsageError, match="not labels of this model") as error:
        context.check(labels)
    assert error.value.found == found
    assert error.value.expected == "int64 [B] with values 0..4, or 5 for no label"
    context.check(torch.arange(6))
    context.check(torch.zeros(0, dtype=torch.int64))
    context.check(torch.zeros(2, dtype=torch.int64, device="meta"))  # which has no values
    with pytest.raises(UsageError, match=r"torch.float32 \(2,\)"):
        context.check(torch.zeros(2, device="meta"))
    assert context.example(7).tolist() == [0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("bad", [
    torch.tensor([0, 1]), torch.tensor([0, 1, 9]), torch.tensor([0, -1, 2]), torch.tensor([0.0, 1.0, 2.0]),
    torch.zeros(3, 1, dtype=torch.int64), None,
])  # fmt: skip
def test_labels_that_do_not_fit(bad):
    with pytest.raises(UsageError):
        conditional(LabelContext(5, 2)).log_prob(random_images(SPEC, 3), bad)


@pytest.mark.parametrize("bad", [torch.zeros(3, 2, 3, 4), torch.zeros(3, 4), torch.zeros(3, 2, 1, 1).long(), None])
def test_features_that_do_not_fit(bad):
    with pytest.raises(UsageError):
        conditional(FeatureContext(2, (1, 1))).log_prob(random_images(SPEC, 3), bad)


def test_a_context_is_for_a_network_that_takes_one_and_it_needs_one():
    conditional_net, plain, x = conditional(LabelContext(5, 2)), network(plain_backbone(), SPEC), random_images(SPEC, 3)
    with pytest.raises(UsageError, match=r"is not conditional\n  found: a context\n  expected: none\n"):
        plain.log_prob(x, torch.tensor([0, 1, 2]))
    with pytest.raises(UsageError, match=r"is conditional\n  found: no context\n  expected: one\n"):
        conditional_net.log_prob(x)


def test_a_backbone_without_context_is_refused():
    with pytest.raises(RecipeError, match="takes no context") as error:
        network(plain_backbone(), SPEC, conditioner=LabelContext(3, 2))
    assert error.value.where == "model.backbone.type"


def test_data_without_labels_are_refused():
    with pytest.raises(RecipeError, match="no labels"):
        named("model", "autoregressive", backbone=PIXELCNN, context={"type": "label"}).build(SPEC, None)


@pytest.mark.parametrize("head", [{"type": "softmax"}, {"type": "logistic_mixture", "components": 2}])
def test_a_labelled_model_keeps_the_contract(head):
    context = {"type": "label", "size": 3, "dropout": 0.2}
    check_model(named("model", "autoregressive", backbone=PIXELCNN, context=context, head=head), classes=3)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_model_with_a_list_of_conditions_keeps_the_contract(dropout):
    listed = [
        {"type": "label", "size": 2, "dropout": 0.2},
        {"type": "vector", "from": "v", "size": 2, "dropout": dropout},
    ]
    spec = ImageSpec(1, 2, 3, 3, context=(ContextSpec("v", (2,)),))
    check_model(named("model", "autoregressive", backbone=PIXELCNN, context=listed), classes=2, spec=spec)


def test_scores_are_given_the_label():
    model = named("model", "autoregressive", backbone=PIXELCNN, context={"type": "label"}).build(SPEC, 4).eval()
    torch.nn.init.normal_(model.network.projection.weight)
    x, labels = random_images(SPEC, 3), torch.tensor([0, 3, 2])
    nats = model.score(Batch(x, labels, torch.arange(3)))
    assert torch.allclose(nats, -model.log_prob(x, labels))
    for size in (1, 2):
        assert torch.allclose(nats, -model.log_prob(x, labels, batch_size=size)), "each image has its own label"
    assert not torch.allclose(nats, -model.log_prob(x, torch.tensor([1, 1, 1])))


def test_labels_are_dropped_as_often_as_asked():
    config = {"backbone": PIXELCNN, "context": {"type": "label", "dropout": 0.3}}
    model = named("model", "autoregressive", **config).build(SPEC, 4)
    torch.manual_seed(0)
    labels = torch.arange(20000) % 4
    shown = model.labels_shown(labels)
    hidden = shown == 4
    assert float(hidden.double().mean()) == pytest.approx(0.3, abs=0.015)
    assert torch.equal(shown[~hidden], labels[~hidden])


def test_without_labels_asked_for_each_class_comes_in_turn():
    model = named("model", "autoregressive", backbone=PIXELCNN, context={"type": "label"}).build(SPEC, 3).eval()
    torch.nn.init.normal_(model.network.projection.weight, std=3)
    torch.nn.init.normal_(model.network.conditioner.table.weight, std=3)
    expected = model.sample(4, seed=1, first=2, context=torch.tensor([2, 0, 1, 2]))
    assert torch.equal(model.sample(4, seed=1, first=2), expected)


def test_what_depends_on_the_context_alone_is_computed_once():
    net = conditional(LabelContext(3, 2))
    trace = Trace(net)
    kinds = {operation.label.split()[0]: operation.kind for operation in trace.operations.values()}
    assert kinds["conditioner.table"] == "static"
    assert kinds["backbone.condition"] == "static"
    executor = ReferenceExecutor(make_plan(trace), 2, torch.tensor([0, 1]))
    static = {name for name, operation in trace.operations.items() if operation.kind == "static"}
    assert static <= set(executor.static)
    assert not static & set(executor.computed)


def test_a_backbone_is_told_of_the_context():
    seen = []

    class Asked(registry_class("pixelcnn")):
        """Notes its spec."""

        def __init__(self, config, spec):
            seen.append(spec.context)
            super().__init__(config, spec)

    backbone = component("backbone", Asked, width=12, layers=0)
    network(backbone, SPEC, conditioner=LabelContext(3, 7))
    network(backbone, SPEC)
    assert seen == [7, 0]


def registry_class(name):
    return named("backbone", name).cls
