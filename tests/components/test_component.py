"""Components in recipes: resolved by name, validated by their own keys, dumped so that they resolve again."""

import pytest
from pydantic import Field, ValidationError

from pixkit.backbones.base import Backbone
from pixkit.components.config import ComponentConfig
from pixkit.components.describe import describe
from pixkit.components.plugins import registry
from pixkit.components.registry import Registrar, Registry
from pixkit.components.spec import BackboneRef, ComponentSpec, DataRef, OrderingRef
from pixkit.data.base import DataSource
from pixkit.errors import PluginError
from pixkit.image import ImageSpec
from pixkit.testing import named


class Simple(Backbone):
    """A backbone for tests."""

    class Config(ComponentConfig):
        """Two keys."""

        size: int = Field(3, ge=1)
        """How large."""
        share: float = 0.5

    def __init__(self, config, *args, **kwargs):
        super().__init__(config, None)
        self.args, self.kwargs = args, kwargs

    def forward(self, x):
        return x


class Pixels(DataSource):
    """A data source for tests."""

    Config = Simple.Config

    def load(self, progress=None):
        raise AssertionError("nothing is loaded here")


class Nested(Simple):
    """A backbone that holds another one."""

    class Config(ComponentConfig):
        """One component."""

        inner: BackboneRef


class Part(ComponentConfig):
    """A section that names a backbone."""

    backbone: BackboneRef


class Source(ComponentConfig):
    """A section that names a data source."""

    data: DataRef


def known(distribution="pixkit"):
    registrar = Registrar(distribution, "1")
    registrar.add("backbone", "simple", Simple)
    registrar.add("backbone", "nested", Nested)
    registrar.add("data", "pixels", Pixels)
    filled = Registry()
    filled.extend(registrar.entries)
    return filled


def parsed(section, cls=Part, using=None):
    return cls.model_validate(section, context={"registry": using or known()})


def refused(section, cls=Part, using=None):
    with pytest.raises(ValidationError) as error:
        parsed(section, cls, using)
    (detail,) = error.value.errors()
    return detail


def test_a_section_becomes_a_component_with_its_own_keys():
    backbone = parsed({"backbone": {"type": "simple", "size": 7}}).backbone
    assert isinstance(backbone, ComponentSpec)
    assert (backbone.name, backbone.cls, backbone.config) == ("simple", Simple, Simple.Config(size=7))


def test_a_bare_name_takes_every_default():
    assert parsed({"backbone": "simple"}).backbone == parsed({"backbone": {"type": "simple"}}).backbone


def test_a_component_is_built_with_its_configuration_first():
    made = parsed({"backbone": {"type": "simple", "size": 2}}).backbone.build(1, key=2)
    assert isinstance(made, Simple)
    assert (made.config.size, made.args, made.kwargs) == (2, (1,), {"key": 2})


def test_components_within_components():
    section = {"backbone": {"type": "nested", "inner": {"type": "nested", "inner": {"type": "simple", "size": 9}}}}
    assert parsed(section).backbone.config.inner.config.inner.config.size == 9
    section["backbone"]["inner"]["inner"]["size"] = 0
    assert refused(section)["loc"] == ("backbone", "inner", "inner", "size")


@pytest.mark.parametrize("distribution", ["pixkit", "other"])
def test_a_dump_resolves_to_the_same(distribution):
    using = known(distribution)
    part = parsed({"backbone": {"type": "nested", "inner": "simple"}}, using=using)
    dump = part.model_dump(mode="json")
    prefix = "" if distribution == "pixkit" else "other:"
    inner = {"type": f"{prefix}simple", "size": 3, "share": 0.5}
    assert dump == {"backbone": {"type": f"{prefix}nested", "inner": inner}}
    assert parsed(dump, using=using) == part


def test_data_is_named_by_its_source():
    section = {"data": {"source": "pixels", "size": 4}}
    assert parsed(section, Source).model_dump(mode="json") == {"data": {"source": "pixels", "size": 4, "share": 0.5}}
    assert refused({"data": {"type": "pixels"}}, Source)["loc"] == ("data", "source")


def test_a_component_given_whole_is_taken():
    whole = parsed({"backbone": "simple"}).backbone
    assert Part(backbone=whole).backbone is whole


@pytest.mark.parametrize(("section", "location", "text"), [
    ({}, ("backbone",), "Field required"),
    ({"backbone": 3}, ("backbone",), "expected a mapping with the key 'type', or the name of a backbone"),
    ({"backbone": None}, ("backbone",), "expected a mapping"),
    ({"backbone": {"size": 3}}, ("backbone", "type"), "the key 'type' is missing"),
    ({"backbone": {"type": 3}}, ("backbone", "type"), "expected the name of a backbone"),
    ({"backbone": {"type": "simpel"}}, ("backbone", "type"), "no backbone named 'simpel'; did you mean 'simple'?"),
    ({"backbone": {"type": "pixels"}}, ("backbone", "type"), "no backbone named 'pixels'"),
    ({"backbone": {"type": "simple", "sise": 3}}, ("backbone", "sise"), "Extra inputs"),
    ({"backbone": {"type": "simple", "size": 0}}, ("backbone", "size"), "greater than or equal to 1"),
    ({"backbone": {"type": "simple", "size": "3"}}, ("backbone", "size"), "valid integer"),
    ({"backbone": {"type": "simple", "size": True}}, ("backbone", "size"), "valid integer"),
    ({"backbone": {"type": "simple", "share": float("nan")}}, ("backbone", "share"), "finite"),
])  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(section, location, text):
    detail = refused(section)
    assert detail["loc"] == location
    assert text in detail["msg"]


def test_an_unknown_name_comes_with_those_there_are():
    detail = refused({"backbone": {"type": "other"}})
    assert detail["type"] == "unknown_component"
    assert detail["ctx"]["known"] == ["nested", "simple"]
    assert detail["ctx"]["kind"] == "backbone"


def test_an_ambiguous_name_is_an_error_of_plugins():
    using = known("one")
    registrar = Registrar("two", "2")
    registrar.add("backbone", "simple", Simple)
    using.extend(registrar.entries)
    with pytest.raises(PluginError, match="one 1 and two 2"):
        parsed({"backbone": "simple"}, using=using)
    assert parsed({"backbone": "two:simple"}, using=using).backbone.entry.distribution == "two"


def test_configurations_are_frozen():
    config = Simple.Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.size = 4


def test_the_schema_says_what_kind_stands_where():
    class Two(ComponentConfig):
        first: BackboneRef
        second: OrderingRef

    fields = Two.model_json_schema()["properties"]
    assert (fields["first"]["x-pixkit-kind"], fields["second"]["x-pixkit-kind"]) == ("backbone", "ordering")


def test_descriptions_of_keys_come_from_their_docstrings():
    assert Simple.Config.model_fields["size"].description == "How large."


class Required(Simple):
    """A backbone with a key that must be given."""

    class Config(ComponentConfig):
        """Two keys."""

        size: int
        share: float = 0.5


def test_what_was_built_is_described_by_its_name_what_must_be_given_and_what_is_unusual():
    assert describe("backbone", Required(Required.Config(size=3))) == "Required, size 3"
    assert describe("backbone", Required(Required.Config(size=3, share=0.25))) == "Required, size 3, share 0.25"
    assert describe("backbone", Simple(Simple.Config())) == "Simple"
    softmax = named("head", "softmax", independent=True).build(ImageSpec(1, 2, 2, 2), None)
    assert (describe("head", softmax), describe("mask", softmax)) == ("softmax, independent", "Softmax, independent")


DEFAULTS_SUFFICE = [
    entry for entry in registry() if not any(field.is_required() for field in entry.cls.Config.model_fields.values())
]


@pytest.mark.parametrize("entry", list(registry()), ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_key_of_every_component_is_described(entry):
    assert entry.summary, f"{entry.qualified} has no docstring"
    for name, field in entry.cls.Config.model_fields.items():
        assert field.description, f"{entry.kind} {entry.name}: the key '{name}' has no description"


@pytest.mark.parametrize("entry", DEFAULTS_SUFFICE, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_component_survives_a_round_trip(entry):
    context = {"registry": registry()}
    config = entry.cls.Config.model_validate({}, context=context)
    assert entry.cls.Config.model_validate(config.model_dump(mode="json"), context=context) == config
