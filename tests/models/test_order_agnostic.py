"""One set of weights for several orderings: shared truly, scored as a mixture, drawn in one ordering an image."""

import math

import pytest
import torch

from pixkit.errors import CausalityError, RecipeError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.layers import LocalConv2d
from pixkit.layers.site_kernels import masked_kernel
from pixkit.noise import Noise
from pixkit.recipe import load_recipe
from pixkit.runs.load import load
from pixkit.samplers import Known
from pixkit.tasks.complete import complete
from pixkit.tasks.masks import keep_edge
from pixkit.testing import check_model, every_image, named, random_images, randomise
from pixkit.training.build import build

GREY = ImageSpec(1, 2, 4, 2)
LOCAL = {"type": "local_pixelcnn", "width": 6, "blocks": 1, "stages": 1, "norm": "none"}
TWO = ["snake", {"type": "hilbert", "flip_vertical": True}]
DOWN_AND_UP = ["raster", {"type": "raster", "flip_vertical": True}]


def component_of(orderings=None, **config):
    config = {"backbone": LOCAL, **config}
    return named("model", "order_agnostic", **config, **({} if orderings is None else {"orderings": orderings}))


def model(spec=GREY, orderings=TWO, classes=None, **config):
    built = component_of(orderings, **config).build(spec, classes).double().eval()
    randomise(built, seed=1)
    return built


def batch(x):
    return Batch(x, None, torch.arange(len(x)))


def test_contract():
    check_model(component_of(["snake", {"type": "snake", "transpose": True, "flip_horizontal": True}]))


def test_contract_with_labels():
    check_model(component_of(TWO, context={"type": "label", "size": 2, "dropout": 0.1}), classes=2)


def test_the_eight_s_curves_are_the_default():
    """Along rows and along columns, from each corner: eight different paths, each to a neighbour at every step."""
    steps = [network.ordering.steps[0] for network in model(ImageSpec(1, 4, 4, 2), None).networks]
    assert len({tuple(one.flatten().tolist()) for one in steps}) == 8
    for one in steps:
        path = one.flatten().argsort()
        row, column = path // 4, path % 4
        assert ((row.diff().abs() + column.diff().abs()) == 1).all()
    assert sorted(int(one.flatten().argmin()) for one in steps) == [0, 0, 3, 3, 12, 12, 15, 15]


def test_every_weight_is_there_once_and_in_all_networks():
    built = model(orderings=None)
    single = named("model", "autoregressive", ordering="snake", backbone=LOCAL).build(GREY)
    count = sum(value.numel() for value in single.parameters())
    assert sum(value.numel() for value in built.parameters()) == count
    assert sum(value.numel() for value in built.state_dict().values()) == count
    first, *others = [dict(network.named_parameters()) for network in built.networks]
    for other in others:
        assert {name: id(value) for name, value in other.items()} == {name: id(value) for name, value in first.items()}
    assert all(name.startswith("networks.0.") for name in built.state_dict())


def test_loading_reaches_every_network_and_misfits_are_seen():
    source, target = model(), model()
    randomise(source, seed=2)
    images = every_image(GREY)[::17]
    before = target.ordering_log_probs(images)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.ordering_log_probs(images), source.ordering_log_probs(images))
    assert (target.ordering_log_probs(images) != before).any(1).all(), "in every ordering"
    state = source.state_dict()
    name = next(iter(state))
    with pytest.raises(RuntimeError, match="Missing"):
        target.load_state_dict({key: value for key, value in state.items() if key != name})
    with pytest.raises(RuntimeError, match="Unexpected"):
        target.load_state_dict({**state, "more": state[name]})


def test_a_model_within_a_module_takes_its_own_weights():
    source, target = (torch.nn.ModuleDict({"beside": torch.nn.Linear(1, 1), "model": model()}) for _ in range(2))
    randomise(source, seed=2)
    target.load_state_dict(source.state_dict())
    images = every_image(GREY)[::17]
    assert torch.equal(*(each["model"].ordering_log_probs(images) for each in (target, source)))


def test_each_network_is_that_ordering_with_these_weights():
    built = model(ImageSpec(3, 2, 3, 4), [*TWO, "raster"])
    x = random_images(built.spec, 3)
    for ordering, found in zip([*TWO, "raster"], built.ordering_log_probs(x), strict=True):
        alone = named("model", "autoregressive", ordering=ordering, backbone=LOCAL).build(built.spec).double().eval()
        alone.network.load_state_dict(built.networks[0].state_dict())
        assert torch.allclose(alone.log_prob(x), found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backbone", [LOCAL, {"type": "gated_pixelcnn", "width": 6, "layers": 1, "first_kernel": 3}])
def test_scores_are_the_mixtures_and_the_mean_of_its_parts(backbone):
    built = model(orderings=DOWN_AND_UP, backbone=backbone)
    images = every_image(GREY)
    each = built.ordering_log_probs(images)
    assert torch.allclose(each.exp().sum(1), torch.ones(2, dtype=torch.float64), atol=1e-10)
    found = built.assess(batch(images))
    assert torch.allclose(found["nats"], -each.exp().mean(0).log(), atol=1e-10)
    assert torch.allclose(found["one ordering"], -(each[0] + each[1]) / 2)
    assert (found["nats"] <= found["one ordering"] + 1e-12).all()
    assert torch.equal(built.score(batch(images)), found["nats"])
    assert torch.allclose(built.log_prob(images, batch_size=100), -found["nats"])
    assert float((-found["nats"]).exp().sum()) == pytest.approx(1, abs=1e-10)
    assert not torch.allclose(each[0], each[1])


def test_in_the_end_it_is_said_what_the_score_is_of():
    built, parts = model(), {"nats": 1.0, "one ordering": 2.0}
    assert built.remarks(parts) == [
        "the score is the ensemble's, of 2 orderings; one ordering has 2.000 nats, their mean"
    ]
    assert (
        built.remarks(parts, step=0) == built.remarks({"nats": 1.0}) == model(orderings=["snake"]).remarks(parts) == []
    )


def test_samples_follow_the_mixture():
    """Chi-square over all 16 images of a 2x2 shape."""
    spec = ImageSpec(1, 2, 2, 2)
    built = model(spec, DOWN_AND_UP)
    drawn = built.sample(3000, seed=5, batch_size=3000)
    codes = (drawn.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1)
    expected = built.log_prob(every_image(spec)).exp() * 3000
    observed = torch.bincount(codes, minlength=16)
    assert float(((observed - expected) ** 2 / expected).sum()) < 50, "15 degrees of freedom"


def test_an_image_has_its_own_ordering_and_noise():
    built = model(orderings=None)
    chosen = built.orderings_drawn(Noise(3, range(400)))
    assert set(chosen) == set(range(8))
    assert max(chosen.count(number) for number in range(8)) < 80
    assert built.orderings_drawn(Noise(3, [17, 5])) == [chosen[17], chosen[5]]
    drawn = built.sample(12, seed=3)
    for number in range(12):
        network = built.networks[chosen[number]]
        alone = named("sampler", "ancestral").build().sample(network, Noise(3, [number]))
        assert torch.equal(alone[0], drawn[number])


def test_progress_ends_complete():
    calls = []
    model(orderings=None).sample(5, seed=1, batch_size=2, progress=lambda done, total: calls.append(done / total))
    assert calls == sorted(calls)
    assert calls[-1] == 1


def test_a_step_takes_one_ordering_at_random():
    built = model(orderings=None).train()
    x = random_images(GREY, 4)
    losses = [-one.mean() for one in built.ordering_log_probs(x)]
    torch.manual_seed(0)
    taken = []
    for step in range(60):
        with torch.no_grad():
            nats = built.phases()[0].loss(batch(x), step)["nats"]
        taken.append(min(range(8), key=lambda number: abs(losses[number] - nats)))
        assert float(nats) == pytest.approx(float(losses[taken[-1]]), abs=1e-9)
    assert set(taken) == set(range(8))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_completion_takes_the_ordering_that_puts_the_missing_part_last(side, count):
    """Every half of an image is continued exactly by one of the eight S-curves, and by enumeration."""
    spec = ImageSpec(1, 3, 3, 2)
    built = model(spec, None)
    image = every_image(spec)[torch.tensor([300])]
    known = keep_edge(spec.shape, side, count)
    found = complete(built, image, known, n=2, seed=1)
    assert found.exact
    images = every_image(spec)
    images = images[(images == image)[:, known].all(1)]
    own = int((images == image).flatten(1).all(1).nonzero())
    with torch.no_grad():
        expected = -built.completing(known).log_prob(images).log_softmax(0)[own]
    assert found.nats == pytest.approx(float(expected), abs=1e-9)
    assert torch.equal(built.completing(known).ordering.steps, found.ordering.steps)


def test_where_no_ordering_is_exact_the_nearest_is_taken():
    spec = ImageSpec(1, 4, 4, 2)
    built = model(spec, DOWN_AND_UP)
    known = torch.ones(spec.shape, dtype=torch.bool)
    known[:, 1, 1] = False
    part = Known(known, torch.zeros(1, *spec.shape, dtype=torch.int64))
    late = [part.late(network.ordering) for network in built.networks]
    assert late == [10, 6]
    assert built.completing(known) is built.networks[1]
    assert not complete(built, part.values, known, n=1).exact


def test_verify_looks_at_every_ordering():
    """A layer that leaks in the second ordering alone is found."""
    built = model()
    built.verify()
    layer = next(module for module in built.networks[1].modules() if isinstance(module, LocalConv2d))
    layer.allowed.fill_(True)
    maps = layer.in_maps, layer.out_maps
    layer.apply_kernel = masked_kernel(layer.allowed, maps, (-(layer.kernel_size // 2),) * 2, layer.dilation)
    with pytest.raises(CausalityError):
        built.verify()


OWN = "backbone.body.0.running_mean, which every ordering would have separately"


@pytest.mark.parametrize(("backbone", "orderings", "number", "found"), [
    ({"type": "pixelcnn", "width": 6, "layers": 1}, ["raster", {"type": "raster", "transpose": True}], 1,
     "backbone.stem.weight of shape (6, 1, 7, 4), and (6, 1, 4, 7) in the first ordering"),
    ({"type": "pixelcnn", "width": 6, "layers": 1, "norm": "batch"}, DOWN_AND_UP, 0, OWN),
    ({"type": "multiscale", "width": 6}, ["multiscale", {"type": "multiscale", "base": 2}], 1,
     "backbone.base.body.stem.weight of shape (64, 1, 2, 3), and (64, 1, 3, 7) in the first ordering"),
], ids=["shapes", "statistics", "layers"])  # fmt: skip
def test_what_cannot_be_shared_is_refused(backbone, orderings, number, found):
    with pytest.raises(RecipeError, match="do not depend on the ordering, without BatchNorm") as error:
        component_of(orderings, backbone=backbone).build(ImageSpec(1, 6, 8, 2))
    assert (error.value.where, error.value.found) == (f"model.orderings[{number}]", found)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="not conditional"):
        model().sample(2, context=torch.tensor([0, 1]))
    with pytest.raises(UsageError, match="label"):
        model(classes=3, context={"type": "label", "size": 2}).log_prob(every_image(GREY)[:2])


def test_guidance_uses_the_pair_of_labels():
    built = model(classes=3, context={"type": "label", "size": 2, "dropout": 0.2})
    plain, guided = (built.sample(6, seed=2, guidance=weight) for weight in (0.0, 5.0))
    assert not torch.equal(plain, guided)


def test_a_run_is_resumed_and_scored_as_an_ensemble(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local.yaml").write_text("""\
pixkit: 1
name: local
data: {source: synthetic, height: 4, width: 5, train_images: 32, test_images: 8}
model:
  type: order_agnostic
  orderings: [snake, {type: snake, flip_vertical: true}]
  backbone: {type: local_pixelcnn, width: 6, blocks: 1, stages: 1}
train: {steps: 4, batch_size: 8, eval_every: 4, checkpoint_every: 2, eval_images: 8, ema: 0.9}
sample: {count: 2}
""")
    whole = build(load_recipe(tmp_path / "local.yaml"), tmp_path / "whole")
    build(load_recipe(tmp_path / "local.yaml", ["train.steps=2"]), tmp_path / "halves")
    build(load_recipe(tmp_path / "local.yaml"), tmp_path / "halves", resume=True)
    states = [load(tmp_path / name, weights="raw").state_dict() for name in ("whole", "halves")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    score = next(row for row in whole.scores if row.split == "test")
    assert score.kind == "exact"
    assert score.nats < score.parts["one ordering"] < score.nats + math.log(2)
