"""What a recipe names, from Python: components, recipes as dicts, untrained models, and what these say."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import pixkit
from pixkit.data.memory import given_images
from pixkit.tasks import networks
from pixkit.tasks.compressible import images_of
from pixkit.testing import random_images, randomise

TINY_RUN = Path(__file__).parent.parent / "legacy" / "runs" / "digits-tiny"
SPEC = pixkit.ImageSpec(1, 4, 5, 3)
BACKBONE = {"type": "pixelcnn", "width": 4, "layers": 0, "first_kernel": 3, "output_layers": 1}
MODEL = {"type": "autoregressive", "backbone": BACKBONE}
LABELLED = {**MODEL, "backbone": {"type": "gated_pixelcnn", "width": 4, "layers": 1},
            "context": {"type": "label", "size": 2, "dropout": 0.1}}  # fmt: skip
LATENT = {**MODEL, "type": "pixelvae", "latent": 2, "features": 4, "encoder": {"width": 2, "hidden": 4}}
RECIPE = {"pixkit": 1, "name": "given", "data": {"source": "digits"}, "model": MODEL}


def model_of(section, spec=SPEC, classes=None):
    model = pixkit.build_model(section, spec, classes=classes).double().eval()
    randomise(model, seed=1)
    return model


def test_a_component_is_made_in_one_line():
    hilbert = pixkit.component("ordering", "hilbert", flip_vertical=True)
    assert isinstance(hilbert, pixkit.ComponentSpec)
    assert hilbert.dump() == {"type": "hilbert", "colours": "auto", "transpose": False, "flip_horizontal": False,
                              "flip_vertical": True}  # fmt: skip
    assert hilbert.build(pixkit.ImageSpec(1, 8, 8, 17)).steps.shape == (1, 8, 8)
    data = pixkit.component("data", "synthetic", train_images=20)
    assert data.dump()["source"] == "synthetic"
    base = pixkit.component("backbone", "multiscale", base={"type": "pixelcnn", "width": 8}).config.base
    assert (base.name, base.config.width) == ("pixelcnn", 8)


@pytest.mark.parametrize(("kind", "name", "keys", "error", "text"), [
    ("orderng", "raster", {}, pixkit.PluginError, "no kind of component 'orderng'"),
    ("ordering", "hilbrt", {}, pixkit.PluginError, "did you mean 'hilbert'"),
    ("backbone", "pixelcnn", {"widht": 8}, pixkit.RecipeError, "did you mean 'width'"),
    ("backbone", "pixelcnn", {"width": "8", "layers": "x"}, pixkit.RecipeError, "1 more is wrong"),
    ("model", "autoregressive", {"backbone": "pixelcnn", "layers": 8}, pixkit.RecipeError,
     "did you mean 'backbone.layers'"),
    ("model", "autoregressive", {"backbone": {"type": "pixelcnn", "layrs": 8}}, pixkit.RecipeError,
     r"expected: type, width, layers(.|\n)*did you mean 'layers'"),
    ("backbone", "multiscale", {"base": "pixelcn"}, pixkit.RecipeError, "did you mean 'pixelcnn'"),
])  # fmt: skip
def test_a_wrong_component_says_what_is_wrong(kind, name, keys, error, text):
    with pytest.raises(error, match=text):
        pixkit.component(kind, name, **keys)


def test_a_recipe_is_a_dict_a_text_a_name_or_a_file(tmp_path):
    given = pixkit.load_recipe(RECIPE, ["train.steps=5"])
    assert (given.path, given.recipe.train.steps, given.recipe.name) == (None, 5, "given")
    file = tmp_path / "given.yaml"
    file.write_text(given.text, encoding="utf-8")
    for one in (given.text, file, str(file)):
        assert pixkit.load_recipe(one, ["train.steps=5"]).recipe == given.recipe
    assert pixkit.load_recipe("digits-pixelcnn").recipe.name == "digits-pixelcnn"
    assert pixkit.load_recipe(
        {**RECIPE, "data": {"source": "images", "path": tmp_path}}
    ).recipe.data.config.path == str(tmp_path)


@pytest.mark.parametrize(("recipe", "text"), [
    ({**RECIPE, "modle": 1}, "the recipe given:.*unknown key"),
    ({**RECIPE, "model": {**MODEL, "backbone": {"type": "pixelcnn", "widht": 3}}}, "did you mean 'width'"),
    ({**RECIPE, "seed": torch.tensor(1)}, "mappings, lists, texts and numbers"),
    ({**RECIPE, "seed": object}, "mappings, lists, texts and numbers"),
    ("pixkit: 1\nname: a\n", "the key 'data' is missing"),
])  # fmt: skip
def test_a_wrong_recipe_is_refused_as_a_file_is(recipe, text):
    with pytest.raises(pixkit.RecipeError, match=text):
        pixkit.load_recipe(recipe)


def test_a_model_is_built_of_a_recipe_a_dict_or_a_section():
    states = []
    for recipe in (RECIPE, pixkit.load_recipe(RECIPE), {"model": MODEL}, MODEL):
        model = pixkit.build_model(recipe, (1, 8, 8, 17, 10), overrides=["model.backbone.width=6"])
        assert (model.spec, model.classes, model.training) == (pixkit.ImageSpec(1, 8, 8, 17), 10, True)
        assert {parameter.requires_grad for parameter in model.parameters()} == {True}
        states.append(model.state_dict())
    for other in states[1:]:
        assert all(torch.equal(value, other[name]) for name, value in states[0].items())
    own = pixkit.build_model(RECIPE)
    assert (own.spec, own.classes) == (pixkit.ImageSpec(1, 8, 8, 17), 10)
    other = pixkit.build_model({**RECIPE, "seed": 1})
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in own.state_dict().items())


def test_a_model_that_cannot_be_built_says_why():
    with pytest.raises(pixkit.DataError, match="passed by a program") as caught:
        pixkit.build_model(MODEL)
    assert networks.SHAPE in str(caught.value)
    with pytest.raises(pixkit.RecipeError, match="no labels to condition on"):
        pixkit.build_model(LABELLED, SPEC)
    with pytest.raises(pixkit.UsageError, match="not a shape of images"):
        pixkit.build_model(MODEL, (1, 8, 8))


def test_verify_gives_what_it_found_of_each_network():
    model = model_of({**MODEL, "type": "order_agnostic", "backbone": {"type": "local_pixelcnn", "width": 4},
                      "orderings": ["raster", "snake"]})  # fmt: skip
    reports = model.verify()
    assert {name: report.verdict for name, report in reports.items()} == {
        "networks.0": "proved", "networks.1": "proved"}  # fmt: skip
    alone = pixkit.verify(model)
    assert {name: report.dump() for name, report in reports.items()} == {name: r.dump() for name, r in alone.items()}


def test_the_receptive_field_is_what_a_prediction_changes_with():
    model, pixel = model_of(MODEL), (0, 2, 3)
    field = model.receptive_field(pixel)
    x = random_images(SPEC, 1)
    others = x.repeat(SPEC.dims, 1, 1, 1)
    others.view(SPEC.dims, -1)[range(SPEC.dims), range(SPEC.dims)] += 1
    others %= SPEC.levels
    with torch.no_grad():
        moved = (model.network(others) != model.network(x))[:, :, pixel[1], pixel[2]].any(1)
    assert torch.equal(field, moved.view(SPEC.shape))
    assert field.dtype == torch.bool and 0 < int(field.sum()) < SPEC.dims
    assert torch.equal(model.receptive_field(), model.receptive_field((0, 2, 2)))
    with pytest.raises(pixkit.UsageError, match="no such sub-pixel"):
        model.receptive_field((0, 4, 0))


@pytest.mark.parametrize(("section", "classes", "options"), [
    (MODEL, None, {"temperature": 0.7}), (LABELLED, 2, {"guidance": 1.5}),
    (LABELLED, 2, {"context": torch.tensor([1] * 5)}),
])  # fmt: skip
def test_samples_come_with_their_log_probability(section, classes, options):
    model = model_of(section, classes=classes)
    x, nats = model.sample(5, seed=3, return_log_prob=True, batch_size=2, **options)
    assert torch.equal(x, model.sample(5, seed=3, **options)) and not nats.requires_grad
    labels = options.get("context", torch.arange(5) % 2) if classes else None
    assert torch.allclose(nats, model.log_prob(x, labels), rtol=1e-12)
    assert [len(part) for part in model.sample(0, return_log_prob=True)] == [0, 0]


@pytest.mark.parametrize("backbone", [
    {**BACKBONE, "dropout": 0.5}, {"type": "pixelcnnpp", "filters": 4, "resnets": 1, "hierarchies": 1, "dropout": 0.5},
])  # fmt: skip
def test_a_model_that_is_being_trained_gives_samples_their_log_probability_and_learns_nothing(backbone):
    model = model_of({**MODEL, "backbone": backbone})
    expected = model.sample(5, return_log_prob=True)
    assert torch.allclose(expected[1], model.log_prob(expected[0]), rtol=1e-12)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = model.sample(5, return_log_prob=True)
    assert all(map(torch.equal, found, expected)) and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("dtype", "expected"), [
    (torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32),
])  # fmt: skip
def test_the_log_probability_of_no_image_is_of_the_type_of_others(dtype, expected):
    model = model_of(MODEL).to(dtype)
    for images in (2, 0):
        x, nats = model.sample(images, return_log_prob=True)
        assert {nats.dtype, model.log_prob(x).dtype} == {expected}


def test_the_verb_gives_log_probabilities_of_what_it_draws():
    model = model_of(LABELLED, classes=2)
    for options, labels in (
        ({"labels": "all"}, [0, 0, 0, 1, 1, 1]),
        ({"labels": "none", "temperature": 0.5}, [2, 2, 2]),
        ({"labels": 1, "guidance": 2.0}, [1, 1, 1]),
        ({"given": random_images(SPEC, 1), "rows": 2, "batch_size": 2}, [0, 1, 0]),
    ):
        drawn = pixkit.sample(model, 3, return_log_prob=True, **options)
        assert torch.equal(drawn.images, pixkit.sample(model, 3, **options).images)
        expected = model.log_prob(drawn.images, torch.tensor(labels))
        assert torch.allclose(drawn.log_prob, expected, rtol=1e-12) and not drawn.log_prob.requires_grad
    assert pixkit.sample(model, 3).log_prob is None
    for options, text in (({}, "not known exactly"), ({"vary": "pixels"}, "cannot be combined")):
        with pytest.raises(pixkit.UsageError, match=text):
            pixkit.sample(model_of(LATENT), 2, return_log_prob=True, **options)


@pytest.mark.parametrize("pixel", [(0, 1), (0, 1, 2, 3), (0, 0, -1), (0.5, 1, 1), 5, "a", ("0", "1", "1")])
def test_what_is_no_sub_pixel_has_no_receptive_field(pixel):
    with pytest.raises(pixkit.UsageError, match="no such sub-pixel"):
        model_of(MODEL).receptive_field(pixel)


@pytest.mark.parametrize("labels", [[1, 0, 1], np.array([1, 0, 1]), (1, 0, 1)], ids=["list", "array", "tuple"])
def test_labels_may_be_numbers_of_any_kind_of_sequence(labels):
    model, tensor = model_of(LABELLED, classes=2), torch.tensor([1, 0, 1])
    x = model.sample(3, context=labels)
    assert torch.equal(x, model.sample(3, context=tensor))
    assert torch.equal(model.log_prob(x, labels), model.log_prob(x, tensor))
    for wrong in (["a", "b", "c"], [0.5] * 3, [2, 3, 0], object()):
        with pytest.raises(pixkit.UsageError):
            model.log_prob(x, wrong)


@pytest.mark.parametrize("kind", ["<u1", ">i2", "<u2", "<i8", ">u4"])
def test_levels_may_be_arrays_of_any_integers(kind):
    model, x = model_of(MODEL), torch.arange(40).view(2, 1, 4, 5) % 3
    array = np.asfortranarray(x.numpy().astype(kind))[::-1]
    expected = [row.nats for row in pixkit.score(model, x.flip(0))]
    for given in (array, list(array)):
        assert [row.nats for row in pixkit.score(model, given)] == expected
    assert torch.equal(images_of(array, SPEC, None, None)[1], x.flip(0))
    mask = x[0] > 0
    found = pixkit.complete(model, array[:1], mask.numpy(), 2)
    assert torch.equal(found.samples, pixkit.complete(model, x[1:], mask, 2).samples)


@pytest.mark.parametrize(("images", "found"), [
    (3, "int"), (None, "NoneType"), ([None], "NoneType"), (np.array([[{}]]), "list"),
])  # fmt: skip
def test_what_is_neither_levels_nor_names_is_refused_by_every_verb(images, found):
    model, nothing = model_of(MODEL), torch.zeros(1, 4, 5, dtype=torch.bool)
    for verb in (
        lambda: [*pixkit.score(model, images)],
        lambda: pixkit.complete(model, images, nothing),
        lambda: images_of(images, SPEC, None, None),
    ):
        with pytest.raises(pixkit.UsageError, match="neither levels nor names of images") as caught:
            verb()
        assert caught.value.found == found


def test_a_model_without_a_likelihood_refuses_to_give_that_of_samples():
    with pytest.raises(pixkit.UsageError, match="return_log_prob: the probability of an image is not known exactly"):
        model_of(LATENT).sample(2, return_log_prob=True)


def test_representations_say_what_a_thing_is(tmp_path):
    model = model_of(MODEL)
    said = {
        repr(pixkit.component("ordering", "hilbert", transpose=True)): "<ordering 'hilbert', transpose=True>",
        repr(
            pixkit.component("ordering", "raster").build(SPEC)
        ): "<Raster of 1x4x5, K = 3: 20 steps, sequential colours>",
        repr(pixkit.component("sampler", "ancestral").build()): "<Ancestral sampler>",
        repr(pixkit.load_recipe(RECIPE)): "<LoadedRecipe given: autoregressive on digits, the recipe given>",
        repr(pixkit.Run(tmp_path)): f"<Run {str(tmp_path)!r}>",
        repr(pixkit.component("data", "digits", levels=2).build(tmp_path)): "<Digits data, levels=2>",
        repr(model.verify()["network"]).partition(";")[0]: "<Report of PixelCNN: proved",
    }
    assert [shown for shown, expected in said.items() if shown != expected] == []
    x = torch.zeros(2, 1, 4, 5, dtype=torch.int64)
    mask, drawn = x[0] > 0, pixkit.sample(model, 2)
    for thing, expected in {
        drawn: "Sampled(images=int64 [2, 1, 4, 5], summary=",
        pixkit.samplers.Drawn(x): "Drawn(images=int64 [2, 1, 4, 5])",
        pixkit.Batch(x, None, x[:, 0, 0, 0]): "Batch(x=int64 [2, 1, 4, 5], indices=int64 [2])",
        pixkit.Known(mask, x): "Known(mask=bool [1, 4, 5], values=int64 [2, 1, 4, 5])",
        model.phases()[0]: "Phase(name='likelihood', ",
        pixkit.components.registry(): "<Registry of components: ",
        pixkit.complete(model, x[:1], mask): "Completion(samples=int64 [",
    }.items():
        assert repr(thing).startswith(expected) and len(repr(thing)) < 600  # why an executor was not taken is among it
    assert repr(model).startswith("AutoregressiveModel(\n  1x4x5, K = 3\n")
    assert "(head): Softmax(1x4x5, K = 3, sequential colours)" in repr(model)


@pytest.mark.parametrize(("labels", "hint"), [
    (["ant"] * 4, r"numpy.unique\(labels, return_inverse=True\)"),
    (torch.zeros(4), r"labels.astype\(int\)"),
    (torch.zeros(4, 1, dtype=torch.int64), r"try: labels\[:, 0\]"),
    (torch.zeros(4, 3, dtype=torch.int64), r"labels.argmax\(1\)"),
])  # fmt: skip
def test_labels_that_are_no_numbers_say_how_to_number_them(labels, hint):
    with pytest.raises(pixkit.DataError, match=hint):
        given_images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), labels, levels=2)


@pytest.mark.parametrize("verb", [pixkit.build, pixkit.train])
def test_a_run_in_a_recipes_place_says_what_to_do(verb, tmp_path):
    shutil.copytree(TINY_RUN, tmp_path / "run")
    run = pixkit.Run.open(tmp_path / "run")
    for given in (run, run.path, str(run.path)):
        with pytest.raises(
            pixkit.RecipeError, match=r"this is a run(.|\n)*resume=True.*another one from .*run/recipe.yaml"
        ):
            verb(given)
    with pytest.raises(pixkit.RecipeError, match=r"this is not a recipe(.|\n)*found: Linear(.|\n)*loop of your own"):
        verb(torch.nn.Linear(1, 1))
    with pytest.raises(pixkit.RecipeError, match=r"not a recipe(.|\n)*found: Run(.|\n)*run.path / 'recipe.yaml'"):
        pixkit.load_recipe(run)
    assert pixkit.load_recipe(run.path / "recipe.yaml").recipe.name


def test_guidance_without_labels_says_where_labels_come_from():
    with pytest.raises(pixkit.UsageError, match=r"guidance is towards a label(.|\n)*model.context: {type: label}"):
        model_of(MODEL).sample(1, guidance=1.0)
