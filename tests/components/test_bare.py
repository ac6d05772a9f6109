"""Components within others that recipes write as their name only, where they have no keys."""

import pytest
import torch
from pydantic import Field

import pixkit
from pixkit.catalogue.keys import Keys
from pixkit.catalogue.kinds import BARE, KINDS
from pixkit.cli.live import Live
from pixkit.components import ActivationRef
from pixkit.components.plugins import Plugins, registry
from pixkit.components.registry import Registry
from pixkit.errors import PluginError
from pixkit.layers import activated_maps, activation
from pixkit.recipe import json_schema
from pixkit.recipe.load import load_recipe, revise_recipe
from pixkit.recipe.source import InvalidRecipe
from pixkit.testing import named


class Swish(pixkit.Activation):
    """x sigmoid(beta x)."""

    class Config(pixkit.ComponentConfig):
        """One key."""

        beta: float = Field(1.0, ge=0)
        """Steepness."""

    def forward(self, x):
        return x * torch.sigmoid(self.config.beta * x)


@pytest.fixture
def known():
    found = Registry()
    found.extend(list(registry()))
    registrar = pixkit.Registrar("curves", "2")
    registrar.add("activation", "swish", Swish)
    registrar.add("activation", "quiet", type("Quiet", (Swish,), {"Config": pixkit.Activation.Config}))
    found.extend(registrar.entries)
    return found


def recipe(said, known, overrides=()):
    backbone = {"type": "pixelcnn", **({} if said is None else {"activation": said})}
    plain = {"pixkit": 1, "name": "a", "data": {"source": "digits"}, "model": {"type": "autoregressive"}}
    plain["model"]["backbone"] = backbone
    return load_recipe(plain, overrides, registry=known).recipe


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (None, "relu"),
        ("elu", "elu"),
        ({"type": "elu"}, "elu"),
        ("pixkit:elu", "elu"),
        ("quiet", "curves:quiet"),
        ("swish", {"type": "curves:swish", "beta": 1.0}),
        ({"type": "swish", "beta": 2.5}, {"type": "curves:swish", "beta": 2.5}),
    ],
    ids=str,
)
def test_a_component_without_keys_is_written_as_its_name(said, written, known):
    found = recipe(said, known)
    assert found.dump()["model"]["backbone"]["activation"] == written
    assert revise_recipe(found.dump(), registry=known) == found


def test_overrides_change_the_name_or_a_key(known):
    for said in ("swish", {"type": "swish", "beta": 3.0}):
        found = recipe(said, known, ["model.backbone.activation.beta=2"])
        assert found.model.config.backbone.config.activation.config.beta == 2
    found = recipe({"type": "swish", "beta": 3.0}, known, ["model.backbone.activation=elu"])
    assert found.dump()["model"]["backbone"]["activation"] == "elu"


@pytest.mark.parametrize(
    ("said", "line", "texts"),
    [
        ("swich", 9, ["model.backbone.activation", "no activation with this name", "did you mean 'swish'"]),
        ({"type": "swish", "bta": 2.0}, 11, ["model.backbone.activation", "bta", "did you mean 'beta'"]),
        ({"type": "swish", "beta": -1.0}, 11, ["model.backbone.activation.beta", "-1.0"]),
        ({"type": "elu", "beta": 1.0}, 11, ["model.backbone.activation.beta"]),
        (3, 9, ["model.backbone.activation", "the name of an activation"]),
    ],
    ids=str,
)
def test_mistakes_in_a_component_within_another_are_told_where_they_are(said, line, texts, known):
    with pytest.raises(InvalidRecipe) as error:
        recipe(said, known)
    text = str(error.value)
    assert [each for each in (*texts, f"given:{line}:") if each not in text] == []


def test_where_it_stands(known):
    config = recipe({"type": "swish", "beta": 2.0}, known).model.config.backbone.config
    assert config.activation.config.where("beta") == "model.backbone.activation.beta"
    assert named("activation", "relu").config.where() == "model.backbone.activation"


def test_a_configuration_that_a_program_makes_has_the_components_of_the_process():
    class Config(pixkit.ComponentConfig):
        activation: ActivationRef = Field("elu")

    assert Config().activation == named("activation", "elu")
    assert Config(activation="maxout").model_dump() == {"activation": "maxout"}


def test_the_schema_takes_a_name_or_a_mapping(known):
    schema = json_schema(known)
    key = schema["$defs"]["backbone.pixelcnn"]["properties"]["activation"]
    assert (key["$ref"], key["default"]) == ("#/$defs/activation", "relu")
    names, *mappings = schema["$defs"]["activation"]["oneOf"]
    assert {"relu", "swish", "curves:swish"} <= set(names["enum"])
    assert {"$ref": "#/$defs/activation.curves:swish"} in mappings
    assert list(schema["$defs"]["activation.curves:swish"]["properties"]) == ["type", "beta"]


def test_completion_offers_names_and_keys_only_where_there_are_any(known):
    loaded = Plugins()
    loaded.registry = known

    def below(said):
        plain = {"model": {"type": "autoregressive", "backbone": {"type": "pixelcnn", "activation": said}}}
        keys = Keys(Live(loaded), plain)
        place = ("model", "backbone", "activation")
        return keys.below(place[:2]).keys() & {"activation", "activation."}, list(keys.below(place)), keys.values(place)

    assert below("elu")[:2] == ({"activation"}, [])
    opened, inner, names = below("swish")
    assert (opened, inner) == ({"activation."}, ["type", "beta"])
    assert {"relu", "maxout", "swish"} <= set(names)


def test_the_kinds_that_are_written_bare():
    assert set(KINDS) >= BARE
    assert "ordering" not in BARE


def test_an_activation_by_its_name():
    assert type(activation("relu")).__name__ == "ReLU"
    assert [activated_maps(name, 6) for name in ("relu", "concatenated_elu", "maxout")] == [6, 12, 3]
    with pytest.raises(PluginError, match="no activation named 'rely'; did you mean 'relu'"):
        activation("rely")


@pytest.mark.parametrize("count", [None, 0, 2.0])
def test_an_activation_that_does_not_say_how_many_maps_it_gives_is_told_so(count, monkeypatch):
    monkeypatch.setattr("pixkit.layers.activations.ReLU.maps", lambda self, maps: count)
    with pytest.raises(PluginError, match=r"the activation 'relu' .*does not give its number of maps") as error:
        activated_maps("relu", 6)
    assert error.value.found == f"maps(6) gives {count!r}"


def test_the_name_that_listed_them_still_annotates():
    with pytest.warns(DeprecationWarning, match=r"pixkit.layers.ActivationName .*pixkit\.components\.ActivationRef"):
        from pixkit.layers import ActivationName
    assert "maxout" in ActivationName.__args__
