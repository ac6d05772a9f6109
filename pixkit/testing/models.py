"""The contract of models."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from pixkit.backbones.base import Backbone
from pixkit.components.spec import ComponentSpec
from pixkit.context import LABEL
from pixkit.errors import CausalityError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.models.phase import Phase
from pixkit.randomness import seed_torch
from pixkit.samplers import Known
from pixkit.testing.configs import check_config
from pixkit.testing.parts import TINY, every_image, random_context, random_images, randomise

SPEC = ImageSpec(3, 4, 6, 4)


def check_model(model: ComponentSpec, *, classes: int | None = None, spec: ImageSpec = SPEC) -> None:
    """Check everything that pixkit requires of a model.

    Its configuration survives a round trip; the same seed builds the same weights; each phase has a finite loss and
    gradients of its own parameters; it verifies, and a leak in any of its backbones is detected; scores are nats of
    each image and, if they are called exact, define a distribution; samples are levels that depend only on the seed and
    the image's number; weights can be saved and loaded; it can do what it declares, and refuses everything else.

    Args:
        model: the component; keep it small.
        classes: number of label classes of the data.
        spec: shape and levels of the images, and the arrays beside them (`context`) if the model is given any.
    """
    check_config(model)
    first, second = (build_model(model, spec, classes) for _ in range(2))
    for (name, value), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(value, other), f"built twice with one seed, {name} differs"
    check_phases(first, _batch(spec, classes))
    for built in (first, second):
        built.eval()
    randomise(first, seed=1)
    first.verify()
    check_leaks(first)
    check_scores(first, _batch(spec, classes, 6))
    check_images(first, _given(first, _batch(spec, classes)))
    check_capabilities(first, _batch(spec, classes))
    second.load_state_dict(load_tensors(save_tensors({k: v.contiguous() for k, v in first.state_dict().items()})))
    if first.score_kind == "exact":
        batch = _batch(spec, classes)
        assert torch.equal(first.score(batch), second.score(batch)), "after saving and loading, its scores differ"
        for tiny in TINY:
            check_total(build_model(model, replace(tiny, context=spec.context), classes).double().eval(), classes)
    drawn = [built.sample(2, seed=1, context=_given(built, _batch(spec, classes))) for built in (first, second)]
    assert torch.equal(*drawn), "after saving and loading, its samples differ"


def build_model(model: ComponentSpec, spec: ImageSpec, classes: int | None) -> Model:
    """The model from a fixed seed, whatever the state of torch's generator, which is left unchanged."""
    with torch.random.fork_rng(devices=[]):
        seed_torch(0, torch.device("cpu"))
        built: Model = model.build(spec, classes)
    return built


class _Leaking(nn.Module):
    """A backbone whose features also see the sub-pixels that they predict, through a layer that readiness follows."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = backbone.width
        self.leak = nn.utils.skip_init(nn.Conv2d, backbone.spec.inputs, backbone.width, 1, bias=False)
        with torch.no_grad():  # not all equal: the maps of a one-hot encoding sum to a constant
            self.leak.weight.copy_(torch.arange(1.0, backbone.spec.inputs + 1).view(1, -1, 1, 1))

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        out: Tensor = self.backbone(x, *context) + self.leak(x)
        return out


def check_leaks(model: Model) -> None:
    """`verify` refuses the model if any of its backbones leaks; a model of pixkit 0.1 may check what it likes."""
    if model.former:
        return
    for name, backbone in _backbones(model):
        model.set_submodule(name, _Leaking(backbone))
        try:
            model.verify()
        except CausalityError:
            continue
        finally:
            model.set_submodule(name, backbone)
        raise AssertionError(
            f"verify does not notice a leak in {name}: leave verify to pixkit.Model, which proves every Autoregressive"
        )


def _backbones(model: Model) -> list[tuple[str, Backbone]]:
    """The backbones that are not parts of others, by their names within the model."""
    found: list[tuple[str, Backbone]] = []
    for name, module in model.named_modules():
        if isinstance(module, Backbone) and not any(name.startswith(f"{outer}.") for outer, _ in found):
            found.append((name, module))
    return found


def _batch(spec: ImageSpec, classes: int | None, count: int = 4) -> Batch:
    labels = None if classes is None else torch.arange(count) % classes
    x = random_images(spec, count)
    return Batch(x, labels, torch.arange(count), random_context(spec, x))


def _given(model: Model, batch: Batch) -> dict[str, Tensor] | None:
    """The conditions of the batch's first image, which serve any number of images; None if no array is among them."""
    if batch.context is None or set(model.conditions) <= {LABEL}:
        return None
    arrays = model.spec.context
    named = {} if batch.labels is None else {LABEL: batch.labels[:1]}
    for array, flat in zip(arrays, batch.context[:1].split([array.size for array in arrays], 1), strict=True):
        named[array.name] = flat.reshape(1, *array.shape)
    return {name: named[name] for name in model.conditions}


def check_phases(model: Model, batch: Batch) -> None:
    """Each phase minimises a finite loss over parameters of the model, all of which it reaches."""
    model.train()
    model.initialise(batch)
    phases = model.phases()
    own = {id(parameter) for parameter in model.parameters()}
    names = [phase.name for phase in phases]
    assert names and len(set(names)) == len(names), f"the phases are called {names}"
    for phase in phases:
        parameters = list(phase.parameters)
        assert parameters and {id(one) for one in parameters} <= own, f"phase {phase.name}: parameters of another"
        model.zero_grad()
        losses = phase.loss(batch, 0)
        assert losses["loss"].ndim == 0 and losses["loss"].isfinite(), f"phase {phase.name}: loss {losses['loss']}"
        losses["loss"].backward()
        for number, parameter in enumerate(parameters):
            assert parameter.grad is not None, f"phase {phase.name}: parameter {number} does not affect the loss"
            assert parameter.grad.isfinite().all(), f"phase {phase.name}: the gradient of {number} is not finite"
        if phase.mean:
            _check_mean(model, phase, batch)
    model.zero_grad()


@torch.no_grad()
def _check_mean(model: Model, phase: Phase, batch: Batch) -> None:
    """Losses declared as means are weighted means over parts of the batch; checked for phases that draw nothing."""

    def losses(seed: int, part: Batch) -> dict[str, float]:
        seed_torch(seed, torch.device("cpu"))
        return {name: float(value) for name, value in phase.loss(part, 0).items()}

    with torch.random.fork_rng(devices=[]), evaluating(model):
        whole = losses(0, batch)
        if losses(1, batch) != whole:
            return
        parts = [(len(part.x) / len(batch.x), losses(0, part)) for part in batch.split(len(batch.x) - 1)]
    for name, value in whole.items():
        mean = sum(weight * found[name] for weight, found in parts)
        assert math.isclose(mean, value, rel_tol=1e-3, abs_tol=1e-5), (
            f"phase {phase.name}: {name} is not a mean over images"
        )


@torch.no_grad()
def check_scores(model: Model, batch: Batch) -> None:
    """Nats of each image are finite; exact ones do not depend on the batch."""
    assert model.score_kind in ("exact", "bound", "none"), f"score_kind is {model.score_kind!r}"
    if model.score_kind == "none":
        check_figures(model, batch)
        return
    assert model.metric is None, "a metric is only for models without a likelihood"
    nats = model.score(batch)
    assert tuple(nats.shape) == (len(batch.x),), f"the score has the shape {tuple(nats.shape)}"
    assert nats.isfinite().all(), "scores must be finite"
    if model.score_kind == "exact":
        for part in batch.split(len(batch.x)):
            alone = model.score(part)
            assert torch.allclose(alone, nats[part.indices], rtol=1e-4), "an image's score depends on its batch"


def check_figures(model: Model, batch: Batch) -> None:
    """Without a likelihood there are no nats; the metric, if any, is among the figures, which are finite."""
    if model.metric is None:
        return
    with torch.random.fork_rng(devices=[]):
        found = model.assess(batch)
        measured = model.measure([batch], [batch])
    assert "nats" not in found, "nats are only for a likelihood or a bound"
    for name, figure in found.items():
        assert tuple(figure.shape) == (len(batch.x),), f"{name} has the shape {tuple(figure.shape)}"
        assert figure.isfinite().all(), f"{name}: must be finite"
    assert model.metric in {*found, *measured}, f"the metric {model.metric} is not among {[*found, *measured]}"


def check_images(model: Model, given: Mapping[str, Tensor] | None = None) -> None:
    """Samples are images of the spec that depend only on the seed, the image's number and what they are given."""
    draw = functools.partial(model.sample, context=given)
    state = torch.random.get_rng_state()
    whole = draw(5, seed=2)
    assert torch.equal(state, torch.random.get_rng_state()), "torch's generator was used: noise belongs to the image"
    assert whole.dtype == torch.int64 and len(whole) == 5, f"5 samples are {whole.dtype} {tuple(whole.shape)}"
    model.spec.check(whole, where="samples")
    assert torch.equal(draw(5, seed=2), whole), "the same seed gives other samples"
    assert torch.equal(draw(5, seed=2, batch_size=2), whole), "samples depend on the batch size"
    assert torch.equal(draw(2, seed=2, first=3), whole[3:]), "samples depend on which others are drawn"
    assert not torch.equal(draw(5, seed=3), whole), "another seed gives the same samples"
    assert tuple(draw(0).shape) == (0, *model.spec.shape), "no samples have another shape"


def check_capabilities(model: Model, batch: Batch) -> None:
    """A model can do what it declares (see `Model`), and raises UsageError for everything else."""
    n, own, given = len(batch.x), type(model).former, _given(model, batch)
    known = Known(torch.zeros(model.spec.shape, dtype=torch.bool), batch.x)
    assert model.has_latent == isinstance(model, LatentModel), "has_latent must say whether it is a LatentModel"
    assert not model.guidable or model.conditions, "guidable, but without conditions"
    with torch.random.fork_rng(devices=[]):
        _declared(model.importance_sampled, "importance_sampled", lambda: model.importance(batch, 2))
        _declared(model.mapped, "mapped", lambda: _check_sites(model, batch))
    _declared(model.completes, "completes", lambda: model.completing(known.mask))
    if given is None:
        _declared(model.guidable, "guidable", model.no_label)
    if not own:  # a model of pixkit 0.1 checks its arguments itself
        context = given or torch.arange(n) % (model.codes or model.classes or 1)
        _declared(model.completes, "completes", lambda: model.sample(n, known=known, context=given))
        _declared(model.guidable, "guidable", lambda: model.sample(n, guidance=1.0, context=given))
        _declared(bool(model.conditions), "conditions", lambda: model.sample(n, context=context))


def _check_sites(model: Model, batch: Batch) -> None:
    figures, sites = model.assess_sites(batch)
    score = figures["nats" if model.score_kind == "exact" else "reconstruction"]
    assert tuple(sites.shape) == (len(batch.x), *model.spec.shape[1:]), f"sites of shape {tuple(sites.shape)}"
    assert torch.allclose(sites.flatten(1).sum(1), score, rtol=1e-5), "sites do not sum to the score"


def _declared(declared: bool, name: str, use: Callable[[], object]) -> None:
    try:
        use()
    except UsageError as error:
        assert not declared, f"{name} is declared but refused: {error}"
    else:
        assert declared, f"{name} is not declared but not refused"


@torch.no_grad()
def check_total(model: Model, classes: int | None) -> None:
    """Exact scores define a distribution: exp(-nats) over all images sums to 1, for each label."""
    randomise(model, seed=1)
    images = every_image(model.spec)
    beside = random_context(model.spec, images[:1])
    context = None if beside is None else beside.expand(len(images), -1)
    for label in [None] if classes is None else range(classes):
        labels: Tensor | None = None if label is None else torch.full((len(images),), label)
        total = float((-model.score(Batch(images, labels, torch.arange(len(images)), context))).exp().sum())
        assert abs(total - 1) < 1e-8, f"the probabilities of all images sum to {total!r} (label {label})"
