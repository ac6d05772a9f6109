"""Parallel multiscale models against their contract: coarse to fine, decimation, independence, calls."""

import itertools
import re

import pytest
import torch

from pixkit.backbones.conditioners import LabelContext
from pixkit.backbones.encodings import InputConfig
from pixkit.errors import RecipeError
from pixkit.execution.plan import make_plan
from pixkit.image import ImageSpec
from pixkit.network import assemble
from pixkit.noise import Noise
from pixkit.readiness.check import verify
from pixkit.readiness.trace import Trace
from pixkit.samplers import BatchRequest, Cached, Known
from pixkit.testing import (
    ODD,
    check_agreement,
    check_backbone,
    check_causality,
    check_features,
    check_frequencies,
    check_gradients,
    check_known,
    check_normalised,
    check_ordering,
    check_sampling,
    every_image,
    named,
    network,
    numbered,
    random_images,
    supported_orderings,
)

BASE = {"type": "pixelcnn", "width": 12, "layers": 1, "output_layers": 1, "first_kernel": 3}
GROUPS = ["right", "below", "diagonal"]


def backbone(width=24, **config):
    return named("backbone", "multiscale", **{"base": BASE, "width": width, "layers": 1, **config})


def ordering(base=1, **config):
    return named("ordering", "multiscale", base=base, **config)


def steps(height, width, base=1, channels=1, colours="joint", **config):
    return ordering(base, **config).build(ImageSpec(channels, height, width, 2), colours).steps


@pytest.mark.parametrize("base", [1, 2, 4])
def test_the_ordering_keeps_its_contract(base):
    check_ordering(ordering(base))
    check_ordering(ordering(base, base_ordering={"type": "hilbert"}, groups=["diagonal", "below", "right"]))


def test_steps_of_small_images_by_hand():
    assert steps(2, 2).tolist() == [[[0, 1], [2, 3]]]
    assert steps(4, 2).tolist() == [[[0, 2], [3, 4], [1, 2], [3, 4]]]
    assert steps(3, 5, base=3).tolist() == [[[0, 6, 1, 6, 2], [7, 8, 7, 8, 7], [3, 6, 4, 6, 5]]]
    assert steps(1, 5).tolist() == [[[0, 3, 2, 3, 1]]]
    turned = steps(4, 4, base=2, base_ordering={"type": "spiral"}, groups=["diagonal", "below", "right"])
    assert turned.tolist() == [[[0, 6, 1, 6], [5, 4, 5, 4], [3, 6, 2, 6], [5, 4, 5, 4]]]


@pytest.mark.parametrize("groups", [["right", "below"], ["right", "below", "below"], ["right", "below", "up"]])
def test_groups_that_do_not_fill_a_block_are_refused(groups):
    with pytest.raises(ValueError, match="groups"):
        ordering(groups=groups)


def test_calls_grow_with_the_logarithm_of_the_side():
    counted = {side: int(steps(side, side, base=4).max()) + 1 for side in (8, 16, 28, 32, 64)}
    assert counted == {8: 19, 16: 22, 28: 25, 32: 25, 64: 28}


def test_the_contract():
    check_backbone(backbone(), [ordering(1)])


def test_the_contract_with_shared_networks_turned_and_in_another_order():
    order = ["diagonal", "below", "right"]
    turned = ordering(2, transpose=True, flip_horizontal=True, groups=order, colours="joint")
    check_backbone(backbone(shared=True, output_layers=0), [turned])


@pytest.mark.parametrize("spec", [ImageSpec(1, 2, 2, 2), ImageSpec(1, 4, 2, 2), ImageSpec(1, 3, 3, 2)], ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_doublings_of_one_pixel_are_normalised_and_sampled_right(spec, shared):
    net = network(backbone(shared=shared), spec, ordering=ordering(1))
    check_normalised(net)
    check_sampling(net, count=1024)
    check_gradients(net, check_causality(net, images=8))


def test_joint_colours_are_coupled_by_the_head():
    """The mixture's uniforms cannot be listed, so that samples are compared with ancestral ones."""
    net = network(
        backbone(), ImageSpec(3, 2, 3, 4), ordering=ordering(1), head=named("head", "logistic_mixture", components=2)
    )
    assert net.ordering.groups == 1
    check_gradients(net, check_causality(net))
    check_normalised(network(backbone(), ImageSpec(2, 1, 3, 3), ordering=ordering(1), head=named("head", "softmax")))
    check_agreement(named("sampler", "cached"), net)


def seen_by(net, images=16):
    return sum(check_causality(net, seed=seed, images=images) for seed in range(2)) > 0


@pytest.mark.parametrize("groups", list(itertools.permutations(GROUPS)))
def test_every_group_sees_the_groups_before_it_and_no_more(groups):
    """On 4x4 with a 1x1 base a 3x3 kernel of blocks covers all: exactly what is drawn before has an effect."""
    spec = ImageSpec(1, 4, 4, 2)
    nets = [network(backbone(), spec, ordering=ordering(1, groups=groups), seed=seed) for seed in range(3)]
    seen = sum(seen_by(net) for net in nets) > 0
    order = nets[0].ordering.steps
    assert torch.equal(seen, order[None, None, None] < order[..., None, None, None])


def test_colours_of_a_site_are_coupled_and_sites_of_a_group_are_not():
    spec = ImageSpec(3, 2, 4, 3)
    net = network(backbone(), spec, ordering=ordering(1), seed=1)
    group = net.ordering.steps // 3
    seen = seen_by(net)
    for target, (row, column) in itertools.product(range(3), itertools.product(range(2), range(4))):
        same = (group == group[target, row, column]) & seen[target, row, column]
        expected = torch.zeros(spec.shape, dtype=torch.bool)
        expected[:target, row, column] = True
        assert torch.equal(same, expected), "of its own step, a colour sees its own site's earlier colours alone"


def test_the_base_sees_a_decimation_and_no_average():
    """No site off the lattice moves the base's predictions, whatever all of them are changed to."""
    spec = ImageSpec(1, 8, 6, 4)
    net = network(backbone(), spec, ordering=ordering(2))
    x, other = random_images(spec, 64), random_images(spec, 64, seed=1)
    other[:, :, ::4, ::4] = x[:, :, ::4, ::4]
    with torch.no_grad():
        before, after = net(x), net(other)
    assert torch.equal(before[:, :, ::4, ::4], after[:, :, ::4, ::4])
    assert not torch.equal(before[:, :, ::2, ::2], after[:, :, ::2, ::2]), "finer scales do see the others"


def test_each_scale_is_the_model_of_its_decimation():
    """With shared networks the sites of an image's decimation are scored as that image is by itself."""
    make = {"ordering": ordering(1), "seed": 3}
    large = network(backbone(shared=True), ImageSpec(1, 8, 8, 3), **make)
    small = network(backbone(shared=True), ImageSpec(1, 4, 4, 3), **make)
    small.load_state_dict(large.state_dict())
    x = random_images(large.spec, 5)
    with torch.no_grad():
        fine, coarse = large.distribution(x), small.distribution(x[:, :, ::2, ::2])
        nats = fine.site_log_prob(x)[:, ::2, ::2]
        assert torch.allclose(nats, coarse.site_log_prob(x[:, :, ::2, ::2]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", ODD, ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_odd_sizes(spec, shared):
    for base in (1, 3, 8):
        net = network(backbone(shared=shared), spec, ordering=ordering(base))
        check_features(net)
        assert isinstance(verify(net), Trace)


def test_shared_networks_are_three_and_separate_ones_three_a_doubling():
    spec = ImageSpec(1, 16, 16, 2)
    separate, shared = (network(backbone(shared=shared), spec, ordering=ordering(2)) for shared in (False, True))
    assert (len(separate.backbone.networks), len(shared.backbone.networks)) == (9, 3)


def count_calls(net, images):
    """How often each network's first convolution runs while images are drawn by the cached sampler."""
    draw = Cached(Cached.Config()).prepare(net, None)
    calls = dict.fromkeys((part.stem for part in net.backbone.networks), 0)

    def count(stem, *_):
        calls[stem] += 1

    for stem in calls:
        stem.register_forward_hook(count)
    draw(BatchRequest(Noise(0, range(images))))
    return list(calls.values())


@pytest.mark.parametrize(("side", "doublings"), [(8, 1), (16, 2), (32, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_network_is_called_once_for_all_sites_and_colours(side, doublings, channels):
    spec = ImageSpec(channels, side, side, 2)
    net = network(backbone(width=6, base={**BASE, "width": 6}), spec, ordering=ordering(4)).float()
    with torch.no_grad():
        calls = count_calls(net, 2)
    assert calls == [1] * (3 * doublings)
    assert net.ordering.count == channels * (16 + 3 * doublings)
    plan = make_plan(Trace(net))
    times = {schedule.times.item() for schedule in plan.schedules if schedule.opcode == "ALL"}
    assert len(times) == 3 * doublings, "and each at a step of its own"


@pytest.mark.parametrize(("spec", "colours"), [(ImageSpec(1, 9, 7, 4), "auto"), (ImageSpec(3, 5, 6, 3), "sequential")])
def test_cached_samples_are_the_ancestral_ones(spec, colours):
    net = network(backbone(), spec, ordering=ordering(2, colours=colours))
    cached = named("sampler", "cached")
    check_agreement(cached, net)
    check_known(cached, net)


def test_what_is_drawn_between_given_pixels_follows_the_exact_conditional():
    spec, count = ImageSpec(1, 3, 3, 2), 4096
    net = network(backbone(), spec, ordering=ordering(1), seed=2)
    mask, values = torch.zeros(spec.shape, dtype=torch.bool), torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    mask[:, ::2, ::2] = True
    known = Known(mask, values[None, None])
    assert known.precede(net.ordering)
    sampler = named("sampler", "cached").build()
    drawn = sampler.draw(net, Noise(5, range(count)), known=known)
    images = every_image(spec)
    fits = (images == known.values)[:, mask].all(1)
    with torch.no_grad():
        joint = net.log_prob(images).exp() * fits
    check_frequencies(numbered(drawn.images, 2), joint / joint.sum())
    assert re.search(r" in 3 steps\b", drawn.summary)


def test_other_orderings_are_refused_with_the_reason():
    assert [found.name for found in supported_orderings(backbone())] == ["multiscale"]
    with pytest.raises(RecipeError, match="ordering of the same name") as error:
        network(backbone(), ImageSpec(1, 4, 4, 2))
    assert "type: multiscale" in str(error.value)


def test_maps_that_do_not_divide_are_refused():
    with pytest.raises(RecipeError, match="divide evenly") as error:
        network(backbone(width=10), ImageSpec(3, 4, 4, 2), ordering=ordering(2))
    assert "model.backbone.width" in str(error.value) and "width: 12" in str(error.value)


@pytest.mark.parametrize(("channels", "width", "expected"), [(1, 64, 64), (2, 64, 64), (3, 66, 66), (5, 65, 70)])
def test_the_base_that_is_left_out_fits_any_number_of_colour_groups(channels, width, expected):
    """A pixelcnn as it comes where that fits, as grey images have it."""
    plain = named("backbone", "multiscale", width=width, layers=1)
    net = network(plain, ImageSpec(channels, 4, 4, 2), ordering=ordering(2))
    assert net.ordering.groups == channels
    body = net.backbone.base.body
    assert type(body) is named("backbone", "pixelcnn").cls
    assert body.config == type(body).Config(width=expected)
    check_features(net)


def test_the_base_has_its_own_say():
    """A base that follows the raster alone is refused under another base ordering; one without context where it is."""
    spiral = ordering(4, base_ordering={"type": "spiral"})
    with pytest.raises(RecipeError, match="one scan"):
        network(backbone(base={"type": "pixelcnnpp"}), ImageSpec(1, 8, 8, 2), ordering=spiral)
    network(backbone(), ImageSpec(1, 8, 8, 2), ordering=spiral)


def test_a_base_that_takes_no_context_is_refused(monkeypatch):
    monkeypatch.setattr(named("backbone", "pixelcnn").cls, "conditional", False)
    parts = (ImageSpec(1, 4, 4, 2), ordering(2), InputConfig(), backbone(), named("head", "softmax"))
    with pytest.raises(RecipeError, match="base 'pixelcnn' takes no context"):
        assemble(*parts, conditioner=LabelContext(3, 2))
