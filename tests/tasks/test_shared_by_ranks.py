"""Scores and images of several processes are those of one, which takes the same batches."""

import pytest
import torch
from together import Together

from pixkit.samplers import sampler_for
from pixkit.samplers.guidance import Guided
from pixkit.tasks.evaluate import evaluate
from pixkit.tasks.latents import reconstruct
from pixkit.tasks.networks import build_model
from pixkit.tasks.sample import sample
from pixkit.tasks.scoring import score
from pixkit.tasks.upscale import upscale_each
from pixkit.training.timed import made_up

SHAPE = (1, 3, 3, 3)
BACKBONE = {"type": "gated_pixelcnn", "width": 4, "layers": 1, "first_kernel": 3}
LABELLED = {"type": "autoregressive", "backbone": BACKBONE, "context": {"type": "label", "size": 2, "dropout": 0.1}}
COARSE = {"type": "multiscale", "width": 4, "layers": 1, "base": {"type": "pixelcnn", "width": 4, "layers": 1}}
SCALES = {"type": "autoregressive", "ordering": {"type": "multiscale", "base": 2}, "backbone": COARSE}
LATENT = {"type": "pixelvae", "latent": 2, "features": 4, "backbone": BACKBONE, "encoder": {"width": 4, "hidden": 4}}


@pytest.fixture
def together(tmp_path):
    yield (processes := Together(tmp_path))
    processes.end()


def work(models, data, ranks=None):
    """Scores and images of labelled, guided, latent and multiscale models; how often progress was told of scoring."""
    may, told = {} if ranks is None else {"ranks": ranks}, []
    labelled, latent, scales = models
    x = data.batch("train", torch.arange(3)).x
    scores = evaluate(labelled, data, "train", 4, watch=lambda *done: told.append(done), **may)
    drawn = [
        sample(labelled, 7, batch_size=2, labels=[1], **may).images,
        sample(labelled, 5, batch_size=4, guidance=1.0, **may).images,
        sample(latent, 3, batch_size=2, **may).images,
        reconstruct(latent, x, batch_size=2, **may).images,
    ]
    larger = upscale_each(scales, x[:2], 3, batch_size=2, **may)
    drawn += [one for each in larger for one in (each.samples, torch.tensor(each.completion.nats))]
    bounds = [evaluate(latent, data, "train", 5, limit=9, importance=number, **may) for number in (None, 2)]
    rows = list(score(labelled, [*x, "none.png", *x[:2]], batch_size=2, maps=True, **may))
    each = [(row.dump(labelled.spec), None if row.sites is None else row.sites.tolist()) for row in rows]
    return scores.dump(), [one.dump() for one in bounds], [images.tolist() for images in drawn], each, told


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_share_the_batches_and_have_what_one_process_has(together, size):
    models = [build_model(section, SHAPE, classes=2) for section in (LABELLED, LATENT, SCALES)]
    with torch.no_grad():
        for model in models:
            for parameter in model.parameters():
                parameter.add_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    models[1].measure = lambda *sides: {"drawn": float(torch.rand(()))}
    data = made_up(models[0].spec, 2, 11)
    *expected, told = work(models, data)
    assert told == [(4, 11), (8, 11), (11, 11)] and (len(expected[2][0]), len(expected[3])) == (7, 6)
    found = together.run(lambda ranks: work(models, data, ranks), size)
    assert [one[:4] for one in found.values()] == [tuple(expected)] * size
    assert [one[4] for one in found.values()] == [told[size - 1 :: size] + told[2:][: size == 2]] * size


def test_a_sampler_is_shared_by_a_copy_of_it():
    sampler = sampler_for("ancestral")
    ranks = type("Three", (), {"alone": False})()
    other = sampler.shared(ranks)
    assert other.ranks is ranks and sampler.ranks.alone and sampler.shared(sampler.ranks) is sampler
    assert Guided(other, 1.0, torch.tensor([0])).ranks is ranks, "who guides it shares, too"
