"""Errors say where they are in a recipe, however deep the component stands."""

import pytest

from pixkit.components.config import ComponentConfig
from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec, walk
from pixkit.errors import RecipeError, dotted
from pixkit.image import ImageSpec
from pixkit.recipe import load_recipe
from pixkit.recipe.schema import Recipe
from pixkit.testing import named

COLOUR = ImageSpec(3, 8, 8, 4)


def recipe(model):
    plain = {"pixkit": 1, "name": "a", "data": {"source": "digits"}, "model": model}
    return Recipe.model_validate(plain, context={"registry": registry()})


def plain(backbone, ordering="raster", **parts):
    return {"type": "autoregressive", "ordering": ordering, "backbone": backbone, **parts}


def coarse(base, **ordering):
    return plain({"type": "multiscale", "width": 12, "base": base}, {"type": "multiscale", **ordering})


def several(*orderings, **parts):
    return {"type": "order_agnostic", "orderings": list(orderings), **parts}


@pytest.mark.parametrize(("model", "where"), [
    (plain({"type": "pixelcnn", "width": 10}), "model.backbone.width"),
    (plain({"type": "pixelcnn", "width": 12, "output_width": 10}), "model.backbone.output_width"),
    (plain({"type": "gated_pixelcnn", "width": 10}), "model.backbone.width"),
    (plain({"type": "local_pixelcnn", "width": 10}), "model.backbone.width"),
    (plain({"type": "row_lstm", "units": 10}), "model.backbone.units"),
    (plain({"type": "row_rnn", "width": 10}), "model.backbone.width"),
    (plain({"type": "gated_pixelcnn", "width": 12}, "spiral"), "model.ordering"),
    (plain({"type": "row_rnn", "width": 12}, "spiral"), "model.ordering"),
    (plain({"type": "multiscale", "width": 12}), "model.ordering"),
    (plain({"type": "pixelcnnpp"}), "model.ordering.colours"),
    (plain({"type": "pixelsnail"}), "model.ordering.colours"),
    (
        plain("pixelcnnpp", {"type": "raster", "colours": "sequential"}, head="logistic_mixture"),
        "model.ordering.colours",
    ),
    (plain({"type": "pixelcnn", "width": 12}, head="bernoulli"), "model.head.type"),
    (plain({"type": "pixelsnail", "key_width": 15, "heads": 2}, head="logistic_mixture"), "model.backbone.key_width"),
    (coarse({"type": "pixelcnn", "width": 10}), "model.backbone.base.width"),
    (coarse({"type": "gated_pixelcnn", "width": 10}), "model.backbone.base.width"),
    (coarse({"type": "row_lstm", "units": 4}), "model.backbone.base.units"),
    (coarse({"type": "pixelcnnpp"}), "model.ordering.base_ordering.colours"),
    (coarse("row_lstm", base_ordering="spiral"), "model.ordering.base_ordering"),
    (coarse({"type": "multiscale", "width": 10}, base_ordering="multiscale"), "model.backbone.base.width"),
    (
        coarse(coarse({"type": "pixelcnn", "width": 10})["backbone"], base_ordering={"type": "multiscale", "base": 2}),
        "model.backbone.base.base.width",
    ),
    (several("raster", "spiral", backbone={"type": "local_pixelcnn", "width": 10}), "model.backbone.width"),
    (several("raster", "spiral", backbone={"type": "gated_pixelcnn", "width": 12}), "model.orderings[1]"),
    (
        several("raster", {"type": "snake", "colours": "joint"}, backbone={"type": "local_pixelcnn", "width": 12}),
        "model.orderings[1].colours",
    ),
    (several("raster", context={"type": "label"}, backbone={"type": "local_pixelcnn", "width": 12}), "model.context"),
], ids=lambda value: value if isinstance(value, str) else value["type"])  # fmt: skip
def test_an_error_of_a_component_says_which_key_of_the_recipe_is_meant(model, where):
    with pytest.raises(RecipeError) as error:
        recipe(model).model.build(COLOUR, None)
    assert error.value.where == where


@pytest.mark.parametrize("key", ["model.backbone.base.width", "model.backbone.width"])
def test_the_hint_can_be_followed(tmp_path, key):
    """Overriding the key that the error names, by what it says, mends it."""
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "pixkit: 1\nname: a\ndata: {source: digits}\nmodel:\n  type: autoregressive\n"
        "  ordering: {type: multiscale, base: 4}\n"
        "  backbone: {type: multiscale, width: 12, layers: 1, base: {type: pixelcnn, width: 12, layers: 1}}\n"
    )
    with pytest.raises(RecipeError, match="divide evenly") as error:
        load_recipe(path, [f"{key}=10"]).recipe.model.build(COLOUR, None)
    assert error.value.where == key
    assert error.value.hint == "width: 12"
    load_recipe(path, [f"{key}={error.value.hint.split()[1]}"]).recipe.model.build(COLOUR, None)


def test_where_something_stands_does_not_make_it_another():
    one, two = named("backbone", "pixelcnn"), recipe(coarse("pixelcnn")).model.config.backbone.config.base
    assert one.config.where("width") == "model.backbone.width"
    assert two.config.where("width") == "model.backbone.base.width"
    assert one == two and one.config == two.config and hash(one.config) == hash(two.config)
    assert one.dump() == two.dump()
    assert recipe(recipe(coarse("pixelcnn")).dump()["model"]) == recipe(coarse("pixelcnn"))


def test_a_component_that_is_no_part_of_a_recipe_stands_where_its_kind_does():
    assert named("model", "autoregressive", backbone="pixelcnn").config.where() == "model"
    assert named("ordering", "raster").config.where("colours") == "model.ordering.colours"
    assert named("data", "digits").config.where("levels") == "data.levels"
    assert named("sampler", "cached").config.where("executor") == "sample.executor"

    class Alone(ComponentConfig):
        size: int = 1

    assert (Alone().where("size"), Alone().where()) == ("size", "")
    copied = named("ordering", "raster").config.model_copy(update={"transpose": True})
    assert copied.where() == "model.ordering"


def test_walking_goes_into_lists_and_tables_whose_members_are_declared_by_the_whole():
    class Kept(ComponentConfig):
        table: dict[str, list[int]]

    held = Kept(table={"a": [1, 2]})
    found = {dotted(path): (value, field) for path, value, field in walk(held)}
    declared = Kept.model_fields["table"]
    assert found == {
        **{"": (held, None), "table": ({"a": [1, 2]}, declared), "table.a": ([1, 2], declared)},
        **{"table.a[0]": (1, declared), "table.a[1]": (2, declared)},
    }


def test_walking_a_recipe():
    found = recipe(several("raster", "snake", backbone="local_pixelcnn"))
    places = {dotted(path): value for path, value, _ in walk(found) if isinstance(value, ComponentSpec)}
    parts = ("orderings[0]", "orderings[1]", "input", "backbone", "backbone.activation", "backbone.norm", "head")
    train = ("train.optimizer", "train.schedule")
    assert list(places) == ["data", "model", *(f"model.{part}" for part in parts), *train]
    assert places["model.orderings[1]"].name == "snake"
    declared = {dotted(path): field for path, _, field in walk(found)}
    assert declared["model.backbone.width"].description == "Maps of the stream; 160 in the paper on CIFAR-10."
    assert declared["model.orderings[1].transpose"].description == "Exchange rows and columns."
