"""From what callers give to what a network is told: labels, rows of several conditions, and what is left out."""

import pytest
import torch

from pixkit.context import ContextSpec
from pixkit.errors import RecipeError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.noise import Noise
from pixkit.testing import named, random_images

pytestmark = pytest.mark.quick
SPEC = ImageSpec(1, 2, 2, 2, context=(ContextSpec("v", (2,)),))
V = torch.tensor([[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]])
LABELS = torch.tensor([2, 0, 1])
NOISE = Noise(0, [4, 5, 6])
X = random_images(SPEC, 3)


def model_of(context, classes=3):
    backbone = {"type": "pixelcnn", "width": 2, "layers": 0, "first_kernel": 3, "output_layers": 1}
    return named("model", "autoregressive", backbone=backbone, context=context).build(SPEC, classes)


def several(label=0.5, v=0.5):
    return model_of(
        [{"type": "label", "size": 1, "dropout": label}, {"type": "vector", "from": "v", "size": 1, "dropout": v}]
    )


def rows(labels, v, *shown):
    """Rows: which conditions are shown, the label, and v."""
    shown = torch.tensor(shown or (1, 1)).expand(3, 2)
    return torch.cat([shown, labels[:, None], v], 1).float()


def test_what_is_declared():
    model = several()
    assert (model.labelled, model.guidable, model.conditions) == (True, True, ("label", "v"))
    assert not several(0.0, 0.0).guidable and several(0.0).guidable and several(0.5, 0.0).guidable
    vector = model_of([{"type": "vector", "from": "v", "size": 1}], None)
    assert (vector.labelled, vector.guidable, vector.conditions) == (False, False, ("v",))
    label = model_of({"type": "label", "size": 1, "dropout": 0.1})
    assert (label.labelled, label.guidable, label.conditions, label.several) == (True, True, ("label",), None)
    plain = model_of(None)
    assert (plain.labelled, plain.guidable, plain.conditions, plain.conditioner) == (False, False, (), None)
    assert label.conditioner is not None and model.conditioner is None and model.several is not None
    with pytest.raises(RecipeError, match="no labels"):
        model_of({"type": "label"}, None)
    with pytest.raises(RecipeError, match="no labels"):
        model_of([{"type": "label"}], None)


def test_an_image_without_conditions_is_one_whose_conditions_are_all_hidden():
    assert torch.equal(several().no_label(), torch.zeros(1, 5))
    for partly in (several(0.0), several(0.5, 0.0), several(0.0, 0.0)):
        with pytest.raises(UsageError, match="condition"):
            partly.no_label()


def test_images_are_drawn_with_what_is_given_and_turns_of_labels():
    model, turns = several(), torch.tensor([1, 2, 0])
    asked = [
        ({"v": V}, rows(turns, V)), ({"v": V, "label": LABELS}, rows(LABELS, V)), (None, rows(turns, 0 * V, 1, 0)),
        (LABELS, rows(LABELS, 0 * V, 1, 0)), (rows(LABELS, V), rows(LABELS, V)),
    ]  # fmt: skip
    for given, expected in asked:
        found = model.resolve_context(NOISE, given)
        assert torch.equal(found[:, :3], expected[:, :3])
        shown = expected[:, 1:2] > 0
        assert torch.equal(found[:, 3:] * shown, expected[:, 3:])
    for wrong in ([1, 2, 0], 3, "v"):
        with pytest.raises(UsageError, match="not arrays by name") as caught:
            model.resolve_context(NOISE, wrong)
        assert caught.value.found == f"of type {type(wrong).__name__}" and "label, v" in caught.value.expected
    with pytest.raises(UsageError):
        several(v=0.0).resolve_context(NOISE, None)


def test_images_are_scored_with_what_is_given():
    model = several()
    assert torch.equal(model.labels_scored(X, {"v": V, "label": LABELS}), rows(LABELS, V))
    assert model.labels_scored(X, None)[:, :2].eq(0).all() and model.labels_scored(X, LABELS)[:, 0].eq(1).all()
    assert torch.equal(model.labels_scored(X, rows(LABELS, V)), rows(LABELS, V))
    label = model_of({"type": "label", "size": 1, "dropout": 0.1})
    assert label.labels_scored(X, None).tolist() == [3, 3, 3] and label.labels_scored(X, [2, 0, 1]).tolist() == [
        2,
        0,
        1,
    ]
    assert label.resolve_context(NOISE, None).tolist() == [1, 2, 0]
    assert model_of(None).labels_scored(X, None) is None and model_of(None).resolve_context(NOISE, None) is None


def test_batches_are_trained_and_scored_with_their_own():
    batch = Batch(X, LABELS, torch.arange(3), V)
    model, label = several(), model_of({"type": "label", "size": 1, "dropout": 0.5})
    assert torch.equal(model.context_of(batch), rows(LABELS, V))
    assert torch.equal(label.context_of(batch), LABELS) and model_of(None).context_of(batch) is None
    assert model_of(None).context_shown(batch) is None
    many = Batch(X[:1].expand(400, -1, -1, -1), LABELS[:1].expand(400), torch.arange(400), V[:1].expand(400, -1))
    torch.manual_seed(0)
    shown, told = model.context_shown(many), label.context_shown(many)
    assert 100 < shown[:, 0].sum() < 300 and 100 < shown[:, 1].sum() < 300 and set(told.tolist()) == {2, 3}
    assert 100 < told.eq(3).sum() < 300, "of a chance of 1/2, off by 100 of 400 has a chance below 1e-20"
    assert several(0.0, 0.0).context_shown(many)[:, :2].eq(1).all()


def test_of_images_without_arrays_beside_them_what_may_be_is_hidden():
    labelled, bare = Batch(X, LABELS, torch.arange(3)), Batch(X, None, torch.arange(3))
    for batch, shown in ((labelled, (1, 0)), (bare, (0, 0))):
        assert torch.equal(several().context_of(batch), rows(LABELS * shown[0], 0 * V, *shown))
    vector = model_of([{"type": "vector", "from": "v", "size": 1, "dropout": 0.5}])
    assert torch.equal(vector.context_of(labelled), torch.zeros(3, 3))
    label = model_of([{"type": "label", "size": 1}])
    assert torch.equal(label.context_of(labelled)[:, :2], torch.stack([torch.ones(3), LABELS], 1))
    with pytest.raises(UsageError, match="lack a condition"):
        several(v=0.0).context_of(labelled)


def test_a_weight_of_0_asks_for_no_more_than_a_name():
    model = several(v=0.0)
    for weights in ({"v": 0.0}, {"v": 0, "label": 2.0}, {"label": -1.0}):
        assert model.request(3, context={"v": V}, guidance=weights).guidance == weights
    for wrong in ({"u": 0.0}, {"label": 1.0, "u": 1.0}):
        with pytest.raises(UsageError, match="no such condition") as caught:
            model.request(3, context={"v": V}, guidance=wrong)
        assert (caught.value.found, caught.value.expected) == ("u", "label, v")
    for shy, name, way in (
        (model, "v", "train with dropout: {..., from: v, dropout: 0.1} in model.context"),
        (several(label=0.0), "label", "train with dropout: {type: label, dropout: 0.1} in model.context"),
    ):
        with pytest.raises(UsageError, match="cannot be guided towards it") as caught:
            shy.request(3, context={"v": V, "label": LABELS}, guidance={"label": 1.0, "v": 1.0})
        error = caught.value
        assert (error.found, error.hint) == (f"{name}, with dropout 0", way)
        assert error.expected == ("label" if name == "v" else "v")


def test_codes_that_there_are_not_are_refused_when_they_are_asked_for():
    backbone = {"type": "pixelcnn", "width": 2, "layers": 0, "first_kernel": 3, "output_layers": 1}
    small = {"backbone": backbone, "features": 2, "encoder": {"width": 2, "hidden": 2}}
    gan = named("model", "pixelgan", **small, categorical=3).build(SPEC, None)
    assert gan.request(3, context=LABELS).context.tolist() == [2, 0, 1] and gan.request(3).context is None
    asked = []
    gan.latents = lambda noise, codes: asked.append(([*noise[0].images], codes.tolist())) or torch.zeros(len(codes), 3)
    gan.eval().sample(5, first=4, context=torch.tensor([2, 0, 1, 1, 0]), batch_size=2)
    assert asked == [([4, 5], [2, 0]), ([6, 7], [1, 1]), ([8], [0])], "each image its own, batch by batch"
    for codes, found in (([0, 3, 1], "0, 1, 3"), ([-1, 0, 0], "-1, 0")):
        with pytest.raises(UsageError, match="no such categorical code") as caught:
            gan.request(3, context=torch.tensor(codes))
        assert (caught.value.found, caught.value.expected) == (found, "0..2")
    for model in (named("model", "pixelgan", **small, gaussian=2), named("model", "pixelvae", **small, latent=2)):
        with pytest.raises(UsageError, match="the model has no categorical code"):
            model.build(SPEC, None).request(3, context=LABELS)
