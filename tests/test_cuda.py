"""The same numbers on a GPU as on the CPU."""

import pytest
import torch

from pixkit.image import Batch, ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Known
from pixkit.tasks.complete import complete
from pixkit.tasks.masks import keep_edge
from pixkit.testing import named, network, randomise

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

SPEC = ImageSpec(3, 5, 6, 8)
ORDERINGS = ["raster", "hilbert", "checkerboard"]


def pair(ordering, dtype=torch.float64):
    """The same network on both devices."""
    backbone = named("backbone", "pixelcnn", width=12, layers=2, output_layers=1)
    nets = [network(backbone, SPEC, ordering=named("ordering", ordering)).to(dtype) for _ in range(2)]
    return nets[0], nets[1].cuda()


def some_images(count):
    return torch.randint(SPEC.levels, (count, *SPEC.shape), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_log_prob_agrees(ordering):
    cpu, cuda = pair(ordering)
    x = some_images(5)
    with torch.no_grad():
        assert torch.allclose(cuda.log_prob(x.cuda()).cpu(), cpu.log_prob(x), rtol=1e-10)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_samples_agree_bit_for_bit_in_float64(ordering):
    sampler, noise = Ancestral(Ancestral.Config()), Noise(1, range(4))
    drawn = [sampler.sample(net, noise) for net in pair(ordering)]
    assert drawn[1].device.type == "cuda"
    assert torch.equal(drawn[0], drawn[1].cpu())


def test_known_values_may_stay_on_the_cpu():
    mask = torch.rand(SPEC.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    known = Known(mask, some_images(4))
    sampler, noise = Ancestral(Ancestral.Config()), Noise(1, range(4))
    drawn = [sampler.sample(net, noise, known=known).cpu() for net in pair("raster")]
    assert torch.equal(*drawn)
    assert torch.equal(drawn[1][:, mask], known.values[:, mask])


PIXELCNN = {"type": "pixelcnn", "width": 12, "layers": 1, "output_layers": 1}
ENCODER = {"width": 4, "hidden": 8}
MODELS = {
    "pixelcnn": ("autoregressive", {"backbone": PIXELCNN}),
    "multiscale": (
        "autoregressive",
        {
            "ordering": {"type": "multiscale", "base": 2},
            "backbone": {"type": "multiscale", "base": PIXELCNN, "width": 12, "layers": 1},
        },
    ),
    "order_agnostic": (
        "order_agnostic",
        {"backbone": {"type": "local_pixelcnn", "width": 9, "blocks": 1, "stages": 2}},
    ),
    "pixelvae": ("pixelvae", {"backbone": PIXELCNN, "encoder": ENCODER, "latent": 3, "spatial": {"maps": 2}}),
    "pixelgan": ("pixelgan", {"backbone": PIXELCNN, "encoder": ENCODER, "gaussian": 2, "categorical": 3}),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_model_works_on_a_gpu(name):
    kind, config = MODELS[name]
    model = named("model", kind, **config).build(SPEC, None).cuda()
    batch = Batch(some_images(5), None, torch.arange(5)).to("cuda")
    for phase in model.phases():
        phase.loss(batch, 0)["loss"].backward()
    assert all(parameter.grad.device.type == "cuda" for parameter in model.parameters() if parameter.grad is not None)
    assert all(value.device.type == "cuda" and len(value) == 5 for value in model.eval().assess(batch).values())
    drawn = model.sample(3, batch_size=2)
    assert drawn.device.type == "cuda"
    assert SPEC.check(drawn.cpu()).shape == (3, *SPEC.shape)
    assert model.sample(0).device.type == "cuda"
    model.verify()


@pytest.mark.parametrize("name", MODELS)
def test_models_draw_the_same_on_both_devices(name):
    kind, config = MODELS[name]
    torch.manual_seed(0)
    model = named("model", kind, **config).build(SPEC, None).double().eval()
    randomise(model, 1)
    on_cpu = model.sample(3, seed=1)
    assert torch.equal(model.cuda().sample(3, seed=1).cpu(), on_cpu)


def test_completion_works_on_a_gpu():
    kind, config = MODELS["order_agnostic"]
    model = named("model", kind, **config).build(SPEC, None).double().eval()
    randomise(model, 1)
    image, known = some_images(1), keep_edge(SPEC.shape, "left", 3)
    found = [complete(model.to(device), image, known, 2) for device in ("cpu", "cuda")]
    assert torch.equal(found[0].samples, found[1].samples)
    assert found[1].nats == pytest.approx(found[0].nats) and found[1].entropy == pytest.approx(found[0].entropy)


@pytest.mark.parametrize("ordering", ["raster", "hilbert"])
def test_bfloat16_autocast_trains(ordering):
    """Gradients are finite, and the loss is that of float32 to a percent."""
    _, cuda = pair(ordering, torch.float32)
    x = some_images(8).cuda()
    with torch.autocast("cuda", torch.bfloat16):
        loss = -cuda.log_prob(x).mean()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in cuda.parameters())
    with torch.no_grad():
        assert float(loss) == pytest.approx(-float(cuda.log_prob(x).mean()), rel=0.01)
