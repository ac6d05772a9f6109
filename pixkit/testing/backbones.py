"""The contract of backbones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from pixkit.autoregressive import Autoregressive
from pixkit.backbone import InputConfig
from pixkit.component import ComponentSpec
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.plugins import registry
from pixkit.testing.causality import check_causality, check_gradients
from pixkit.testing.configs import check_config
from pixkit.testing.likelihood import check_normalised, check_sampling
from pixkit.testing.parts import COLOUR, GREY, TINY, named, network, random_images
from pixkit.testing.samplers import check_agreement

ODD = (ImageSpec(1, 1, 1, 2), ImageSpec(3, 5, 1, 4), ImageSpec(1, 7, 3, 256))
"""Sizes that are easily forgotten."""


def check_backbone(backbone: ComponentSpec, orderings: Iterable[ComponentSpec] | None = None) -> None:
    """Everything that pixkit promises of a backbone, for each of the orderings.

    Its configuration survives a round trip. Under each ordering, grey and colour: no sub-pixel sees one that is not
    drawn earlier, by exhaustive swaps and by gradients, also with one-hot levels; all probabilities sum to 1; samples
    follow them, whichever sampler draws; images do not mix; every parameter is trained; weights can be saved and
    loaded; any size works.

    Args:
        backbone: the component, small: the checks run it thousands of times.
        orderings: those to check; if left out all registered ones, but for those that the backbone refuses.

    Raises:
        AssertionError: saying what does not hold.
        RecipeError: if the backbone refuses an ordering that was given.
    """
    check_config(backbone)
    for ordering in list(orderings) if orderings is not None else supported_orderings(backbone):
        for spec in (GREY, COLOUR):
            net = network(backbone, spec, ordering=ordering)
            check_features(net)
            check_gradients(net, check_causality(net))
            check_causality(network(backbone, spec, ordering=ordering, inputs=InputConfig(type="one_hot")), images=2)
            check_save_load(net, network(backbone, spec, ordering=ordering, seed=1))
            check_batches(net)
            check_agreement(named("sampler", "auto"), net)
            check_trains(network(backbone, spec, ordering=ordering))
        for spec in TINY:
            net = network(backbone, spec, ordering=ordering)
            check_normalised(net)
            check_sampling(net, count=1024)
        for spec in ODD:
            check_features(network(backbone, spec, ordering=ordering))


def supported_orderings(backbone: ComponentSpec) -> list[ComponentSpec]:
    """The registered orderings that a backbone does not refuse; it must take one and say why it refuses the others."""
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
    """`width` maps of features at every site, in the precision of the input, the same bits every time."""
    spec, backbone = net.spec, net.backbone
    assert backbone.width % net.ordering.groups == 0, f"width {backbone.width} is no multiple of the colour groups"
    x = random_images(spec, 3)
    with torch.no_grad():
        features = backbone(net.encoding(x))
        expected = (3, backbone.width, spec.height, spec.width)
        assert tuple(features.shape) == expected, f"features {tuple(features.shape)}, expected {expected}"
        assert features.dtype == torch.float64, f"float64 pixels became {features.dtype} features"
        assert torch.equal(backbone(net.encoding(x)), features), "the same images twice give other features"


def check_batches(net: Autoregressive) -> None:
    """An image's features depend on that image alone, up to rounding; no images give no features."""
    x = random_images(net.spec, 4)
    with torch.no_grad():
        whole = net(x)
        for i in range(4):
            assert torch.allclose(net(x[i : i + 1])[0], whole[i], rtol=0, atol=1e-9), "images of a batch mix"
        assert tuple(net(x[:0]).shape) == (0, *whole.shape[1:]), "an empty batch gives another shape"


def check_trains(net: Autoregressive) -> None:
    """In train mode and float32, plain and under bfloat16 autocast, every parameter has a finite gradient."""
    net.train().float()
    x = random_images(net.spec, 4)
    for enabled in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = -net.log_prob(x).mean()
        loss.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, f"the parameter {name} takes no part in the loss"
            assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"


def check_save_load(net: nn.Module, again: nn.Module) -> None:
    """Tensors saved and loaded into a second module of the same recipe leave no difference between the two."""
    again.load_state_dict(load_tensors(save_tensors({k: v.contiguous() for k, v in net.state_dict().items()})))
    x = random_images(net.spec, 3)  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(net(x), again(x)), "a saved and loaded network gives other parameters"
