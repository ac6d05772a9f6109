"""One network for every ordering: normalised in each, trained in random ones, exact wherever a part is missing."""

import itertools

import pytest
import torch

from pixkit.errors import RecipeError
from pixkit.image import Batch, ImageSpec
from pixkit.noise import Noise
from pixkit.orderings import KnownFirst, Permutation
from pixkit.recipe import load_recipe
from pixkit.runs.load import load
from pixkit.samplers import Ancestral, Known
from pixkit.samplers.kept import Prepared
from pixkit.tasks.complete import complete, complete_each
from pixkit.testing import check_model, every_image, named, random_images, randomise
from pixkit.training.build import build

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SPEC = ImageSpec(1, 2, 2, 3)
BACKBONE = {"type": "transformer", "width": 4, "blocks": 1, "heads": 2}
COMPLETE = [mask for mask in itertools.product([False, True], repeat=4) if not all(mask)]


def component_of(**config):
    return named("model", "any_order", **{"backbone": BACKBONE, **config})


def model(spec=SPEC, classes=None, **config):
    built = component_of(**config).build(spec, classes).double().eval()
    randomise(built, seed=1)
    return built


def batch(x, labels=None):
    return Batch(x, labels, torch.arange(len(x)))


def permutations(net):
    """The network in each of the 24 orderings of four sites."""
    for order in itertools.permutations(range(4)):
        ordering = Permutation(Permutation.Config(), SPEC)
        ordering.group_steps = torch.tensor(order).view(1, 2, 2)
        ordering.steps = ordering.group_steps
        yield net.under(ordering)


def test_contract():
    check_model(component_of(), spec=ImageSpec(3, 2, 3, 4))


def test_contract_with_labels_and_two_orderings():
    local = {"type": "local_pixelcnn", "width": 6, "blocks": 1, "stages": 1}
    config = {
        "backbone": local,
        "orderings": ["raster", "permutation"],
        "context": {"type": "label", "size": 2, "dropout": 0.1},
    }
    check_model(component_of(**config), classes=2, spec=ImageSpec(1, 2, 3, 4))


def test_probabilities_sum_to_1_in_every_ordering_and_are_not_all_alike():
    built, images = model(), every_image(SPEC)
    with torch.no_grad():
        each = torch.stack([network.log_prob(images) for network in permutations(built.network)])
    assert torch.allclose(each.exp().sum(1), torch.ones(24, dtype=torch.float64), rtol=0, atol=1e-12)
    assert len(each[:, 5].unique()) == 24


@pytest.mark.parametrize("mask", COMPLETE)
def test_a_completion_is_exact_for_every_mask(mask):
    """The probability of a content given the rest is that of the image over the sum over all contents."""
    built, images = model(), every_image(SPEC)
    known = torch.tensor(mask).view(SPEC.shape)
    network, image = built.completing(known), images[50:51]
    found = complete(built, image, known, n=2, seed=3)
    assert found.exact
    same = images[(images == image)[:, known].all(1)]
    with torch.no_grad():
        nats = -network.log_prob(same).log_softmax(0)[(same == image).flatten(1).all(1)]
    assert found.nats == pytest.approx(float(nats), abs=1e-12)
    steps = network.ordering.steps
    assert Known(known, image).precede(network.ordering)
    base = built.network.ordering.steps
    for part in (known, ~known):
        assert torch.equal(steps[part].argsort(), base[part].argsort()), "each part in the base's sequence"


def test_completions_are_those_of_ancestral_sampling_and_follow_the_conditional_distribution():
    """Chi-square over the nine contents of two missing sites."""
    built, image = model(), every_image(SPEC)[50:51]
    known = torch.tensor([[[True, False], [False, True]]])
    given = Known(known, image)
    drawn = built.sample(400, seed=2, known=given, batch_size=400)
    reference = Ancestral(Ancestral.Config()).sample(built.completing(known), Noise(2, range(20)), known=given)
    assert torch.equal(drawn[:20], reference)
    contents = every_image(ImageSpec(1, 1, 2, 3)).flatten(1)
    images = image.expand(9, -1, -1, -1).clone()
    images[:, known.logical_not()] = contents
    with torch.no_grad():
        expected = built.completing(known).log_prob(images).softmax(0) * 400
    observed = torch.stack([(drawn[:, ~known] == content).all(1).sum() for content in contents])
    assert float(((observed - expected) ** 2 / expected).sum()) < 35, "8 degrees of freedom"


def test_a_step_takes_random_orderings_for_parts_of_its_batch():
    built = model(batch_orderings=2).train()
    x = random_images(SPEC, 5)
    with torch.no_grad():
        each = torch.stack([network.log_prob(x) for network in permutations(built.network)])
        torch.manual_seed(0)
        seen = set()
        for step in range(40):
            nats = built.phases()[0].loss(batch(x), step)
            means = (each[:, None, :3].sum(2) + each[None, :, 3:].sum(2)) / -5
            gaps = (means - nats["nats"]).abs()
            assert float(gaps.min()) < 1e-12
            assert float(nats["loss"]) == pytest.approx(float(nats["nats"]) / 4)
            seen.add(divmod(int(gaps.argmin()), 24))
    assert len({first for first, _ in seen}) > 15
    assert len({second for _, second in seen}) > 15
    assert any(first != second for first, second in seen)


def test_the_orderings_of_a_step_come_from_the_generator_and_labels_stay_with_their_images():
    built = model(classes=3, context={"type": "label", "size": 2}, batch_orderings=3).train()
    x, labels = random_images(SPEC, 3), torch.tensor([2, 0, 1])

    def loss(images, classes):
        torch.manual_seed(7)
        with torch.no_grad():
            return float(built.phases()[0].loss(batch(images, classes), 0)["nats"])

    assert loss(x, labels) == loss(x, labels)
    assert loss(x, labels) != loss(x, labels.roll(1))
    torch.manual_seed(7)
    built.labels_shown(labels)
    with torch.no_grad():
        alone = [built.random_network().log_prob(x[k : k + 1], labels[k : k + 1]) for k in range(3)]
    assert loss(x, labels) == pytest.approx(-float(torch.cat(alone).mean()), abs=1e-12)


def test_the_score_is_that_of_the_orderings_named():
    built, x = model(orderings=["raster", "hilbert"]), random_images(SPEC, 4)
    with torch.no_grad():
        each = built.ordering_log_probs(x)
        assert torch.allclose(built.score(batch(x)), -each.exp().mean(0).log())
        assert torch.allclose(each[1], built.network.under(built.networks[1].ordering).log_prob(x), rtol=0, atol=1e-12)
    single = model()
    assert [type(network.ordering) for network in single.networks] == [Permutation]


def test_the_whole_of_it_is_one_set_of_weights():
    built = model(orderings=["raster", "hilbert"])
    twin = built.completing(torch.tensor([[[True, False], [False, True]]]))
    assert {id(value) for value in twin.parameters()} == {id(value) for value in built.parameters()}
    assert twin.head.ordering is twin.ordering
    assert built.network.ordering is not twin.ordering
    assert all(name.startswith("networks.0.") for name in built.state_dict())


def test_sites_that_are_known_in_part_come_between():
    base = named("ordering", "raster").build(ImageSpec(3, 1, 4, 2), "joint")
    known = torch.tensor([[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)[:, None]
    assert KnownFirst(base, known).steps[0, 0].tolist() == [3, 1, 2, 0]
    together = named("ordering", "checkerboard").build(ImageSpec(3, 1, 4, 2), "sequential")
    known = torch.tensor([False, False, True, True]).expand(3, 1, 4)
    ordering = KnownFirst(together, known)
    assert ordering.group_steps[:, 0].T.tolist() == [[6, 7, 8], [9, 10, 11], [0, 1, 2], [3, 4, 5]]
    assert (ordering.groups, ordering.count) == (3, 12)


def test_plans_are_kept_of_each_ordering(monkeypatch):
    made, begin = [], Prepared.__init__
    monkeypatch.setattr(Prepared, "__init__", lambda self, *args: made.append(args[1]) or begin(self, *args))
    built, images = model(), every_image(SPEC)[:3]
    known = torch.tensor([[[True, False], [False, True]]])
    first = complete_each(built, images, known, n=1)
    assert len(made) == 1, "one mask, three images"
    complete(built, images[:1], ~known, n=1)
    built.sample(1)
    complete(built, images[:1], known, n=1, seed=3)
    assert len(made) == 3, "another mask, none, and the first again"
    with torch.no_grad():
        next(built.parameters()).mul_(-3)
    again = complete_each(built, images, known, n=1)
    assert len(made) == 4, "other weights"
    assert first[0].nats != again[0].nats
    complete(built, images[:1], known, n=1, sampler="ancestral")
    assert len(made) == 4


def test_the_same_seed_trains_in_the_same_orderings_in_every_version():
    built = model()
    torch.manual_seed(0)
    seeds = [built.random_network().ordering.config.seed for _ in range(4)]
    assert seeds == [900450186894289456, 3969543146641149121, 1895649597198586620, 827948490035658088]


def test_any_backbone_will_do_whose_weights_mean_the_same_in_every_ordering():
    built = model(backbone={"type": "local_pixelcnn", "width": 6, "blocks": 1, "stages": 1})
    known = torch.tensor([[[True, False], [False, True]]])
    assert complete(built, every_image(SPEC)[50:51], known, n=1).exact
    torch.manual_seed(0)
    built.phases()[0].loss(batch(random_images(SPEC, 3)), 0)["loss"].backward()
    assert all(parameter.grad is not None for parameter in built.parameters())


def test_a_backbone_whose_weights_belong_to_one_ordering_is_refused():
    with pytest.raises(RecipeError, match="belong to one ordering"):
        named("model", "any_order", backbone={"type": "pixelcnn", "width": 6, "layers": 1}).build(SPEC, None)
    network = (
        named("model", "autoregressive", backbone={"type": "pixelcnn", "width": 6, "layers": 1}).build(SPEC).network
    )
    with pytest.raises(RecipeError, match="reorders"):
        network.under(network.ordering)


def test_a_run_that_was_resumed_has_the_weights_of_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "any.yaml").write_text("""\
pixkit: 1
name: any
data: {source: synthetic, height: 4, width: 5, train_images: 32, test_images: 8}
model: {type: any_order, backbone: {type: transformer, width: 4, blocks: 1, heads: 1, dropout: 0.1}}
train: {steps: 4, batch_size: 8, eval_every: 4, checkpoint_every: 2, eval_images: 8, ema: 0.9}
sample: {count: 1}
""")
    build(load_recipe(tmp_path / "any.yaml"), tmp_path / "whole")
    build(load_recipe(tmp_path / "any.yaml", ["train.steps=2"]), tmp_path / "halves")
    build(load_recipe(tmp_path / "any.yaml"), tmp_path / "halves", resume=True)
    whole, halves = (load(tmp_path / name, weights="raw").state_dict() for name in ("whole", "halves"))
    assert all(torch.equal(value, halves[name]) for name, value in whole.items())
