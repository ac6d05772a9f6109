"""The contract of models with a latent code."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.components.spec import ComponentSpec
from pixkit.errors import UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.models.latent import LatentModel
from pixkit.noise import Noise
from pixkit.randomness import seed_torch
from pixkit.testing.models import SPEC, build_model, check_model
from pixkit.testing.parts import TINY, every_image, named, random_images, randomise
from pixkit.testing.samplers import check_drawing


def check_latent_model(model: ComponentSpec, *, classes: int | None = None, spec: ImageSpec = SPEC) -> None:
    """Check everything that pixkit requires of a latent model, beyond what it requires of any model.

    Codes of images depend on each image only, and codes from the prior on the seed and the image's number; the decoder
    depends on the code, and draws the same with any sampler. If the score is called a bound, its terms sum to it,
    nothing is called exact, and importance weights of all images do not sum to more than 1.

    Args:
        model: the component; keep it small.
        classes: number of label classes of the data.
        spec: shape and levels of the images.
    """
    check_model(model, classes=classes, spec=spec)
    built = _built(model, spec, classes)
    check_codes(built)
    check_decoder(built)
    if built.score_kind == "bound":
        check_bound(built, Batch(random_images(spec, 5), None, torch.arange(5)))
        for tiny in TINY:
            check_importance(_built(model, tiny, classes, gain=1.0))
    assert built.score_kind != "exact", "a latent model's likelihood is an integral; its score is not exact"


def _built(model: ComponentSpec, spec: ImageSpec, classes: int | None, gain: float = 2.0) -> LatentModel:
    built = build_model(model, spec, classes).double().eval()
    assert isinstance(built, LatentModel), f"{type(built).__name__} is not a LatentModel"
    randomise(built, seed=1, gain=gain)
    return built


@torch.no_grad()
def check_codes(model: LatentModel) -> None:
    """`encode`, `means`, `active_units` and `latents`: shapes, and independence of batches and of torch's generator."""
    state, x = torch.random.get_rng_state(), random_images(model.spec, 5)
    whole = model.encode(x)
    assert len(whole) == 5 and whole.is_floating_point(), "encode must give z_1 of each image"
    assert torch.allclose(model.encode(x, batch_size=2), whole, rtol=0, atol=1e-9), "codes in a batch mix"
    means = model.means(x)
    assert len(means) == model.levels and torch.equal(means[0], whole), "means must give each level's mean, z_1 first"
    counts = model.active_units(x)
    assert [total for _, total in counts] == [mean[0].numel() for mean in means], f"active_units gives {counts}"
    drawn = model.latents([Noise(2, range(5))] * model.levels)
    assert drawn.shape == whole.shape, f"codes from the prior are {tuple(drawn.shape)}, the encoder's {whole.shape}"
    some = model.latents([Noise(2, [4, 1])] * model.levels)
    assert torch.allclose(some, drawn[[4, 1]], rtol=0, atol=1e-9), "a code depends on which others are drawn"
    assert not torch.equal(model.latents([Noise(3, range(5))] * model.levels), drawn), (
        "another seed gives the same codes"
    )
    for level in range(model.levels):
        varied = [Noise(2, range(5) if one == level else [0] * 5) for one in range(model.levels)]
        assert len(model.latents(varied).unique(dim=0)) > 1, f"the noise of level {level + 1} has no effect"
    assert torch.equal(state, torch.random.get_rng_state()), "torch's generator was used: noise belongs to the image"


def check_decoder(model: LatentModel) -> None:
    """`sample` is `decode` of `latents`; codes matter; every sampler draws the same."""
    noise = Noise(2, range(3))
    z = model.latents([noise] * model.levels)
    assert torch.equal(model.decode(z, noise), model.sample(3, seed=2)), "sample differs from decode of latents"
    reference = named("sampler", "ancestral").build()
    assert torch.equal(model.decode(z, noise, sampler=reference), model.decode(z, noise)), "samplers disagree"
    check_drawing(model.network)
    many = model.latents([Noise(2, range(16))] * model.levels)
    with torch.no_grad():
        given = model.network(random_images(model.spec, 1).expand(16, -1, -1, -1), many)
    assert not torch.equal(given, given[:1].expand_as(given)), "the decoder ignores the code"


@torch.no_grad()
def check_bound(model: LatentModel, batch: Batch) -> None:
    """The terms sum to the score, which is finite for each image; nothing is exact."""
    with torch.random.fork_rng(devices=[]):
        parts = dict(model.assess(batch))
        nats = parts.pop("nats")
        assert parts and all(len(part) == len(batch.x) for part in parts.values()), f"the parts are {list(parts)}"
        total = torch.stack(list(parts.values())).sum(0)
        assert torch.allclose(total, nats), "the terms of the bound do not sum to it"
        if model.draws_by_number:
            alike = Batch(batch.x, batch.labels, torch.zeros_like(batch.indices))
            alone = [_drawn(model, Batch(x[None], None, batch.indices[:1])) for x in batch.x]
            same = torch.allclose(_drawn(model, alike), torch.cat(alone), rtol=1e-9)
            assert same, "draws_by_number is declared, and images of one number have noise of their own"
        try:
            model.log_prob(batch.x)
        except UsageError as error:
            assert "integral" in str(error), "log_prob must say why it is undefined"
        else:
            raise AssertionError("log_prob is defined although the score is a bound")


def _drawn(model: LatentModel, batch: Batch) -> Tensor:
    """Nats by the noise of a seed."""
    seed_torch(0, torch.device("cpu"))
    return model.assess(batch)["nats"]


@torch.no_grad()
def check_importance(model: LatentModel, *, repeats: int = 8) -> None:
    """exp(-importance) estimates p(x), so that over all images it does not exceed 1 by more than chance allows.

    Nor does exp(-score), averaged over draws. (The converse needs an encoder close to the posterior: with others most
    draws give too little, and few too much.)
    """
    images = every_image(model.spec)
    batch = Batch(images, None, torch.arange(len(images)))
    with torch.random.fork_rng(devices=[]):
        seed_torch(0, torch.device("cpu"))
        totals = torch.stack([(-model.importance(batch, 4)).exp().sum() for _ in range(repeats)])
        bound = torch.stack([-model.score(batch) for _ in range(4)]).mean(0).exp().sum()
    error = float(totals.std()) / repeats**0.5
    assert float(totals.mean()) < 1 + 6 * error + 1e-6, (
        f"importance weights of all images sum to {float(totals.mean())!r}, with a standard error of {error:.2g}"
    )
    assert float(bound) < 1 + 6 * error + 1e-6, f"the bounds of all images sum to {float(bound)!r}"
