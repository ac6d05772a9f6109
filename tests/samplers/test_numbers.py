"""Numbers that would draw black images, or none, are refused by whoever draws; those next to them are not."""

import math

import pytest
import torch

import pixkit
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.memory import Room, guard
from pixkit.models.request import SampleRequest
from pixkit.noise import Noise
from pixkit.samplers import SAMPLERS, batch, sampler_for
from pixkit.samplers.guidance import Guided
from pixkit.testing import GREY, named, network, plain_backbone

SPEC = ImageSpec(1, 4, 4, 5)
SMALL = {"type": "pixelcnn", "width": 6, "layers": 1, "output_layers": 1}
TEMPERATURES = [math.nan, math.inf, -math.inf, 0, -1.0, 1e-320, 1e-39, 1e39, 1e308, "1", None]
GUIDANCES = [math.nan, math.inf, -math.inf, 1e30, "1"]


def trained(name="autoregressive", **config):
    """A model whose weights are large, so that no level is likeliest everywhere."""
    torch.manual_seed(0)
    model = named("model", name, backbone=SMALL, **config).build(SPEC).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_temperature_that_logits_cannot_be_divided_by(temperature):
    noise, net = Noise(0, range(2)), network(plain_backbone(), GREY)
    for name in SAMPLERS:
        with pytest.raises(UsageError, match="temperature: out of range"):
            sampler_for(name).draw(net, noise, temperature=temperature)
    with pytest.raises(UsageError, match="temperature: out of range"):
        SampleRequest(noise, sampler_for("auto"), temperature)
    vae = trained("pixelvae", latent=2)
    with pytest.raises(UsageError, match="temperature: out of range"):
        vae.draw_from(vae.latents([noise]), noise, temperature=temperature)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_guidance_that_log_probabilities_cannot_be_multiplied_by(guidance):
    with pytest.raises(UsageError, match="guidance: out of range"):
        Guided(sampler_for("auto"), guidance, torch.tensor([0]))
    with pytest.raises(UsageError, match="guidance: out of range"):
        SampleRequest(Noise(0, range(2)), sampler_for("auto"), guidance=guidance)


@pytest.mark.parametrize("size", [0, -1, 1.5, math.nan])
def test_a_batch_size_that_would_draw_nothing(size):
    with pytest.raises(UsageError, match="batch_size: out of range"):
        sampler_for("auto").draw(network(plain_backbone(), GREY), Noise(0, range(2)), batch_size=size)


@pytest.mark.parametrize("options", [{"temperature": value} for value in TEMPERATURES[:-1]]
                         + [{"guidance": value} for value in GUIDANCES]
                         + [{"batch_size": 0}, {"n": -1}, {"n": 1.5}, {"seed": 1.5}], ids=str)  # fmt: skip
def test_the_verb_refuses_them_of_codes_too(options):
    given = {"n": 2, "vary": "latent", **options}
    if "guidance" in options:
        del given["vary"]
    with pytest.raises(UsageError, match="out of range"):
        pixkit.sample(trained("pixelvae", latent=2), given.pop("n"), **given)


@pytest.mark.parametrize("head", ["softmax", "logistic_mixture"])
def test_the_coldest_and_the_hottest_draw_what_their_neighbours_draw(head):
    model = trained(head=head)
    for edge, near in ((1e-20, 1e-12), (1e20, 1e12)):
        for sampler in SAMPLERS:
            drawn = model.sample(4, temperature=edge, sampler=sampler)
            assert torch.equal(drawn, model.sample(4, temperature=near, sampler="ancestral"))
            assert drawn.any(), "not black"


def test_the_strongest_guidance_draws_levels_that_neither_end_of_its_range_spoils():
    torch.manual_seed(0)
    model = named("model", "autoregressive", backbone=SMALL, context={"type": "label", "dropout": 0.1}).build(SPEC, 3)
    for parameter in model.eval().parameters():
        torch.nn.init.normal_(parameter)
    for weight in (1e6, -1e6):
        drawn = model.sample(4, guidance=weight, temperature=1e-20)
        assert drawn.any(), "not black"
        assert torch.equal(drawn, model.sample(4, guidance=weight, temperature=1e-3))


@pytest.mark.parametrize("name", ["ancestral", "fixed_point"])
def test_nobody_asks_whether_64_images_fit_and_of_more_a_forward_pass_is_forecast(name, monkeypatch):
    asked, forecast, net = [], batch.forecast, network(plain_backbone(), ImageSpec(1, 1, 2, 2))
    monkeypatch.setattr(
        batch, "forecast", lambda work, images, device: asked.append(images) or forecast(work, 2, device)
    )
    monkeypatch.setattr(guard, "available", lambda device: Room("the machine", 1, 1 << 30))
    sampler_for(name).draw(net, Noise(0, range(64)))
    sampler_for(name).draw(net, Noise(0, range(65)), batch_size=33)
    assert not asked
    assert len(sampler_for(name).draw(net, Noise(0, range(65))).images) == 65, "a little always fits"
    monkeypatch.setattr(guard, "LITTLE", 0)
    with pytest.raises(UsageError, match="would not fit") as caught:
        sampler_for(name).draw(net, Noise(0, range(65)))
    assert asked == [65, 65] and caught.value.where == "batch_size"
    assert caught.value.found.startswith("65 images at a time: ") and "batch_size" in caught.value.hint


@pytest.mark.filterwarnings("ignore:images are drawn without compiled code")
@pytest.mark.parametrize("compiler", [None, "/nonexistent"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_network_that_is_being_trained_draws_as_in_evaluation_mode(name, compiler, monkeypatch):
    """It drew under dropout where no kernel did the work."""
    if compiler is not None:
        monkeypatch.setenv("CC", compiler)
    backbone = named("backbone", "pixelcnnpp", filters=4, resnets=1, hierarchies=1, dropout=0.5)
    net, sampler = network(backbone, SPEC), sampler_for(name)
    expected = sampler.draw(net, Noise(0, range(3))).images
    net.backbone.train()
    assert torch.equal(sampler.draw(net, Noise(0, range(3))).images, expected)
    assert net.backbone.training and not net.training
