"""PixelGAN autoencoders against their contract, their losses, and what they report."""

import math

import pytest
import torch

from pixkit.errors import DataError, RecipeError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.noise import Noise
from pixkit.testing import check_causality, check_latent_model, named, random_images, randomise
from pixkit_plugins.pixelgan.clusters import category_labels, clustering_error, figures
from pixkit_plugins.pixelgan.discriminator import accuracy, draw_prior, fooling_loss, telling_loss
from pixkit_plugins.pixelgan.labelled import LabelledConfig, choose

SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
ENCODER = {"width": 2, "hidden": 6}
SPEC = ImageSpec(1, 4, 5, 3)
LABELLED = {"count": 2}
ALL = {"categorical": 3, "gaussian": 2, "labelled": LABELLED}


def component(**config):
    base = {"backbone": SMALL, "features": 6, "encoder": ENCODER, "discriminator": {"hidden": 8, "layers": 1}}
    return named("model", "pixelgan", **{**base, **config})


def built(seed=0, spec=SPEC, classes=3, **config):
    torch.manual_seed(seed)
    return component(**config).build(spec, classes)


def some(count=5, labels=(0, 1, 2, 0, 1), spec=SPEC):
    return Batch(random_images(spec, count), torch.tensor(labels[:count]), torch.arange(count))


@pytest.mark.parametrize("options", [
    {"gaussian": 3},
    {"categorical": 4, "condition": "maps", "noise": 0.3},
    {"categorical": 3, "backbone": {"type": "gated_pixelcnn", "width": 6, "layers": 2, "first_kernel": 3}},
    {**ALL, "encoder": {**ENCODER, "sparsity": {"type": "l1"}}},
], ids=str)  # fmt: skip
def test_contract(options):
    check_latent_model(component(**options), classes=3)


@pytest.mark.parametrize("condition", ["maps", "vector"])
def test_given_a_code_no_pixel_sees_a_later_one(condition):
    model = built(**ALL, condition=condition).double().eval()
    randomise(model, 1)
    check_causality(model.network)


def test_a_code_is_needed():
    with pytest.raises(RecipeError, match="needs a code"):
        built()


def test_the_losses_of_a_discriminator_that_guesses():
    zero = torch.zeros(4)
    assert float(telling_loss(zero, zero)) == pytest.approx(math.log(2))
    assert float(fooling_loss(zero)) == pytest.approx(math.log(2))
    drawn, found = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    right = -torch.cat([torch.sigmoid(drawn), 1 - torch.sigmoid(found)]).log().mean()
    assert float(telling_loss(drawn, found)) == pytest.approx(float(right))
    assert float(fooling_loss(found)) == pytest.approx(float(-torch.sigmoid(found).log().mean()))


def test_accuracy_is_the_share_told_right_of_codes_and_draws():
    drawn = torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0])
    found = torch.tensor([-1.0, 1.0, -1.0, 1.0, 0.0])
    assert accuracy(drawn, found).tolist() == [1.0, 0.5, 0.5, 0.0, 0.5]


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_the_accuracy_that_is_reported(slope, expected):
    """The encoder says -5 of every image, and the discriminator looks at the sign."""
    model = built(gaussian=1, discriminator={"hidden": 1, "layers": 1}).eval()
    model.encoder.last.weight.data.zero_()
    model.encoder.last.bias.data.fill_(-5)
    first, _, last = model.discriminators["gaussian"].body
    for layer, weight, bias in ((first, 1.0, 4.0), (last, slope, 0.0)):
        layer.weight.data.fill_(weight)
        layer.bias.data.fill_(bias)
    torch.manual_seed(0)
    found = model.assess(some())
    assert found["accuracy_gaussian"].mean() == expected
    assert set(found) == {"reconstruction", "accuracy_gaussian"}
    x = some().x
    torch.testing.assert_close(found["reconstruction"], -model.network.log_prob(x, model.encode(x)))
    with pytest.raises(UsageError, match=r"an integral over z(.|\n)*gives its own figures"):
        model.log_prob(x)


def test_draws_of_the_priors():
    torch.manual_seed(0)
    normal = draw_prior("gaussian", torch.empty(20000, 2))
    assert normal.mean(0).abs().max() < 0.05 and (normal.var(0) - 1).abs().max() < 0.05
    codes = draw_prior("categorical", torch.empty(20000, 4))
    assert torch.equal(codes.unique(dim=0), torch.eye(4).flip(0))
    assert (codes.mean(0) - 0.25).abs().max() < 0.02


def test_codes_to_decode_come_from_the_priors_or_are_given():
    model = built(**ALL)
    z = model.latents([Noise(3, range(4000))])
    gaussian, category = z.split([2, 3], 1)
    assert gaussian.mean(0).abs().max() < 0.06 and (gaussian.var(0) - 1).abs().max() < 0.1
    assert torch.equal(category.unique(dim=0), torch.eye(3).flip(0))
    assert (category.mean(0) - 1 / 3).abs().max() < 0.03
    given = model.latents([Noise(3, range(4))], torch.tensor([2, 0, 0, 1]))
    assert given[:, 2:].argmax(1).tolist() == [2, 0, 0, 1] and torch.equal(given[:, :2], gaussian[:4])
    for wrong in ([3], [-1], [0, 3], [-1, 0]):
        with pytest.raises(UsageError, match="no such categorical code") as caught:
            model.latents([Noise(3, range(len(wrong)))], torch.tensor(wrong))
        assert caught.value.found == ", ".join(map(str, wrong)) and caught.value.expected == "0..2"
    with pytest.raises(UsageError, match="no such categorical code") as caught:
        built(gaussian=2).latents([Noise(3, [0])], torch.tensor([0]))
    assert caught.value.expected == "none"


def test_discriminator_and_encoder_play_against_each_other():
    """Codes start near 3; a discriminator learns to tell them, and the encoder to move them to where the prior is."""
    model = built(gaussian=1, discriminator={"hidden": 16, "layers": 1})
    model.encoder.last.bias.data.fill_(3)
    batch = Batch(random_images(SPEC, 32), None, torch.arange(32))
    before, torn = model.encode(batch.x).mean(), {}
    torch.manual_seed(1)
    for number, steps in ((1, 60), (2, 25)):
        phase = model.phases()[number]
        optimiser = torch.optim.Adam(phase.parameters, lr=0.02)
        for step in range(1, steps + 1):
            optimiser.zero_grad()
            losses = phase.loss(batch, step)
            losses["loss"].backward(inputs=list(phase.parameters))
            optimiser.step()
            torn.setdefault(phase.name, []).append(losses["loss"].detach())
        if number == 1:
            assert losses["accuracy_gaussian"] > 0.85
    assert all(losses[-1] < 0.7 * losses[0] for losses in torn.values())
    assert model.encode(batch.x).mean() < before - 1


def test_sparsity_adds_to_the_loss_and_not_to_the_nats():
    dense, sparse = (
        built(gaussian=2, encoder={**ENCODER, "sparsity": {"type": "l1", "weight": weight}}) for weight in (0.0, 3.0)
    )
    batch = some()
    with torch.no_grad():
        without, with_penalty = (model.phases()[0].loss(batch, 1) for model in (dense, sparse))
        penalty = sparse.encoder.penalty(sparse.encoder(batch.x)[1])
    assert float(penalty) > 0 and torch.equal(without["nats"], with_penalty["nats"])
    torch.testing.assert_close(with_penalty["loss"] - without["loss"], penalty / SPEC.dims)


def test_noise_is_of_training_alone():
    model = built(categorical=3, noise=1.0)
    randomise(model, 1)
    batch = some()
    torch.manual_seed(1)
    first, second = (model.phases()[0].loss(batch, 1)["nats"] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(model.encode(batch.x), model.encode(batch.x))


def test_logits_of_categories_cannot_run_into_one_corner():
    """Whatever all images have in common is taken away: with a large bias for one category they still differ."""
    model = built(categorical=3)
    x = random_images(SPEC, 40)
    q = model.means(x)[0]
    model.encoder.last.bias.data[0] += 100
    torch.testing.assert_close(model.means(x)[0], q, rtol=1e-3, atol=1e-3)
    logits = q.log() - q.log().mean(1, keepdim=True)
    assert len(q.argmax(1).unique()) == 3 and logits.std(0).min() > 1


class TestLabelled:
    """The supervised phase."""

    def test_it_teaches_the_category_of_the_labels_number(self):
        model = built(**ALL)
        batch = some()
        value = float(model.phases()[-1].loss(batch, 1)["loss"].detach())
        q = model.encode(batch.x)[torch.arange(5), 2 + batch.labels]
        assert value == pytest.approx(float(-q.log().mean()), rel=1e-5)

    def test_as_many_of_each_class_as_of_any_other(self):
        labels = torch.randint(3, (200,))
        for count in (9, 10, 11):
            chosen = choose(LabelledConfig(count=count), labels)
            found = labels[chosen].bincount(minlength=3)
            assert len(chosen.unique()) == count and int(found.max() - found.min()) == (count % 3 > 0)
            assert torch.equal(chosen, chosen.sort().values)

    def test_the_choice_is_the_seeds(self):
        labels = torch.arange(300) % 3
        chosen = [choose(LabelledConfig(count=50, seed=seed), labels) for seed in (0, 0, 1)]
        assert torch.equal(chosen[0], chosen[1]) and not torch.equal(chosen[0], chosen[2])

    def test_more_than_there_are(self):
        labels = torch.tensor([0, 1, 0, 1, 0, 1, 2, 2])
        assert labels[choose(LabelledConfig(count=6), labels)].bincount().tolist() == [2, 2, 2]
        with pytest.raises(RecipeError, match="not enough images to choose from") as caught:
            choose(LabelledConfig(count=9), labels)
        assert caught.value.found == "9, which takes 3 images of class 2"
        assert caught.value.expected == "2 of that class at most"

    def test_images_without_labels(self):
        with pytest.raises(DataError, match="no labels"):
            choose(LabelledConfig(count=9), None)
        with pytest.raises(DataError, match="no labels"):
            built(**ALL).phases()[-1].loss(Batch(some().x, None, torch.arange(5)), 1)

    @pytest.mark.parametrize(("change", "classes", "message"), [
        ({"categorical": 2}, 3, "so there must be as many"), ({}, None, "no classes"),
    ], ids=str)  # fmt: skip
    def test_what_cannot_be_taught_is_refused(self, change, classes, message):
        with pytest.raises(RecipeError, match=message):
            built(classes=classes, **{**ALL, **change})


Q = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4], [0.1, 0.7, 0.2], [0.2, 0.8, 0.0], [0.45, 0.1, 0.45]])


def test_a_category_has_the_label_of_the_image_that_is_most_certain_of_it():
    """Category 0 of image 0, category 1 of image 3, and category 2, the likeliest of no image, of image 4."""
    labels = torch.tensor([7, 5, 6, 8, 9])
    names = category_labels(Q, labels)
    assert names.tolist() == [7, 8, 9]
    # Not the majority's label: most images of category 1 here are of label 6.
    scored, true = Q[[0, 2, 2, 3, 4]], torch.tensor([7, 6, 6, 8, 7])
    assert clustering_error(scored, true, names) == pytest.approx(2 / 5)
    assert figures((scored, true), (Q, labels)) == {"clusters": 2.0, "clustering_error": pytest.approx(0.4)}
    assert figures((scored, None), (Q, labels)) == {"clusters": 2.0}


class ByFirstPixel(torch.nn.Module):
    """An encoder made by hand: category v for an image whose first pixel is v, more certain the darker the second."""

    def forward(self, x):
        return torch.nn.functional.one_hot(x[:, 0, 0, 0], 3) * (5.0 - x[:, 0, 0, 1, None]), x


def test_the_clustering_error_of_an_encoder_made_by_hand():
    model = built(categorical=3).eval()
    model.encoder = ByFirstPixel()
    x = random_images(SPEC, 6)
    x[:, 0, 0, 0] = torch.tensor([0, 0, 1, 1, 2, 2])
    x[:, 0, 0, 1] = torch.tensor([1, 0, 0, 2, 2, 1])
    reference = Batch(x, torch.tensor([0, 2, 1, 0, 1, 0]), torch.arange(6))
    # Named 2, 1 and 0, by the images 1, 2 and 5.
    scored = Batch(x, torch.tensor([2, 2, 1, 0, 0, 0]), torch.arange(6))
    found = model.measure(iter([scored]), iter([reference]))
    assert found == {"clusters": 3.0, "clustering_error": pytest.approx(1 / 6)}
    parts = [Batch(part.x[rows], part.labels[rows], rows) for part in (scored,) for rows in torch.arange(6).split(4)]
    assert model.measure(iter(parts), iter([reference])) == found
    assert built(gaussian=2).measure(iter([scored]), iter([reference])) == {}


def test_it_says_what_its_figures_are():
    model = built(categorical=3)
    said = model.remarks({"clusters": 2.0, "clustering_error": 0.1})
    assert any("most certain" in text and "1706.00531" in text for text in said)
    assert any("not a bound" in text for text in said)
    assert model.remarks({"clusters": 2.0}, step=5) == []
    assert "collapse" in model.remarks({"clusters": 1.0}, step=5)[0]
