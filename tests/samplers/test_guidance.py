"""Guidance against its formula, over all images of a tiny shape, and whichever sampler draws."""

from dataclasses import replace

import pytest
import torch

from pixkit.backbones.conditioners import LabelContext
from pixkit.context import ContextSpec
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Known, sampler_for
from pixkit.samplers.guidance import Guided, GuidedHead, exponents
from pixkit.testing import check_frequencies, every_image, named, network, numbered, random_images

GREY, COLOUR = ImageSpec(1, 2, 3, 2), ImageSpec(3, 1, 2, 3)
BACKBONE = {"width": 12, "layers": 1, "output_layers": 1}


def net_of(spec, head, **config):
    return network(
        named("backbone", "pixelcnn", **BACKBONE),
        spec,
        head=named("head", head, **config),
        conditioner=LabelContext(3, 2),
        gain=1.0,
    )


def guided(weight, sampler=None):
    return Guided(sampler or Ancestral(Ancestral.Config()), weight, torch.tensor([3]))


NETS = [
    (GREY, "softmax", {}),
    (COLOUR, "softmax", {}),
    (COLOUR, "softmax", {"independent": True}),
    (COLOUR, "logistic_mixture", {"components": 2}),
]


def by_hand(net, label, weight):
    """The guided probability of every image: sub-pixel by sub-pixel, levels weighed and normalised."""
    images = every_image(net.spec)
    with torch.no_grad():
        (shown, hidden) = (
            net.distribution(images, torch.full((len(images),), k)).level_log_probs(images) for k in (label, 3)
        )
    weighed = shown.exp() ** (1 + weight) * hidden.exp() ** -weight
    chances = weighed / weighed.sum(1, keepdim=True)
    return chances.gather(1, images[:, None]).flatten(1).prod(1)


@pytest.mark.parametrize(("spec", "head", "config"), NETS)
@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_frequencies_follow_the_formula(spec, head, config, weight):
    net = net_of(spec, head, **config)
    expected = by_hand(net, 1, weight)
    assert float(expected.sum()) == pytest.approx(1, abs=1e-10)
    drawn = guided(weight).sample(net, Noise(0, range(2048)), context=torch.full((2048,), 1))
    check_frequencies(numbered(drawn, spec.levels), expected)


@pytest.mark.parametrize(("spec", "head", "config"), NETS)
def test_the_head_of_pairs_gives_the_formulas_probabilities_and_levels_at_temperature_1(spec, head, config):
    net = net_of(spec, head, **config)
    pairs = every_image(spec).repeat_interleave(2, 0)
    with torch.no_grad():
        pixels = GuidedHead(net, 1.5).distribution(net(pairs, torch.tensor([1, 3]).repeat(len(pairs) // 2)))
        nats = pixels.log_prob(pairs)
        uniforms = torch.rand(len(pairs), net.head.draws, *spec.shape, dtype=torch.float64)
        assert torch.equal(pixels.quantile(uniforms), pixels.quantile(uniforms, 1.0))
        assert torch.allclose(pixels.site_log_prob(pairs).flatten(1).sum(1), nats, rtol=1e-12)
    assert GuidedHead.colours(None, spec) == ("sequential", "joint"), "the inner head has settled it"
    assert torch.allclose(nats[::2].exp(), by_hand(net, 1, 1.5), rtol=1e-9) and torch.equal(nats[::2], nats[1::2])


@pytest.mark.parametrize(("spec", "head", "config"), NETS)
def test_every_sampler_draws_the_same(spec, head, config):
    net, labels = net_of(spec, head, **config), torch.tensor([0, 1, 2, 0, 1])
    expected = guided(2.0).sample(net, Noise(4, range(5)), context=labels)
    for name in ("auto", "cached", "fixed_point"):
        for size in (None, 2):
            drawn = guided(2.0, sampler_for(name)).draw(net, Noise(4, range(5)), context=labels, batch_size=size)
            assert torch.equal(drawn.images, expected), (name, size)
            assert drawn.summary.startswith("fixed point: " if name == "fixed_point" else "cached sampling by ")


def test_weight_0_is_the_model_for_one_colour():
    net, labels = net_of(GREY, "softmax"), torch.tensor([0, 1, 2])
    plain = Ancestral(Ancestral.Config()).sample(net, Noise(4, range(3)), context=labels)
    assert torch.equal(guided(0.0).sample(net, Noise(4, range(3)), context=labels), plain)


def drawn_by_hand(chances, net, noise, known, n):
    """Images 0..n-1: of each sub-pixel the first level at which the sum of `chances` of images exceeds its number."""
    images, colours = (
        every_image(net.spec).flatten(1),
        torch.arange(net.spec.channels).repeat_interleave(net.spec.sites),
    )
    turn = net.ordering.steps.flatten() * net.spec.channels + colours
    drawn = torch.zeros(n, net.spec.dims, dtype=torch.int64)
    drawn[:, known.mask.flatten()] = known.values.flatten(1)[:, known.mask.flatten()]
    numbers = noise.uniforms(net.head.draws, net.spec).double()[:, -1].flatten(1)
    for row in range(n):
        for place in turn.argsort(stable=True).tolist():
            if not known.mask.flatten()[place]:
                alike = (images == drawn[row])[:, turn < turn[place]].all(1)
                likely = [chances[row][alike & (images[:, place] == level)].sum() for level in range(net.spec.levels)]
                sums = torch.stack(likely).cumsum(0)
                drawn[row, place] = int((sums / sums[-1] <= numbers[row, place]).sum())
    return drawn.view(n, *net.spec.shape)


@pytest.mark.parametrize(("spec", "head", "config"), NETS)
@pytest.mark.parametrize(("n", "values"), [(2, 2), (3, 1), (2, 1), (1, 1)])
def test_what_is_known_stays_and_what_is_missing_follows_it_by_the_formula(n, values, spec, head, config):
    """Whether what is known comes first or later."""
    net, labels = net_of(spec, head, **config), torch.arange(n) % 3
    chances, noise = [by_hand(net, label, 1.5) for label in labels.tolist()], Noise(7, range(n))
    first = (torch.arange(spec.sites) < spec.sites // 2).view(spec.shape[1:]).expand(spec.shape)
    for mask in (first, ~first):
        known = Known(mask, random_images(spec, values, seed=3))
        expected = drawn_by_hand(chances, net, noise, known, n)
        for name in ("ancestral", "cached", "fixed_point"):
            drawn = guided(1.5, sampler_for(name)).sample(net, noise, context=labels, known=known)
            assert torch.equal(drawn, expected), name


def test_what_is_missing_depends_on_what_is_known():
    """Of two images of the same noise and label, eight times."""
    net, mask = net_of(GREY, "softmax"), torch.tensor([[[True, True, True], [False, False, False]]])
    values = torch.tensor([0, 1] * 8).view(16, 1, 1, 1).expand(16, *GREY.shape)
    noise, labels = Noise(0, [number // 2 for number in range(16)]), torch.full((16,), 1)
    drawn = guided(1.5).sample(net, noise, context=labels, known=Known(mask, values))
    assert torch.equal(drawn[:, mask], values[:, mask])
    assert not torch.equal(drawn[::2, ~mask], drawn[1::2, ~mask])


def model_of(dropout, classes=3):
    config = {"backbone": {"type": "pixelcnn", **BACKBONE}, "context": {"type": "label", "dropout": dropout}}
    model = named("model", "autoregressive", **config).build(GREY, classes).double().eval()
    torch.nn.init.normal_(model.network.projection.weight)
    return model


def test_a_model_without_label_dropout_cannot_be_guided():
    with pytest.raises(UsageError, match=r"(?s)without a label.*model.context.dropout"):
        model_of(0.0).sample(2, guidance=1.0)
    assert model_of(0.1).sample(2, guidance=1.0).shape == (2, 1, 2, 3)


def test_scores_without_labels_need_label_dropout():
    images = every_image(GREY)
    assert float(model_of(0.5).log_prob(images).detach().exp().sum()) == pytest.approx(1, abs=1e-10)
    with pytest.raises(UsageError, match="without a label"):
        model_of(0.0).log_prob(images)


@pytest.fixture(scope="module")
def several():
    """A model of tiny images with four conditions, one of which is never hidden; float64."""
    arrays = (ContextSpec("v", (2,)), ContextSpec("n", (), 3), ContextSpec("kept", (1,)))
    context = [
        {"type": "vector", "from": "v", "size": 2, "dropout": 0.5},
        {"type": "vector", "from": "kept", "size": 2},
        {"type": "label", "size": 2, "dropout": 0.5},
        {"type": "vector", "from": "n", "size": 2, "dropout": 0.5},
    ]
    config = {"backbone": {"type": "pixelcnn", **BACKBONE}, "context": context}
    model = named("model", "autoregressive", **config).build(replace(GREY, context=arrays), 3).double().eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.6)
    return model


SHOWN = {"v": torch.tensor([[0.5, -1.0]]), "n": torch.tensor([2]), "label": torch.tensor([1])}
KEPT = {"kept": torch.tensor([[1.0]])}


def sub_pixels(model, names):
    """p(level | earlier) of each sub-pixel of every image, [64, 1, 2, 3, 2 levels], given some conditions."""
    images = every_image(GREY)
    rows = model.several.given(KEPT | {name: SHOWN[name] for name in names}, len(images)).double()
    with torch.no_grad():
        return model.network.distribution(images, rows).level_log_probs(images).exp()


@pytest.mark.parametrize(
    ("weights", "chain"),
    [  # of the largest weight first: what is still shown after each
        ({"label": 0.5, "v": 2.0}, [(2.0, ["label", "n"]), (0.5, ["n"])]),
        ({"n": 1.5}, [(1.5, ["v", "label"])]),
        ({"v": 1.0, "label": -2.0, "n": 1.0}, [(-2.0, ["v", "n"]), (1.0, [])]),
        ({"v": 1.5, "label": 1.5, "n": 1.5}, [(1.5, [])]),
        (1.5, [(1.5, [])]),
    ],
)
def test_each_condition_may_have_a_weight_of_its_own(several, weights, chain):
    before = chances = sub_pixels(several, SHOWN)
    for weight, names in chain:
        after = sub_pixels(several, names)
        chances, before = chances * (before / after) ** weight, after
    images = every_image(GREY)
    chances = chances / chances.sum(1, keepdim=True)
    expected = chances.gather(1, images[:, None]).flatten(1).prod(1)
    assert float(expected.sum()) == pytest.approx(1, abs=1e-10)
    drawn = several.sample(2048, context=SHOWN | KEPT, guidance=weights, batch_size=2048)
    check_frequencies(numbered(drawn, 2), expected)
    ancestral = several.sample(9, context=SHOWN | KEPT, guidance=weights, sampler="ancestral")
    assert torch.equal(ancestral, drawn[:9])


@pytest.mark.parametrize("weight", [1.01e6, [1.0, -1.01e6], [float("nan"), 1.0]])
def test_a_weight_out_of_range_is_refused_whichever_it_is(weight):
    with pytest.raises(UsageError, match="guidance: out of range"):
        guided(weight)


def test_exponents_sum_to_1():
    assert exponents([3.0, 1.0, -0.5]) == (4.0, -2.0, -1.5, 0.5) and exponents(1.5) == (2.5, -1.5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"kept": 1.0}, "knows no images without this condition(.|\n)*v, label, n(.|\n)*dropout: 0.1"),
        ({"lable": 1.0}, "no such condition(.|\n)*did you mean 'label'"),
        ({"v": float("inf")}, "out of range(.|\n)*v=inf"),
    ],
)
def test_weights_that_cannot_be_are_refused(several, weights, message):
    with pytest.raises(UsageError, match=message):
        several.sample(1, context=SHOWN | KEPT, guidance=weights)


def test_a_label_has_its_weight_by_name_too():
    model = model_of(0.1)
    assert torch.equal(model.sample(4, guidance={"label": 3.0}), model.sample(4, guidance=3.0))
    with pytest.raises(UsageError, match="without a label"):
        model_of(0.0).sample(2, guidance={"label": 1.0})
