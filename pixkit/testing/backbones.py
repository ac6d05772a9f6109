"""The contract of backbones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.backbones.conditions import Conditions
from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec
from pixkit.context import LABEL, ContextSpec
from pixkit.errors import RecipeError, message
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.testing.causality import check_causality, check_gradients, check_some, moves
from pixkit.testing.configs import check_config
from pixkit.testing.likelihood import check_normalised, check_sampling
from pixkit.testing.parts import COLOUR, GREY, TINY, built_context, named, network, random_images
from pixkit.testing.samplers import check_drawing
from pixkit.training.precision import Arithmetic

ODD = (ImageSpec(1, 1, 1, 2), ImageSpec(3, 5, 1, 4), ImageSpec(1, 7, 3, 256))
"""Sizes that are easily forgotten."""
WIDE = ImageSpec(1, 8, 9, 2)
"""A size with more scales, and wider than most kernels."""
FEW = 256
"""Number of images drawn to measure frequencies; causality has been checked by then."""
KINDS = (ContextSpec("vector", (2,)), ContextSpec("image", (1, 1, 2), 3), ContextSpec("codes", (2, 1), 3))
"""Arrays beside an image of 2x2 sites, each for the conditioner of its name."""


def check_backbone(backbone: ComponentSpec, orderings: Iterable[ComponentSpec] | None = None) -> None:
    """Check everything that pixkit requires of a backbone, under each of the orderings.

    Its configuration survives a round trip. Under each ordering, grey and colour: no sub-pixel sees one that is not
    drawn earlier, by exhaustive swaps and by gradients, also with one-hot levels, at a larger size, and with the
    ordering turned and mirrored, unless the backbone refuses that; all probabilities sum to 1; samples follow them with
    any sampler; images do not mix; every parameter is trained; weights can be saved and loaded; any size works. A
    backbone that can be conditioned is checked with vectors and feature maps, and with a label, a vector, an image and
    codes at once.

    Args:
        backbone: the component; keep it small, since it runs thousands of times.
        orderings: the orderings to check; by default all registered ones, except those that the backbone refuses.

    Raises:
        AssertionError: saying which promise fails.
        RecipeError: if the backbone refuses a given ordering.
    """
    check_config(backbone)
    asked = list(orderings) if orderings is not None else supported_orderings(backbone)
    for ordering in asked:
        for spec in ODD:
            check_features(network(backbone, spec, ordering=ordering))
        for spec in (GREY, COLOUR):
            net = network(backbone, spec, ordering=ordering)
            check_features(net)
            check_batches(net)
            check_gradients(net, check_causality(net))
            check_causality(network(backbone, spec, ordering=ordering, inputs=named("encoding", "one_hot")), images=2)
            check_save_load(net, network(backbone, spec, ordering=ordering, seed=1))
            check_drawing(net)
            check_trains(net)
        _check_turned(backbone, ordering)
        for spec in TINY:
            net = network(backbone, spec, ordering=ordering)
            check_normalised(net)
            check_sampling(net, count=FEW)
        if backbone.cls.conditional:
            check_conditional(backbone, ordering)
        if backbone.cls.reorders:
            check_reorders(backbone, ordering)
    for ordering in asked[:1]:
        check_some(network(backbone, WIDE, ordering=ordering), 24)
    if backbone.cls.conditional and asked:
        check_conditions(backbone, asked[0])


def _check_turned(backbone: ComponentSpec, ordering: ComponentSpec) -> None:
    """A backbone that accepts the ordering's symmetries respects them: not only the order in which rows are read."""
    try:
        net = network(backbone, GREY, ordering=_turned(ordering, "transpose", "flip_horizontal", "flip_vertical"))
    except RecipeError:
        return
    check_causality(net, images=2)


def check_conditional(backbone: ComponentSpec, ordering: ComponentSpec) -> None:
    """A shorter check of a backbone conditioned on a label, on a vector, and on feature maps.

    Every prediction depends on all of the context that it may: each entry of a vector, and feature maps at its own
    site.
    """
    for spec, sites in ((GREY, (1, 1)), (COLOUR, (COLOUR.height, COLOUR.width))):
        context = FeatureContext(3, sites)
        net, other = (network(backbone, spec, ordering=ordering, conditioner=context, seed=k) for k in (0, 1))
        check_features(net)
        check_batches(net)
        check_causality(net, images=2)
        check_context([net, other])
        check_drawing(net)
        check_trains(net)
    # At the usual gain, a label's vector gives one image nearly all the probability, so that the sum tells nothing.
    tiny = network(backbone, TINY[0], ordering=ordering, conditioner=LabelContext(3, 2), gain=1.0)
    check_normalised(tiny)
    check_sampling(tiny, count=FEW)


def check_conditions(backbone: ComponentSpec, ordering: ComponentSpec) -> None:
    """A backbone given a label, a vector, an image and codes at once, as a recipe's list of conditions.

    No sub-pixel sees one that is not drawn earlier, cached sampling draws the same as ancestral sampling, and every
    prediction depends on each of the conditions.
    """
    image = ImageSpec(1, 2, 2, 2, context=KINDS)
    kinds = [named("conditioner", LABEL, size=2), named("conditioner", "vector", **{"from": "vector", "size": 2})]
    kinds += [named("conditioner", kind, **{"from": kind, "size": 2, "layers": 1}) for kind in ("image", "codes")]
    net = network(backbone, image, ordering=ordering, conditioner=Conditions(kinds, image, 3))
    check_causality(net)
    check_drawing(net)
    conditions: Conditions = net.conditioner  # type: ignore[assignment]
    x, before = random_images(image, 8), conditions.example(8)
    for name in conditions.names:
        after = before.clone()
        place = conditions.places[name]
        size = next((array.size for array in KINDS if array.name == name), 1)
        after[:, place : place + size] = (after[:, place : place + size] + 1) % 3
        moved = moves(net, (x, before), (x, after)).any(0)
        assert moved.all(), f"the condition {name} has no effect on some prediction"


def check_reorders(backbone: ComponentSpec, ordering: ComponentSpec) -> None:
    """Under another ordering the network has the same parameters, and equals one that was built for it."""
    backwards = _turned(ordering, "flip_horizontal", "flip_vertical")
    for spec in (GREY, COLOUR):
        net, other = (network(backbone, spec, ordering=one, seed=k) for k, one in enumerate((ordering, backwards)))
        x = random_images(spec, 3)
        with torch.no_grad():
            before = net(x)
            turned = net.under(other.ordering)
            other.load_state_dict(net.state_dict())
            assert torch.equal(turned(x), other(x)), (
                "`under` returns a network that differs from one built for the ordering"
            )
            assert torch.equal(net(x), before), "`under` changes the network that it is called on"
        assert turned.ordering is other.ordering, "`under` returns a network of another ordering"
        pairs = itertools.zip_longest(net.parameters(), turned.parameters())
        assert all(one is same for one, same in pairs), "`under` returns a network with other parameters"


def _turned(ordering: ComponentSpec, *keys: str) -> ComponentSpec:
    """The ordering with some of its symmetries reversed; with both flips, rotated by 180 degrees."""
    turned = {key: not getattr(ordering.config, key) for key in keys}
    return replace(ordering, config=ordering.config.model_copy(update=turned))


def check_context(nets: Sequence[Autoregressive]) -> None:
    """Changing any map of the context, at any site, changes the predictions at that site.

    The networks differ only in their weights; an effect that no weights let through shows in none of them.
    """
    x, before = random_images(nets[0].spec, 8), nets[0].example_context(8)
    assert before is not None, "the networks take no context"
    entries = list(itertools.product(*map(range, before.shape[1:])))
    x, before = (of_each.repeat(len(entries), 1, 1, 1) for of_each in (x, before))
    after = before.clone()
    for changed, (entry, row, column) in zip(after.chunk(len(entries)), entries, strict=True):
        changed[:, entry, row, column] += 1.0
    moved = torch.stack([moves(net, (x, before), (x, after)) for net in nets]).any(0).unflatten(0, (len(entries), -1))
    for (entry, row, column), seen in zip(entries, moved.any(1), strict=True):
        own = seen if tuple(before.shape[2:]) == (1, 1) else seen[:, row, column]
        assert own.all(), f"map {entry} of the context has no effect on some prediction at its site"


def supported_orderings(backbone: ComponentSpec) -> list[ComponentSpec]:
    """The registered orderings that a backbone accepts; it must accept one, and give a reason for refusing others."""
    found = []
    for name in registry().names("ordering"):
        ordering = named("ordering", name)
        try:
            network(backbone, GREY, ordering=ordering)
        except RecipeError as error:
            assert len(str(error)) > 20, f"the ordering {name} is refused without a reason"
            continue
        found.append(ordering)
    assert found, f"{backbone.name} refuses every ordering"
    return found


def check_features(net: Autoregressive) -> None:
    """Features have `width` maps at every site, the input's precision, and the same bits every time."""
    spec, backbone = net.spec, net.backbone
    assert backbone.width % net.ordering.groups == 0, f"width {backbone.width} is not a multiple of the colour groups"
    x = random_images(spec, 3)
    with torch.no_grad():
        context = built_context(net, len(x))
        features = backbone(net.encoding(x), *context)
        expected = (3, backbone.width, spec.height, spec.width)
        assert tuple(features.shape) == expected, f"features {tuple(features.shape)}, expected {expected}"
        assert features.dtype == torch.float64, f"float64 pixels give {features.dtype} features"
        assert torch.equal(backbone(net.encoding(x), *context), features), (
            "the same images give other features the second time"
        )


def check_batches(net: Autoregressive) -> None:
    """An image's features depend on that image only, up to rounding; an empty batch gives empty features."""
    x, context = random_images(net.spec, 4), net.example_context(4)
    with torch.no_grad():
        whole = net(x, context)
        for i in range(4):
            alone = net(x[i : i + 1], None if context is None else context[i : i + 1])[0]
            assert torch.allclose(alone, whole[i], rtol=0, atol=1e-9), "images in a batch mix"
        try:
            nothing = net(x[:0], None if context is None else context[:0])
        except Exception as error:  # for example with -1 in `view`, which is then ambiguous
            raise AssertionError(f"an empty batch fails: {message(error)}") from error
        assert tuple(nothing.shape) == (0, *whole.shape[1:]), "an empty batch gives another shape"


def check_trains(net: Autoregressive) -> None:
    """In train mode, in float32, bf16, and bf16 with channels last, every parameter has a finite gradient.

    The network is left in train mode and float32.
    """
    net.train().float()
    x, context = random_images(net.spec, 4), net.example_context(4)
    for arithmetic in (Arithmetic(), Arithmetic("bf16"), Arithmetic("bf16", "channels_last")):
        net.zero_grad()
        with arithmetic.forward(x.device):
            loss = -net.log_prob(x, context).mean()
        loss.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, f"the parameter {name} takes no part in the loss"
            assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"


def check_save_load(net: nn.Module, again: nn.Module) -> None:
    """Saving tensors and loading them into a second module of the same recipe makes the two equal."""
    again.load_state_dict(load_tensors(save_tensors({k: v.contiguous() for k, v in net.state_dict().items()})))
    x = random_images(net.spec, 3)  # type: ignore[arg-type]
    inputs = (x, net.example_context(3)) if isinstance(net, Autoregressive) else (x,)
    with torch.no_grad():
        assert torch.equal(net(*inputs), again(*inputs)), "a saved and loaded network gives other parameters"
