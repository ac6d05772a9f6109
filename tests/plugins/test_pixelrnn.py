"""What the Row LSTM and the Diagonal BiLSTM share: the contract, checkpointing, skips, and what they refuse."""

import pytest
import torch
from turned import TURNED

from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.testing import (
    COLOUR,
    GREY,
    check_backbone,
    check_causality,
    check_gradients,
    named,
    network,
    random_images,
)
from pixkit.testing.samplers import check_drawing

NAMES = ["row_lstm", "diagonal_bilstm"]
SMALL = {"units": 6, "layers": 1, "output_layers": 1}
both = pytest.mark.parametrize("name", NAMES)


@both
def test_contract(name):
    check_backbone(named("backbone", name, **SMALL), [named("ordering", "raster", colours="joint")])


@both
def test_contract_of_a_turned_one(name):
    ordering = named("ordering", "raster", transpose=True, flip_horizontal=True, colours="sequential")
    check_backbone(named("backbone", name, **SMALL), [ordering])


@both
@pytest.mark.long
@pytest.mark.parametrize("turned", TURNED, ids=str)
def test_the_eight_rasters(name, turned):
    ordering = named("ordering", "raster", **turned)
    for spec in (GREY, COLOUR):
        net = network(named("backbone", name, units=6, layers=2, skip=True), spec, ordering=ordering)
        check_gradients(net, check_causality(net, images=2))
        check_drawing(net)


@both
def test_other_orderings_are_refused(name):
    for ordering in ("snake", "diagonal"):
        with pytest.raises(RecipeError, match="follows one scan"):
            network(named("backbone", name), ImageSpec(1, 4, 4, 2), ordering=named("ordering", ordering))


@both
@pytest.mark.parametrize(("key", "value"), [("units", 16), ("output_width", 32)])
def test_widths_that_do_not_divide_are_refused(name, key, value):
    with pytest.raises(RecipeError, match="divide evenly") as error:
        network(named("backbone", name, **{"units": 15, "output_width": 30, key: value}), ImageSpec(3, 4, 4, 4))
    assert f"{key}: {value + -value % 3}" in str(error.value)


@both
@pytest.mark.parametrize("conditional", [False, True])
def test_checkpointing_computes_again_and_gives_the_same_gradients(name, conditional):
    from pixkit.backbones.conditioners import FeatureContext

    conditioner = FeatureContext(2, (1, 1)) if conditional else None
    gradients, calls = [], []
    for checkpointing in (False, True):
        config = {"units": 6, "layers": 3, "checkpointing": checkpointing}
        net = network(named("backbone", name, **config), ImageSpec(1, 5, 6, 2), conditioner=conditioner).train()
        count = [0]
        net.backbone.lstms[1].register_forward_pre_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        net.log_prob(random_images(net.spec, 4), net.example_context(4)).sum().backward()
        gradients.append({key: p.grad for key, p in net.named_parameters()})
        calls.append(count[0])
    assert calls == [1, 2]
    for key, gradient in gradients[0].items():
        assert torch.allclose(gradients[1][key], gradient, rtol=1e-12, atol=1e-14), key


@both
def test_skips_carry_each_layers_states_to_the_output(name):
    """With the residual path past a layer cut, its skip alone still carries it."""
    spec = ImageSpec(1, 4, 5, 2)
    net = network(named("backbone", name, units=4, layers=3, skip=True), spec)
    assert [tuple(skip.weight.shape) for skip in net.backbone.skips] == [(8, 4, 1, 1)] * 3
    x = random_images(spec, 8)
    with torch.no_grad():
        for up in net.backbone.ups:
            up.weight.zero_()
        before = net(x)
        for skip in net.backbone.skips:
            kept = skip.weight.clone()
            skip.weight.zero_()
            assert not torch.allclose(net(x), before)
            skip.weight.copy_(kept)


@both
def test_without_output_layers_the_features_are_the_streams(name):
    net = network(named("backbone", name, units=4, layers=1, output_layers=0), ImageSpec(1, 3, 4, 2))
    assert net.backbone.width == 8
    check_causality(net)


@both
def test_forget_gates_start_open(name):
    """The bias of the second quarter of the gates, and of no other."""
    from pixkit.backbones.encodings import InputConfig
    from pixkit.network import assemble

    parts = (named("ordering", "raster"), InputConfig(), named("backbone", name, units=4, layers=2, forget_bias=1.5))
    net = assemble(ImageSpec(1, 4, 4, 2), *parts, named("head", "softmax"))
    biases = [p for key, p in net.named_parameters() if key.endswith("read.bias")]
    assert len(biases) == 2 * (1 if name == "row_lstm" else 2)
    for bias in biases:
        assert bias.tolist() == [0.0] * 4 + [1.5] * 4 + [0.0] * 8
