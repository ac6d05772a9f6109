"""The same numbers on a GPU as on the CPU."""

import pytest
import torch

from pixkit.image import Batch, ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Known
from pixkit.testing import named, network

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


def test_the_model_works_on_a_gpu():
    backbone = {"type": "pixelcnn", "width": 12, "layers": 1, "output_layers": 1}
    model = named("model", "autoregressive", backbone=backbone).build(SPEC, None).cuda()
    x = some_images(5)
    assert model.log_prob(x, batch_size=2).device.type == "cuda"
    (phase,) = model.phases()
    phase.loss(Batch(x, None, torch.arange(5)).to("cuda"), 0)["loss"].backward()
    assert model.network.projection.weight.grad.device.type == "cuda"
    drawn = model.eval().sample(3, batch_size=2)
    assert drawn.device.type == "cuda"
    assert SPEC.check(drawn.cpu()).shape == (3, *SPEC.shape)
    assert model.sample(0).device.type == "cuda"
    model.verify()


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
