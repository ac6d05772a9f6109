"""Activations, norms, initialisers and encodings of plugins, in pixkit's own backbones and models."""

import pytest
import torch
from pydantic import Field
from torch import nn

import pixkit
from pixkit.codec.freezing import freeze
from pixkit.components.plugins import plugins
from pixkit.layers import PointwiseLayer, SiteRMSNorm
from pixkit.readiness.check import verify
from pixkit.readiness.trace import Trace
from pixkit.testing import component, named, network
from pixkit.testing.samplers import check_drawing


class Swish(pixkit.Activation):
    """x sigmoid(beta x), where beta is learned."""

    class Config(pixkit.ComponentConfig):
        """One key."""

        beta: float = Field(1.0, ge=0)
        """What beta begins as."""

    def __init__(self, config=None):
        super().__init__(config)
        self.beta = nn.Parameter(torch.tensor(self.config.beta))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


class Odd(pixkit.Activation, PointwiseLayer):
    """x, or a tenth of it, and its size up to 2: of operations that readiness does not know."""

    def maps(self, maps):
        return 2 * maps

    def forward(self, x):
        return torch.cat([torch.where(x > 0, x, x / 10), x.abs().clamp_max(2)], 1)


class Centred(pixkit.Norm):
    """RMS norm over a site's maps, of one colour group."""

    def layer(self, maps, groups):
        assert groups == 1
        return SiteRMSNorm(maps)


class Halves(pixkit.Initialiser):
    """Plus or minus the same number."""

    def fill(self, weight, fan_in, fan_out):
        nn.init.uniform_(weight, -1, 1).sign_().mul_(fan_in**-0.5)


class Thermometer(pixkit.Encoding):
    """Whether a level is at least each of 1..K-1."""

    def __init__(self, config, image):
        super().__init__(config, image, image.levels - 1)
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x):
        reached = x[:, None] >= torch.arange(1, self.image.levels, device=x.device)[:, None, None, None]
        return (reached * self.one).flatten(1, 2)


MINE = {
    "activation": {"swish": Swish, "odd": Odd},
    "norm": {"centred": Centred},
    "initialiser": {"halves": Halves},
    "encoding": {"thermometer": Thermometer},
}


@pytest.fixture(autouse=True)
def registered():
    """They are brought by a distribution."""
    registrar = pixkit.Registrar("parts", "3")
    for kind, classes in MINE.items():
        for name, cls in classes.items():
            registrar.add(kind, name, cls)
    plugins().registry.extend(registrar.entries)
    yield
    plugins().registry.withdraw(registrar.entries)


GREY = pixkit.ImageSpec(1, 2, 3, 3)
SMALLEST = {"layers": 1, "output_layers": 0, "first_kernel": 3, "width": 2}
BACKBONES = {
    "pixelcnn": SMALLEST,
    "local_pixelcnn": {"stages": 1, "blocks": 1, "norm": "none"},
    "pixelcnnpp": {"hierarchies": 1, "resnets": 1},
}


@pytest.mark.parametrize(
    ("name", "activation"),
    [("pixelcnn", "odd"), ("local_pixelcnn", "odd"), ("pixelcnnpp", {"type": "swish", "beta": 2.0})],
)
def test_an_activation_works_in_every_backbone_that_takes_one(name, activation):
    width = {"pixelcnnpp": "filters"}.get(name, "width")
    backbone = named("backbone", name, activation=activation, **{**BACKBONES[name], width: 2})
    net = network(backbone, GREY)
    assert verify(net).output == "projection", "proved"
    check_drawing(net)


SECTION = {
    "type": "autoregressive",
    "input": "thermometer",
    "backbone": {
        **{"type": "pixelcnn", "width": 4, "layers": 1, "output_layers": 0, "first_kernel": 3},
        **{"activation": {"type": "swish", "beta": 1.5}, "norm": "centred", "init": "halves"},
    },
}


def test_a_model_of_such_parts_is_trained_kept_and_drawn_from(tmp_path):
    x = torch.arange(120).remainder(5).view(12, 1, 2, 5)
    recipe = {"model": SECTION, "train": {"steps": 2, "batch_size": 4, "ema": 0}, "sample": {"count": 1}}
    result = pixkit.train(recipe, tmp_path / "run", images=x, levels=5)
    model = pixkit.load(tmp_path / "run")
    said = result.run.recipe().dump()["model"]
    assert said["input"] == "parts:thermometer"
    assert said["backbone"] | {"activation": {"type": "parts:swish", "beta": 1.5}} == said["backbone"]
    assert (said["backbone"]["norm"], said["backbone"]["init"]) == ("parts:centred", "parts:halves")
    betas = [value for name, value in model.state_dict().items() if name.endswith("beta")]
    assert len(betas) == 4 and all(0 < abs(float(beta) - 1.5) < 0.1 for beta in betas), "each is trained"
    assert model.sample(2, seed=0).shape == (2, 1, 2, 5)
    assert freeze(model.network).levels == 5, "and has a codec"


def test_why_compiled_code_does_not_draw_and_there_is_no_codec_is_said():
    net = network(named("backbone", "pixelcnn", activation="odd", **SMALLEST), GREY)
    summary = named("sampler", "cached").build().draw(net, pixkit.Noise(0, range(1))).summary
    assert "cached sampling by the executor eager" in summary
    assert "no instruction for backbone.body.1.layers.0 (Odd)" in summary
    with pytest.raises(pixkit.UsageError, match="there is no codec for such a model") as error:
        freeze(net.float())
    assert error.value.found == "no instruction for backbone.body.1.layers.0 (Odd)"


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x - x.mean((2, 3), True),
        lambda x: x - x[:1],
        lambda x: x.roll(1, 3),
    ],
    ids=["mean", "first", "roll"],
)
def test_an_activation_that_says_that_it_keeps_sites_apart_and_does_not_is_not_believed(mixed):
    class Wrong(pixkit.Activation, PointwiseLayer):
        """Mixes sites or images."""

        def forward(self, x):
            return mixed(x)

    net = network(named("backbone", "pixelcnn", activation=component("activation", Wrong), **SMALLEST), GREY)
    operations = Trace(net).operations.values()
    assert [each.kind for each in operations if isinstance(each.module, Wrong)] == ["all"] * 4


def test_a_norm_that_gives_no_module_and_an_encoding_without_maps_are_told_so():
    class Nothing(pixkit.Norm):
        """A norm that gives nothing."""

        def layer(self, maps, groups):
            return None

    class Mapless(Thermometer):
        """An encoding that does not say its maps."""

        def __init__(self, config, image):
            super().__init__(config, image)
            del self.maps

    backbone = {**BACKBONES["local_pixelcnn"], "width": 2, "norm": component("norm", Nothing)}
    with pytest.raises(pixkit.PluginError, match="gives no module") as error:
        network(named("backbone", "local_pixelcnn", **backbone), GREY)
    assert error.value.found == "layer(2, 1) gives NoneType"
    with pytest.raises(pixkit.PluginError, match="does not say its maps"):
        network(named("backbone", "pixelcnn"), GREY, inputs=component("encoding", Mapless))
