"""What is asked of a model is looked at once, before anything is drawn; what a model can do, it declares."""

import warnings
from dataclasses import replace

import pytest
import torch

from pixkit.components.spec import ComponentSpec
from pixkit.errors import PluginError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.models.base import Model, Phase
from pixkit.models.labelled import LabelledModel
from pixkit.models.latent import LatentModel, VariationalModel
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Drawn, Known
from pixkit.testing import check_capabilities, check_model, component, named, random_images

SPEC = ImageSpec(1, 3, 4, 3)
SMALL = {"type": "pixelcnn", "width": 6, "layers": 1, "output_layers": 1}
LOCAL = {"type": "local_pixelcnn", "width": 6, "blocks": 1, "stages": 1}


def model_of(name="autoregressive", spec=SPEC, classes=None, **config):
    torch.manual_seed(0)
    return named("model", name, backbone=SMALL, **config).build(spec, classes).eval()


def labelled(dropout=0.0):
    return model_of(classes=3, context={"type": "label", "dropout": dropout})


WRONG = [
    ({"n": -1}, "n: out of range", "-1", "0 or more"), ({"n": 1.0}, "n: out of range", "1.0", "an integer"),
    ({"seed": -1}, "seed: out of range", "-1", "0..2**64 - 1"), ({"seed": 2**64}, "seed", str(2**64), "0..2**64 - 1"),
    ({"first": -1}, "first: out of range", "-1", "0 or more"),
    ({"first": 2**64 - 1}, "first", str(2**64 - 1), "first + n <= 2**64"),
    ({"batch_size": 0}, "batch_size: out of range", "0", "1 or more"),
    ({"temperature": 0.0}, "temperature: out of range", "0.0", "finite, above 0"),
    ({"temperature": -1.0}, "temperature", "-1.0", "above 0"),
    ({"temperature": float("nan")}, "temperature", "nan", "finite"),
    ({"temperature": float("inf")}, "temperature", "inf", "finite"), ({"temperature": "1"}, "temperature", "'1'", ""),
    ({"temperature": 1e-39}, "temperature", "1e-39", "1e-20..1e+20"), ({"temperature": 1e39}, "temperature", "+39", ""),
    ({"guidance": float("nan")}, "guidance: out of range", "nan", "finite"),
    ({"guidance": float("-inf")}, "guidance", "-inf", "finite"), ({"guidance": 1e308}, "guidance", "1e+308", "1e+06"),
]  # fmt: skip


@pytest.fixture(scope="module", params=["autoregressive", "order_agnostic", "pixelvae", "pixelgan"])
def any_model(request):
    more = {"pixelgan": {"gaussian": 2}, "order_agnostic": {"backbone": LOCAL}}
    return named("model", request.param, **{"backbone": SMALL, **more.get(request.param, {})}).build(SPEC).eval()


@pytest.mark.parametrize(("options", "where", "found", "expected"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_numbers_out_of_range(any_model, options, where, found, expected):
    given = {"n": 2, **options}
    with pytest.raises(UsageError) as error:
        any_model.sample(given.pop("n"), **given)
    assert where in str(error.value) and found in error.value.found and expected in error.value.expected


@pytest.mark.parametrize(("options", "text"), [
    ({"known": Known(torch.ones(1, 3, 3) > 0, random_images(SPEC, 2))}, "mask of known"),
    ({"known": Known(torch.ones(SPEC.shape) > 0, random_images(SPEC, 3))}, "number of images"),
    ({"context": torch.tensor([0, 1])}, "not conditional"), ({"guidance": 1.0}, "without a label"),
])  # fmt: skip
def test_conditions_that_do_not_fit(options, text):
    with pytest.raises(UsageError, match=text):
        model_of().request(2, **options)


@pytest.mark.parametrize(
    ("labels", "text"),
    [(torch.tensor([0]), "number of images"), (torch.tensor([0, 4]), "not labels of this model"),
     (torch.tensor([0.0, 1.0]), "not labels of this model")],
)  # fmt: skip
def test_labels_that_do_not_fit(labels, text):
    with pytest.raises(UsageError, match=text):
        labelled().request(2, context=labels)


def test_an_unknown_sampler_and_an_unknown_keyword():
    with pytest.raises(PluginError, match="did you mean 'ancestral'"):
        model_of().sample(2, sampler="ancestrall")
    with pytest.raises(TypeError, match="temprature"):
        model_of().sample(2, temprature=1.0)


def test_the_last_seed_and_the_last_image_there_are():
    request = model_of().request(2, seed=2**64 - 1, first=2**64 - 2)
    assert (request.noise.seed, list(request.noise.images)) == (2**64 - 1, [2**64 - 2, 2**64 - 1])
    with pytest.raises(UsageError, match="first: out of range"):
        model_of().request(2, first=2**64 - 1)
    assert len(model_of().request(0, first=2**64)) == 0


def test_a_request_says_everything_that_drawing_needs():
    request = labelled(0.1).request(4, seed=3, first=5, sampler="ancestral", guidance=0.5, batch_size=2)
    assert (request.noise.seed, list(request.noise.images)) == (3, [5, 6, 7, 8])
    assert isinstance(request.sampler, Ancestral) and len(request) == 4
    assert request.context.tolist() == [2, 0, 1, 2], "left out, image i has label i % classes"
    part = request.part([1, 3])
    assert list(part.noise.images) == [6, 8] and part.context.tolist() == [0, 2] and part.guidance == 0.5
    with pytest.raises(AttributeError):
        request.seed = 4
    for values in (1, 4):
        known = Known(torch.ones(SPEC.shape) > 0, random_images(SPEC, values))
        part = labelled().request(4, known=known).part([3, 1])
        assert torch.equal(part.known.values, known.values if values == 1 else known.values[[3, 1]])


def test_left_out_image_i_has_the_label_i_modulo_the_classes():
    """Whichever is the first one that is drawn."""
    model = labelled().double().eval()
    torch.nn.init.normal_(model.network.projection.weight)
    assert model.request(7).context.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert model.request(4, first=5).context.tolist() == [2, 0, 1, 2]
    given = model.sample(4, first=5, context=torch.tensor([2, 0, 1, 2]))
    assert torch.equal(model.sample(4, first=5), given) and torch.equal(model.sample(9)[5:], given)
    assert not torch.equal(model.sample(4, first=5, context=torch.tensor([0, 1, 2, 0])), given)


def test_drawing_in_parts_is_drawing_at_once():
    model, values = labelled(), random_images(SPEC, 4)
    mask = torch.zeros(SPEC.shape, dtype=torch.bool)
    mask[:, 0] = True
    request = model.request(4, seed=3, known=Known(mask, values))
    whole = model.draw(request)
    assert torch.equal(whole.images, model.sample(4, seed=3, known=Known(mask, values)))
    assert torch.equal(model.draw(request.part([2, 0])).images, whole.images[[2, 0]])


def test_summaries_come_with_the_images():
    assert "fixed point" in model_of().draw(model_of().request(2, sampler="fixed_point")).summary
    vae = model_of("pixelvae", latent=2)
    assert "cached sampling" in vae.draw(vae.request(2)).summary
    z = vae.latents([Noise(0, range(2))])
    assert "cached sampling" in vae.draw_from(z, Noise(0, range(2))).summary
    many = named("model", "order_agnostic", backbone=LOCAL).build(SPEC).eval()
    said = many.draw(many.request(20)).summary
    assert said.count("cached sampling") == 1, "said once, of several orderings"


DECLARED = ("labelled", "conditions", "codes", "guidable", "completes", "has_latent", "importance_sampled", "scorable")
PLAIN = (False, (), 0, False, True, False, False, True)


@pytest.mark.parametrize(("build", "expected"), [
    (model_of, PLAIN),
    (labelled, (True, ("label",), 0, False, True, False, False, True)),
    (lambda: labelled(0.2), (True, ("label",), 0, True, True, False, False, True)),
    (lambda: model_of("pixelvae", latent=2), (False, (), 0, False, False, True, True, True)),
    (lambda: model_of("pixelgan", gaussian=2), (False, (), 0, False, False, True, False, True)),
    (lambda: model_of("pixelgan", categorical=3), (False, ("code",), 3, False, False, True, False, True)),
])  # fmt: skip
def test_what_models_declare(build, expected):
    model = build()
    assert tuple(getattr(model, name) for name in DECLARED) == expected
    assert all(name in (Model.__doc__ or "") for name in DECLARED)
    labels = torch.arange(3) % model.classes if model.labelled else None
    check_capabilities(model, Batch(random_images(SPEC, 3), labels, torch.arange(3)))


def test_require_says_which_option_asked():
    model = model_of()
    model.require("completes")
    for name in ("labelled", "codes", "guidable", "has_latent", "importance_sampled"):
        with pytest.raises(UsageError) as error:
            model.require(name, "--option")
        assert error.value.where == "--option"


LATENT = "a latent model, which cannot continue an image"


@pytest.mark.parametrize(("build", "capability", "found", "hint"), [
    (model_of, "labelled", "AutoregressiveModel", "model.context: {type: label}"),
    (model_of, "guidable", "a model without labels", "leave it out; a recipe asks"),
    (labelled, "guidable", "no label", "dropout=0.1"),
    (model_of, "importance_sampled", "AutoregressiveModel, whose likelihood is exact already", None),
    (lambda: model_of("pixelgan", gaussian=2), "importance_sampled", "PixelGAN, which gives no likelihood", None),
    (lambda: model_of("pixelvae", latent=2), "completes", LATENT, None),
    (lambda: component("model", Flat).build(SPEC), "completes", None, None),
    (lambda: component("model", Flat).build(SPEC), "scorable", "Flat", "pixkit.evaluate(run)"),
    (model_of, "codes", "AutoregressiveModel", None), (model_of, "has_latent", "AutoregressiveModel", None),
])  # fmt: skip
def test_what_is_lacking_is_said_of_the_model_that_lacks_it(build, capability, found, hint):
    model = build()
    with pytest.raises(UsageError) as error:
        model.require(capability)
    assert (error.value.found or "").startswith(found or "") and bool(error.value.found) == bool(found)
    assert (hint or "") in (error.value.hint or "") and bool(error.value.hint) == bool(hint)
    named_there = capability not in ("importance_sampled", "scorable")  # which say it under `found`
    assert error.value.where == (type(model).__name__ if named_there else None)


class Flat(Model):
    """Draws zeros, and gives no likelihood."""

    score_kind = "none"

    def phases(self):
        return []

    def draw(self, request):
        return Drawn(torch.zeros(len(request), *self.spec.shape, dtype=torch.int64), "nothing to it")


def test_a_model_without_likelihood_needs_no_score():
    model = component("model", Flat).build(SPEC)
    assert not model.scorable and model.draw(model.request(2)).summary == "nothing to it"
    with pytest.raises(UsageError, match="gives no likelihood"):
        model.score(Batch(random_images(SPEC, 2), None, torch.arange(2)))


class NoPhases(Flat):
    """Lacks one."""

    phases = Model.phases


class NoDraw(Flat):
    """Lacks one."""

    draw = Model.draw


class NoScore(Model):
    """Says that it gives a likelihood, and gives none."""

    phases, draw = Flat.phases, Flat.draw


class NoMeans(LatentModel):
    """Lacks two."""

    score_kind = "none"
    phases = Flat.phases


class NoBound(VariationalModel):
    """Lacks two."""

    phases, means, latents = Flat.phases, None, None


class NoLabels(LabelledModel):
    """Lacks one."""

    phases, score, draw = Flat.phases, None, Flat.draw


@pytest.mark.parametrize(("cls", "missing"), [
    (NoPhases, "phases"), (NoDraw, "draw"), (NoScore, "score"), (NoMeans, "means"), (NoMeans, "latents"),
    (NoBound, "assess"), (NoBound, "importance"), (NoLabels, "image_log_probs"),
])  # fmt: skip
def test_a_class_that_lacks_a_method_is_refused_by_its_name(cls, missing):
    with pytest.raises(TypeError, match=f"abstract.*{missing}"):
        cls(cls.Config(), SPEC)


@pytest.mark.parametrize(("change", "text"), [
    ({"completes": False}, "completes is not declared but not refused"),
    ({"importance_sampled": True}, "importance_sampled is declared but refused"),
    ({"has_latent": True}, "has_latent must say"),
])  # fmt: skip
def test_the_kit_notices_a_model_that_declares_what_is_not_so(change, text):
    cls = type("Boasting", (AutoregressiveModel,), {"__doc__": "One fault.", **change})
    with pytest.raises(AssertionError, match=text):
        check_model(component("model", cls, backbone=SMALL))


def test_a_guidable_model_takes_labels():
    model = component("model", type("Boasting", (Flat,), {"__doc__": "One fault.", "guidable": True})).build(SPEC)
    with pytest.raises(AssertionError, match="guidable, but without conditions"):
        check_capabilities(model, Batch(random_images(SPEC, 3), None, torch.arange(3)))


def former():
    """A model as of 0.1: every argument is its own affair."""

    class Former(Model):
        """Draws a level of its own for each image, and what is known."""

        def __init__(self, config, spec, classes=None):
            super().__init__(config, spec, classes)
            self.logits = torch.nn.Parameter(torch.zeros(spec.levels))

        def phases(self):
            return [Phase("likelihood", self.parameters(), lambda batch, step: {"loss": self.score(batch).mean()})]

        def score(self, batch):
            return -self.logits.log_softmax(0)[batch.x].flatten(1).sum(1).detach()

        def completing(self, known):
            raise AssertionError("of no interest here")

        def sample(self, n, *, seed=0, first=0, known=None, context=None, **options):
            self.given = {"seed": seed, "known": known, "context": context, **options}
            x = torch.tensor([(seed + first + row) % self.spec.levels for row in range(n)])
            x = x[:, None, None, None].expand(n, *self.spec.shape)
            return x if known is None else torch.where(known.mask, known.values, x)

    return component("model", Former)


def built(spec: ComponentSpec):
    with pytest.warns(DeprecationWarning, match=r"Former is written for pixkit 0.1.*draw\(request\)"):
        return spec.build(SPEC)


def test_a_model_of_0_1_draws_by_its_own_sample():
    model = built(former())
    values = random_images(SPEC, 3)
    known = Known(torch.ones(SPEC.shape) > 0, values)
    request = model.request(3, seed=1, first=4, known=known, context=torch.ones(5), guidance=0.0, batch_size=2)
    assert torch.equal(model.draw(request).images, values)
    assert model.given["context"].shape == (5,) and model.given["batch_size"] == 2
    assert set(model.given) == {
        *("seed", "temperature", "sampler", "batch_size", "known", "context", "guidance", "progress")
    }
    assert torch.equal(model.draw(model.request(3, first=4)).images, model.sample(3, first=4))
    assert model.completes, "it has `completing`"


def test_a_sample_that_calls_the_base_class_s():
    class Twice(AutoregressiveModel):
        """Draws twice as many, and keeps every other one."""

        def sample(self, n, **options):
            return super().sample(2 * n, **options)[::2]

    with pytest.warns(DeprecationWarning, match="Twice is written for pixkit 0.1"):
        model = component("model", Twice, backbone=SMALL).build(SPEC).eval()
    plain = named("model", "autoregressive", backbone=SMALL).build(SPEC).eval()
    plain.load_state_dict(model.state_dict())
    expected = plain.sample(6, seed=2)[::2]
    assert torch.equal(model.sample(3, seed=2), expected)
    assert torch.equal(model.draw(model.request(3, seed=2)).images, expected)


def test_a_latent_model_that_overrides_decode():
    from pixkit_plugins.pixelvae import PixelVAE

    class Inverted(PixelVAE):
        """Turns dark into bright."""

        def decode(self, z, noise, **options):
            return self.spec.levels - 1 - super().decode(z, noise, **options)

    with pytest.warns(DeprecationWarning, match="overrides decode: override draw_from"):
        model = component("model", Inverted, backbone=SMALL, latent=2).build(SPEC).eval()
    plain = named("model", "pixelvae", backbone=SMALL, latent=2).build(SPEC).eval()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.sample(3, seed=2), 2 - plain.sample(3, seed=2))


class Halved:
    """Brings `sample` from beside."""

    def sample(self, n, **options):
        return super().sample(2 * n, **options)[:n]


def test_a_sample_from_a_mixin_is_what_every_door_draws():
    class Beside(Halved, AutoregressiveModel):
        """Has it from a mixin."""

    class Heir(Beside):
        """Has it from there, too."""

    for cls in (Beside, Heir):
        with pytest.warns(DeprecationWarning, match=f"{cls.__name__} is written for pixkit 0.1"):
            model = component("model", cls, backbone=SMALL).build(SPEC).eval()
        first = model.sample(3, seed=2)
        assert torch.equal(model.draw(model.request(3, seed=2)).images, first)
        assert cls.draw is not AutoregressiveModel.draw


def test_a_class_of_today_that_is_derived_from_one_of_0_1_draws_by_its_own():
    class Anew(former().cls):
        """Implements `draw`."""

        def draw(self, request):
            return Drawn(torch.zeros(len(request), *self.spec.shape, dtype=torch.int64))

    with pytest.warns(DeprecationWarning):
        model = component("model", Anew).build(SPEC)
    assert not model.sample(3, seed=1).any()


def test_a_model_of_0_1_may_say_late_that_it_gives_no_likelihood():
    class Late(Model):
        """Sets `score_kind` in its constructor."""

        def __init__(self, config, spec, classes=None):
            super().__init__(config, spec, classes)
            self.score_kind = "none"

        def phases(self):
            return []

        def sample(self, n, **options):
            return torch.zeros(n, *self.spec.shape, dtype=torch.int64)

    with pytest.warns(DeprecationWarning):
        model = component("model", Late).build(SPEC)
    assert len(model.sample(2)) == 2
    with pytest.raises(UsageError, match="likelihood"):
        model.score(Batch(random_images(SPEC, 1), None, torch.arange(1)))


def test_decode_gives_what_draw_from_does():
    from pixkit_plugins.pixelvae import PixelVAE

    class Inverted(PixelVAE):
        """Turns dark into bright, as classes do today."""

        def draw_from(self, z, noise, **options):
            drawn = super().draw_from(z, noise, **options)
            return replace(drawn, images=self.spec.levels - 1 - drawn.images)

    model = component("model", Inverted, backbone=SMALL, latent=2).build(SPEC).eval()
    z = model.latents([Noise(3, range(2))])
    assert torch.equal(model.decode(z, Noise(3, range(2))), model.draw_from(z, Noise(3, range(2))).images)
    assert torch.equal(model.sample(2, seed=3), model.decode(z, Noise(3, range(2))))


def test_models_of_today_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = [model_of(), model_of("pixelvae", latent=2)]
    assert [model.score_kind for model in made] == ["exact", "bound"]
