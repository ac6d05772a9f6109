"""Checking against the schema: all errors at once, in order, each in its place and in plain words."""

import importlib
import importlib.metadata

import pytest

from pixkit.components.registry import Absence, Registry
from pixkit.errors import PluginError
from pixkit.recipe import InvalidRecipe, dump_yaml, load_recipe, revise_recipe

plugins = importlib.import_module("pixkit.components.plugins")  # the package exports its function of that name

WRONG = """\
pixkit: 1
name: -bad
sed: 3
data: {source: digit}
model:
  type: autoregressive
  backbone:
    type: net
    width: wide
    kernel: autoo
    gated: yes
    dropout: 1.5
    norm: layr
    sizes: [1, x, 2.0]
    pair: [1]
    masks: [full, {type: ful}, {type: full, x: 1}, {}]
  head: {independent: true}
train:
  steps: 1e3
  batch_size: "64"
  optimizer: {type: adm}
  optimizers: {critic: {type: sgd, lr: -1, lrr: 2}}
  keep:
sample: {type: auto, count:64}
"""

EXPECTED = [
    (2, 7, "name", "not well formed"),
    (3, 1, "sed", "unknown key"),
    (4, 16, "data.source", "there is no data source with this name"),
    (7, 3, "model.backbone.layers", "the key 'layers' is missing"),
    (9, 12, "model.backbone.width", "wrong type"),
    (10, 13, "model.backbone.kernel", "wrong type or value"),
    (11, 12, "model.backbone.gated", "wrong type"),
    (12, 14, "model.backbone.dropout", "out of range"),
    (13, 11, "model.backbone.norm", "not one of the choices"),
    (14, 16, "model.backbone.sizes[1]", "wrong type"),
    (14, 19, "model.backbone.sizes[2]", "wrong type"),
    (15, 5, "model.backbone.pair[1]", "the list is too short"),
    (16, 26, "model.backbone.masks[1].type", "there is no mask with this name"),
    (16, 45, "model.backbone.masks[2].x", "unknown key"),
    (16, 52, "model.backbone.masks[3].type", "the key 'type' is missing"),
    (17, 3, "model.head.type", "the key 'type' is missing"),
    (19, 10, "train.steps", "wrong type"),
    (20, 15, "train.batch_size", "wrong type"),
    (21, 21, "train.optimizer.type", "there is no optimiser with this name"),
    (22, 40, "train.optimizers.critic.lr", "out of range"),
    (22, 44, "train.optimizers.critic.lrr", "unknown key"),
    (23, 8, "train.keep", "wrong type"),
    (24, 22, "sample.count:64", "unknown key"),
]


@pytest.fixture
def problems(write, registry):
    def _problems(text, *overrides):
        with pytest.raises(InvalidRecipe) as caught:
            load_recipe(write(text), overrides, registry=registry)
        assert caught.value.exit_code == 2
        return caught.value.problems

    return _problems


@pytest.fixture
def one(problems, recipe_text):
    """The only problem of the recipe with something in it replaced."""

    def _one(old, new):
        assert old in recipe_text
        (problem,) = problems(recipe_text.replace(old, new))
        return problem

    return _one


def test_all_errors_at_once_in_the_order_of_the_file(write, registry):
    path = write(WRONG)
    with pytest.raises(InvalidRecipe) as caught:
        load_recipe(path, registry=registry)
    found = [(problem.where, problem.message) for problem in caught.value.problems]
    assert found == [(f"{path}:{line}:{column}: {dotted}", message) for line, column, dotted, message in EXPECTED]
    assert str(caught.value).endswith(f"\n\n{len(EXPECTED)} errors")


def test_an_error_in_full(write, recipe_text, registry):
    path = write(recipe_text.replace("width: 16", "width: wide"))
    with pytest.raises(InvalidRecipe) as caught:
        load_recipe(path, registry=registry)
    assert str(caught.value) == "\n".join(
        [
            f"{path}:9:12: model.backbone.width: wrong type",
            "     9 |     width: wide",
            "       |            ^",
            "  found: 'wide'",
            "  expected: a whole number, at least 1 and at most 1024",
        ]
    )


BRING = "if a plugin has it: install that, or name its file with --plugin FILE.py"


@pytest.mark.parametrize(
    ("old", "new", "found", "expected", "hint"),
    [
        ("width: 16", "widht: 16", None, "type, layers, width, dropout", "did you mean 'width'?"),
        ("width: 16", "gated: yes", "'yes'", "true or false", "true"),
        ("width: 16", "note: 12", "12", "text", '"12", in quotes, if text is meant'),
        ("width: 16", "width: '16'", "'16'", "a whole number", "16, without quotes"),
        ("width: 16", "width: 16.0", "16.0", "a whole number", "16"),
        ("width: 16", "width:", "nothing", "a whole number", "give a value, or remove the key"),
        ("width: 16", "width: true", "true", "a whole number", None),
        ("width: 16", "width: {a: 1}", "a mapping", "a whole number", None),
        ("width: 16", "width: 5000", "5000", "at least 1 and at most 1024", None),
        ("width: 16", "dropout: 1", "1", "at least 0 and less than 1", None),
        ("width: 16", "kernel: autos", "'autos'", "a whole number or auto", "did you mean 'auto'?"),
        ("width: 16", "stride: 0", "0", "at least 1", None),
        ("width: 16", "stride: []", "an empty list", "a whole number or auto", None),
        ("width: 16", "norm: [layer]", "a list", "none, layer", None),
        ("width: 16", "sizes: [1, 2, 3, 4]", "a list", "at most 3 items", None),
        ("width: 16", "sizes: 3", "3", "a list", None),
        ("width: 16", "mask: 3", "3", "the name of a mask, or a mapping with the key 'type'", None),
        ("width: 16", "width: 13", "13", None, None),
        ("type: softmax", "type: sofmax", "'sofmax'", "logistic, softmax", "did you mean 'softmax'?"),
        ("type: softmax", "type: mine", "'mine'", "logistic, softmax", BRING),
        ("source: files", "source: mine", "'mine'", "digits, files", BRING),
        ("train: {", "sample: {type: mine}\ntrain: {", "'mine'", "ancestral, auto", BRING),
        ("type: softmax", "type: 3", "3", None, None),
        ("source: files", "source: file", "'file'", "digits, files", "did you mean 'files'?"),
        ("type: adam,", "type: adaam,", "'adaam'", "adam, adamw, rmsprop, sgd", "did you mean 'adam'?"),
        (
            "type: adam, lr",
            "type: sgd, lr",
            None,
            "type, lr, momentum, nesterov",
            "adam or adamw or rmsprop, which have this key",
        ),
        ("type: adam, ", "", None, None, None),
        ("steps: 10", "steps: 0", "0", "at least 1", None),
        ("steps: 10", "schedule: 3", "3", "the name of a schedule, or a mapping", None),
        ("steps: 10", "optimizers: []", "an empty list", "a mapping", None),
        ("pixkit: 1", "pixkit: 2", "2", "1", None),
        (
            "train: {",
            "sample: {type: ancestrel}\ntrain: {",
            "'ancestrel'",
            "ancestral, auto",
            "did you mean 'ancestral'?",
        ),
    ],
)
def test_found_expected_and_hint(one, old, new, found, expected, hint):
    problem = one(old, new)
    assert problem.found == found
    assert (problem.expected or "").startswith(expected or "")
    assert problem.hint == hint


def test_what_a_component_says_itself(one):
    assert one("width: 16", "width: 13").message == "13 is not wanted"
    problem = one("width: 16", "width: 17\n    gated: true")
    assert problem.message == "a gated net has an even width"
    assert problem.mark.where.endswith(":6:3")
    assert problem.path == ("model", "backbone")


@pytest.mark.parametrize("text", ["3", "[1]", "---", "text"])
def test_what_is_no_mapping_is_no_recipe(problems, text):
    (problem,) = problems(text)
    assert problem.message == "not a recipe"


def test_a_recipe_without_anything(problems):
    found = problems("{}")
    assert [problem.path for problem in found] == [("pixkit",), ("name",), ("data",), ("model",)]
    assert {(problem.mark.line, problem.mark.column) for problem in found} == {(0, 0)}


def test_file_and_override_errors_come_together(problems, recipe_text):
    found = problems(recipe_text.replace("width: 16", "width: x"), "seed=-1", "train.steps=no")
    assert [problem.path[-1] for problem in found] == ["width", "seed", "steps"]


def test_a_recipe_is_loaded(write, recipe_text, registry):
    path = write(recipe_text)
    loaded = load_recipe(str(path), registry=registry)
    assert (loaded.path, loaded.base, loaded.text) == (path, path.parent, recipe_text)
    assert loaded.recipe.model.config.backbone.config.width == 16
    assert loaded.recipe.train.optimizer.config.lr == 1e-3


def test_a_locked_recipe_loads_to_the_same(write, recipe_text, registry):
    first = load_recipe(write(recipe_text), ["model.head={type: acme:logistic}"], registry=registry)
    again = load_recipe(write(dump_yaml(first.lock()), "recipe.lock.yaml"), registry=registry)
    assert again.recipe.dump() == first.lock()
    assert again.lock() == first.lock()


def test_plain_data_are_revised(write, recipe_text, registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = load_recipe(write(recipe_text), registry=registry).lock()
    assert revise_recipe(plain, registry=registry).dump() == plain
    revised = revise_recipe(plain, ["train.steps=20", "data.path=x"], registry=registry)
    assert (revised.train.steps, revised.data.config.path) == (20, str(tmp_path / "x"))
    with pytest.raises(InvalidRecipe, match=r'^override "train.steps=x"'):
        revise_recipe(plain, ["train.steps=x"], registry=registry)
    with pytest.raises(InvalidRecipe, match=r"^lock:1:1: pixkit: the key 'pixkit' is missing"):
        revise_recipe({"name": "x"}, name="lock", registry=registry)


def test_a_name_that_two_plugins_bring_is_a_plugin_error(write, recipe_text, registry):
    path = write(recipe_text.replace("{type: softmax, independent: true}", "logistic"))
    with pytest.raises(PluginError) as caught:
        load_recipe(path, registry=registry)
    assert "pixkit:logistic" in str(caught.value)
    assert "acme:logistic" in str(caught.value)


@pytest.fixture
def installed(registry, monkeypatch):
    """The test's registry as that of the process, with a plugin that could not be loaded."""

    def _installed(value):
        entry_point = importlib.metadata.EntryPoint("guest", value, "pixkit")
        loaded = plugins.load_plugins([entry_point])
        (info,) = loaded.infos
        loaded.registry = Registry()
        loaded.registry.extend(list(registry))
        reason = f"{info.health}: {info.detail}"
        loaded.registry.left_out(Absence(info.name, info.distribution, info.version, reason))
        monkeypatch.setattr(plugins, "plugins", lambda: loaded)

    return _installed


def test_what_needs_a_broken_plugin_names_it(write, recipe_text, installed):
    installed("no_such_module_anywhere")
    path = write(recipe_text.replace("type: net", "type: guest_net"))
    with pytest.raises(PluginError) as caught:
        load_recipe(path)
    assert caught.value.exit_code == 4
    assert f"{path}:7:11: model.backbone.type: there is no backbone with this name" in str(caught.value)
    assert "guest" in str(caught.value)
    assert "ModuleNotFoundError" in str(caught.value)


def test_what_needs_a_disabled_plugin_names_it(write, recipe_text, installed, monkeypatch):
    monkeypatch.setenv(plugins.DISABLE_VARIABLE, "guest")
    installed("json")
    with pytest.raises(PluginError, match=r"guest.*\(disabled: left out by PIXKIT_DISABLE_PLUGINS"):
        load_recipe(write(recipe_text.replace("type: net", "type: guest_net")))


def test_without_a_missing_plugin_an_unknown_component_is_a_recipe_error(write, recipe_text, registry, monkeypatch):
    loaded = plugins.load_plugins([])
    loaded.registry = registry
    monkeypatch.setattr(plugins, "plugins", lambda: loaded)
    with pytest.raises(InvalidRecipe):
        load_recipe(write(recipe_text.replace("type: net", "type: guest_net")))


def test_a_broken_plugin_does_not_matter_to_other_mistakes(write, recipe_text, installed):
    installed("no_such_module_anywhere")
    assert load_recipe(write(recipe_text)).recipe.name == "digits-net"
    with pytest.raises(InvalidRecipe):
        load_recipe(write(recipe_text.replace("width: 16", "width: x")))


def test_a_file_name_with_a_line_break_is_no_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a\nb").write_text(WRONG)
    for given, said in (("a\nb", "a\\nb:2:7: name"), (WRONG, "the recipe given:2:7: name")):
        with pytest.raises(InvalidRecipe) as caught:
            load_recipe(given)
        assert caught.value.where == said
