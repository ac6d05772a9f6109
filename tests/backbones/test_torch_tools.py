"""What torch offers for any module works on every backbone: compiling, exporting, copying, wrapping, mapping.

Compiling takes seconds each: the plain suite tries one backbone, the long set all of them (PIXKIT_LONG=1).
"""

import copy
import io
import os
import pickle

import pytest
import torch
import torch.distributed as dist
from torch.func import functional_call, grad, vmap
from torch.nn.parallel import DistributedDataParallel

import pixkit
from pixkit.layers.modes import persistent_buffers
from pixkit.runs.checkpoint import load_model
from pixkit.samplers import Ancestral, Cached
from pixkit.testing import named, network, random_images, randomise
from pixkit.wrappers import unwrapped

LONG = os.environ.get("PIXKIT_LONG") == "1"
SPEC = pixkit.ImageSpec(1, 5, 6, 3)
PLAIN = {"type": "pixelcnn", "width": 4, "layers": 1, "first_kernel": 3, "output_layers": 1}
BACKBONES = {
    "pixelcnn": {key: value for key, value in PLAIN.items() if key != "type"},
    "gated_pixelcnn": {"width": 4, "layers": 2},
    "pixelcnnpp": {"filters": 4, "resnets": 1, "hierarchies": 2},
    "pixelsnail": {"width": 8, "blocks": 1, "residuals": 1, "key_width": 4},
    "local_pixelcnn": {"width": 4, "blocks": 1, "stages": 2},
    "row_lstm": {"units": 4, "layers": 1, "output_layers": 1},
    "diagonal_bilstm": {"units": 4, "layers": 1, "output_layers": 1},
    "multiscale": {"width": 6, "layers": 1, "base": PLAIN},
    "row_rnn": {"hidden_size": 4, "width": 4},
    "transformer": {"width": 4, "blocks": 1, "heads": 2},
}
COMPILED = list(BACKBONES) if LONG else ["pixelcnnpp"]
if not LONG:  # what is compiled outside the long set takes a second or two
    BACKBONES["pixelcnnpp"]["hierarchies"] = 1
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def network_of(name):
    joint = name in ("pixelcnnpp", "pixelsnail")
    ordering = "multiscale" if name == "multiscale" else "raster"
    options = {"base": 2} if name == "multiscale" else {"colours": "joint"} if joint else {}
    return network(named("backbone", name, **BACKBONES[name]), SPEC, ordering=named("ordering", ordering, **options))


def test_no_backbone_is_left_out():
    assert set(BACKBONES) == {entry.name for entry in pixkit.components.registry() if entry.kind == "backbone"}


@pytest.mark.long
@pytest.mark.parametrize("name", COMPILED)
def test_every_backbone_compiles_to_one_graph(name):
    net, x = network_of(name), random_images(SPEC, 3)
    torch.compiler.reset()
    with torch.no_grad():
        if name == "row_rnn":  # torch's own answer to its recurrent layers; elsewhere it leaves them as they are
            with pytest.raises(RuntimeError, match="RNN, GRU, or LSTM"):
                torch.compile(net, backend="eager", fullgraph=True)(x)
            assert torch.equal(torch.compile(net, backend="eager")(x), net(x))
            return
        assert torch.allclose(torch.compile(net, backend="eager", fullgraph=True)(x), net(x), rtol=0, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("name", COMPILED)
def test_every_backbone_is_exported_for_any_number_of_images(name):
    net = network_of(name)
    exported = torch.export.export(net, (random_images(SPEC, 3),), dynamic_shapes=({0: torch.export.Dim("images")},))
    for count in (2, 5):
        x = random_images(SPEC, count)
        assert torch.allclose(exported.module()(x), net(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_copied_and_pickled_by_those_who_want_to(name):
    net, x = network_of(name), random_images(SPEC, 3)
    net.log_prob(x).sum().backward()
    stored = io.BytesIO()
    torch.save(net, stored)
    stored.seek(0)
    others = copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.load(stored, weights_only=False)
    before = net(x)
    for other in others:
        assert torch.equal(other(x), before)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1)
        assert torch.equal(net(x), before) and not torch.equal(other(x), before)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_works_in_inference_mode_and_trains_after(name):
    net, x = network_of(name), random_images(SPEC, 3)
    with torch.inference_mode():
        found = net.log_prob(x)
        drawn = Cached(Cached.Config()).sample(net, pixkit.Noise(0, range(2)))
    assert found.is_inference() and len(drawn) == 2
    nats = net.log_prob(x)
    assert torch.equal(nats, found)
    nats.sum().backward()
    assert any(bool((parameter.grad != 0).any()) for parameter in net.parameters() if parameter.grad is not None)


def mapped(module, parameters, x):
    """The gradients of each image's output, by parameter."""
    return vmap(grad(lambda given, image: functional_call(module, given, (image[None],)).sum()), (None, 0))(
        parameters, x
    )


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch maps its own attention image by image
@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_of_each_image_are_mapped(name):
    net, x = network_of(name), random_images(SPEC, 3)

    class Scored(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net.log_prob(x)

    scored = Scored()
    parameters = dict(scored.named_parameters())
    if name == "row_rnn":  # torch's own answer to its recurrent layers, in float64 on a CPU
        with pytest.raises(RuntimeError, match="broadcast shape"):
            mapped(scored, parameters, x)
        return
    each = mapped(scored, parameters, x)
    net.log_prob(x[1:2]).sum().backward()
    for key, parameter in parameters.items():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(each[key][1], expected, rtol=1e-8, atol=1e-9), key
    assert set(each) == set(parameters)


@pytest.fixture
def alone(tmp_path):
    """A process group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


LATENT = {"type": "pixelvae", "backbone": PLAIN, "latent": 2, "features": 4, "encoder": {"width": 2, "hidden": 4}}


@pytest.mark.parametrize("section", [{"type": "autoregressive", "backbone": PLAIN}, LATENT], ids=["pixels", "latent"])
def test_a_model_trains_in_parallel_and_the_wrapped_network_is_proved_and_sampled(section, alone):
    model, x = pixkit.build_model(section, SPEC), random_images(SPEC, 4)
    randomise(model, seed=1)
    torch.manual_seed(0)
    wrapped = DistributedDataParallel(model)
    (-wrapped(x).mean()).backward()
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    torch.manual_seed(0)
    (-(model.bound(x) if model.has_latent else model.log_prob(x)).mean()).backward()
    assert all(torch.allclose(one, parameter.grad) for one, parameter in zip(found, model.parameters(), strict=True))
    assert unwrapped(wrapped) is model
    assert pixkit.verify(wrapped)["network"].verdict == "proved"


def test_a_compiled_network_is_proved_and_sampled_as_it_was():
    model = pixkit.build_model({"type": "autoregressive", "backbone": PLAIN}, SPEC).double().eval()
    randomise(model, seed=1)
    plain, drawn = model.network, model.sample(3)
    compiled = torch.compile(plain, backend="eager")
    assert unwrapped(compiled) is plain
    assert pixkit.verify(compiled)["network"].verdict == "proved"
    cached, ancestral = Cached(Cached.Config()), Ancestral(Ancestral.Config())
    for sampler in (cached, ancestral):
        assert torch.equal(sampler.sample(compiled, pixkit.Noise(0, range(3))), drawn)
    assert (
        cached.draw(compiled, pixkit.Noise(0, range(3))).summary
        == cached.draw(plain, pixkit.Noise(0, range(3))).summary
    )
    model.network = compiled
    assert list(pixkit.verify(model)) == ["network"]
    for verb in (lambda given: pixkit.sample(given, 3), lambda given: pixkit.complete(given, drawn[:1], drawn[0] > 9)):
        assert repr(verb(torch.compile(model, backend="eager"))) == repr(verb(model))
    assert {name: report.verdict for name, report in model.verify().items()} == {"network": "proved"}
    assert torch.equal(model.sample(3), drawn)
    plain.compile(backend="eager")
    model.network = plain
    assert model.verify()["network"].verdict == "proved" and torch.equal(model.sample(3), drawn)


@pytest.mark.parametrize(("section", "parts"), [
    ({"type": "autoregressive", "backbone": PLAIN}, ["network"]),
    ({"type": "autoregressive", "backbone": PLAIN}, ["network", "network.backbone"]),
    ({"type": "order_agnostic", "backbone": {"type": "local_pixelcnn", "width": 4, "blocks": 1},
      "orderings": ["raster", "snake"]}, ["networks.0"]),
], ids=["network", "nested", "shared"])  # fmt: skip
def test_a_state_has_the_same_names_whatever_is_compiled_and_is_loaded_by_either(section, parts):
    plain, compiled = (pixkit.build_model(section, SPEC) for _ in range(2))
    buffers = list(persistent_buffers(plain))
    randomise(plain, seed=1)
    for part in reversed(parts):
        owner, _, name = part.rpartition(".")
        inner = compiled.get_submodule(part)
        setattr(compiled.get_submodule(owner), name, torch.compile(inner, backend="eager"))
    assert any("_orig_mod" in name for name, _ in compiled.named_parameters())
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert len(persistent_buffers(compiled)) == len(buffers)
    saved = dict(plain.state_dict())
    former = {name.replace("network.", "network._orig_mod.", 1): value for name, value in saved.items()}
    for state in (saved, former, {f"_orig_mod.{name}": value for name, value in saved.items()}):
        randomise(compiled, seed=2)
        load_model(compiled, state, "here")
        compiled.load_state_dict(state)
        found = compiled.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in saved.items())
    whole = torch.nn.ModuleDict({"model": torch.compile(compiled, backend="eager")})
    randomise(plain, seed=3)
    whole.load_state_dict({f"model._orig_mod.{name}": value for name, value in plain.state_dict().items()})
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in compiled.state_dict().items())
    whole.load_state_dict(whole.state_dict())
    with pytest.raises(RuntimeError, match="Unexpected key"):
        compiled.load_state_dict({**saved, "networkk.weight": torch.zeros(1)})
    with pytest.raises(pixkit.CheckpointError, match="is missing"):
        load_model(compiled, dict(list(saved.items())[1:]), "here")
