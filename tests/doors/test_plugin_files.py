"""Plugins in a file, and components that are registered by hand."""

import subprocess
import sys

import pytest

from pixkit.components.hookspecs import API_VERSION
from pixkit.components.plugins import Plugins, load_plugins
from pixkit.components.registry import NOTEBOOK, Registry
from pixkit.errors import PluginError
from pixkit.orderings.masks import Full, Point, TapShape
from pixkit.orderings.scans import Raster
from pixkit.recipe import load_recipe
from pixkit.runs.lockfile import recipe_of

SOURCE = '''
from __future__ import annotations

from dataclasses import dataclass

import pixkit

pixkit_api_version = 1


@dataclass
class Options:
    """Looked up in the module."""

    far: int = 2


class Column(pixkit.TapShape):
    """The centre's column."""

    class Config(pixkit.ComponentConfig):
        """Options in a class of the same file."""

        options: Options = Options()
        """Some."""

    def has(self, dy, dx):
        return dx == 0


@pixkit.hookimpl
def pixkit_register(registry):
    registry.add("mask", "column", Column)
'''


@pytest.fixture
def write(tmp_path):
    """Write a plugin file and give its path."""

    def _write(text=SOURCE, name="my_shapes.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_a_file_is_a_plugin_named_after_itself(write):
    loaded = Plugins()
    info = loaded.load_file(write())
    assert (info.name, info.distribution, info.health) == ("my_shapes", "my_shapes.py", "ok")
    assert info.components == [("mask", "column")]
    assert len(info.version) == 12 and int(info.version, 16) >= 0
    entry = loaded.registry.get("mask", "my_shapes.py:column")
    assert entry is loaded.registry.get("mask", "column")
    assert entry.recipe_name == "my_shapes.py:column", "a run says which file it needs"
    assert entry.cls.Config().model_dump() == {"options": {"far": 2}}, "annotations are looked up in the file"
    assert info.key in dict(loaded.manager.list_name_plugin())


def test_a_file_may_be_named_by_text_and_relatively(write, monkeypatch):
    path = write()
    monkeypatch.chdir(path.parent)
    loaded = Plugins()
    assert loaded.load_file("my_shapes.py") is loaded.load_file(path), "and is loaded once"
    assert len(loaded.infos) == 1


def test_a_file_that_was_changed_is_loaded_anew(write, monkeypatch):
    """Within a second, and to the same length, which Python's cache of compiled files cannot tell."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    loaded = Plugins()
    before = loaded.load_file(write())
    after = loaded.load_file(write(SOURCE.replace('"column"', '"pillar"')))
    assert loaded.infos == [after]
    assert before.version != after.version
    assert loaded.registry.names("mask") == ["pillar"]
    assert len(loaded.manager.get_plugins()) == 1


@pytest.mark.parametrize(("text", "found"), [
    ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    ("def f(:", "SyntaxError"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("x = 1", "states no pixkit_api_version"),
    ("pixkit_api_version = 99", "states pixkit_api_version = 99"),
    (f"pixkit_api_version = {API_VERSION}", "implements no pixkit hook"),
    (SOURCE.replace("@pixkit.hookimpl\n", ""), "'pixkit_register' lacks the @pixkit.hookimpl marker"),
    (SOURCE.replace('"mask", "column"', '"head", "column"'), "the class of the head 'column' is not one of that kind"),
    (SOURCE.replace("def has", "def had"), "the class of the mask 'column' lacks `has`"),
    (SOURCE + "    raise RuntimeError('half\\nway')\n", "RuntimeError: half way (PATH, line 34)"),
])  # fmt: skip
def test_a_file_that_fails_is_an_error_and_leaves_nothing(write, text, found):
    loaded = Plugins()
    kept = loaded.load_file(write(name="kept/kept.py"))
    path = write(text)
    modules = set(sys.modules)
    with pytest.raises(PluginError, match="the plugin file cannot be loaded") as error:
        loaded.load_file(path)
    assert (error.value.where, error.value.exit_code) == (str(path), 4)
    assert found.replace("PATH", str(path)) in error.value.found and "\n" not in error.value.found
    assert loaded.infos == [kept]
    assert [entry.qualified for entry in loaded.registry] == ["kept.py:column"]
    assert len(loaded.manager.get_plugins()) == 1
    if "pixkit" not in text and "=" not in text:
        assert not {name for name in set(sys.modules) - modules if "my_shapes" in name}, "its module is forgotten"
    assert loaded.load_file(write()).health == "conflict", "once it is mended it is loaded"


def test_a_changed_file_that_fails_leaves_what_it_brought_before(write):
    loaded = Plugins()
    info = loaded.load_file(write())
    with pytest.raises(PluginError, match="SyntaxError"):
        loaded.load_file(write("def f(:"))
    assert loaded.infos == [info] and loaded.registry.names("mask") == ["column"]


def test_a_changed_file_that_is_no_plugin_leaves_the_module_of_before(write):
    loaded = Plugins()
    loaded.load_file(path := write())
    before = {name: module for name, module in sys.modules.items() if name.startswith("pixkit_plugin_file")}
    write(SOURCE.replace("pixkit_api_version = 1", "pixkit_api_version = 99"))
    with pytest.raises(PluginError):
        loaded.load_file(path)
    after = {name: module for name, module in sys.modules.items() if name.startswith("pixkit_plugin_file")}
    assert after == before


def test_a_conflict_is_over_when_one_of_the_two_has_changed(write):
    loaded = Plugins()
    first = loaded.load_file(write(name="one.py"))
    path = write(name="two.py")
    assert loaded.load_file(path).health == first.health == "conflict"
    write(SOURCE.replace('"column"', '"pillar"'), name="two.py")
    assert loaded.load_file(path).health == first.health == "ok" and not first.detail
    assert [entry.qualified for entry in loaded.registry] == ["one.py:column", "two.py:pillar"]


def test_ctrl_c_is_not_swallowed(write):
    with pytest.raises(KeyboardInterrupt):
        Plugins().load_file(write("raise KeyboardInterrupt"))


@pytest.mark.parametrize(("name", "message"), [
    ("none.py", "the plugin file cannot be read"),
    ("notes.txt", "a plugin file must be a Python file"),
    ("my_shapes", "a plugin file must be a Python file"),
])  # fmt: skip
def test_what_is_no_file_is_refused(tmp_path, name, message):
    with pytest.raises(PluginError, match=message) as error:
        Plugins().load_file(tmp_path / name)
    assert error.value.exit_code == 4 and name in error.value.where


def test_two_files_of_one_name_are_refused(write):
    loaded = Plugins()
    loaded.load_file(write())
    with pytest.raises(PluginError, match="another plugin has this name"):
        loaded.load_file(write(name="elsewhere/my_shapes.py"))


def test_a_file_that_collides_with_a_plugin_is_told_so_and_both_are_usable(write):
    loaded = load_plugins()
    info = loaded.load_file(write(SOURCE.replace('"column"', '"full"')))
    assert info.health == "conflict"
    with pytest.raises(PluginError, match=r"is provided by .* and my_shapes.py"):
        loaded.registry.get("mask", "full")
    assert loaded.registry.get("mask", "my_shapes.py:full").cls.__name__ == "Column"


def test_what_a_file_prints_goes_to_stderr(write, capsys):
    Plugins().load_file(write("print('hello')\n" + SOURCE.replace("from __future__ import annotations", "")))
    assert capsys.readouterr() == ("", "hello\n")


def test_without_the_file_it_is_said_which_one_is_missing():
    assert Registry().explain("mask", "my_shapes.py:column", {"my_shapes.py": "0123"}) == (
        "it came from the plugin file my_shapes.py: give it with --plugin my_shapes.py "
        "or pixkit.load(run, plugins=['my_shapes.py'])"
    )


class Near(TapShape):
    """The centre's neighbours."""

    def has(self, dy, dx):
        return abs(dy) + abs(dx) == 1


def test_a_class_is_registered_by_hand():
    loaded = Plugins()
    entry = loaded.register("mask", "near", Near)
    assert entry is loaded.registry.get("mask", "near")
    assert (entry.cls, entry.qualified, entry.recipe_name) == (Near, "notebook:near", "notebook:near")
    (info,) = loaded.infos
    assert (info.name, info.distribution, info.health, info.components) == (
        NOTEBOOK,
        NOTEBOOK,
        "ok",
        [("mask", "near")],
    )
    loaded.call(info, "pixkit_train_end", run=None, step=0)


def test_the_same_name_by_hand_is_the_last_class():
    loaded = Plugins()
    loaded.register("mask", "near", Near)
    loaded.register("ordering", "near", Raster)
    loaded.register("mask", "near", Full)
    assert loaded.registry.get("mask", "near").cls is Full
    assert loaded.registry.names("mask") == loaded.registry.names("ordering") == ["near"]
    assert [info.components for info in loaded.infos] == [[("mask", "near"), ("ordering", "near")]]


def test_a_plugins_name_is_not_taken_by_hand(write):
    loaded = load_plugins()
    with pytest.raises(PluginError, match="there is a mask 'point' already") as error:
        loaded.register("mask", "point", Near)
    assert error.value.exit_code == 4 and error.value.found.startswith("that of pixkit")
    assert loaded.registry.get("mask", "point").cls is Point
    loaded.load_file(write())
    with pytest.raises(PluginError, match="there is a mask 'column' already"):
        loaded.register("mask", "column", Near)
    assert NOTEBOOK not in [info.name for info in loaded.infos]


def test_what_cannot_be_registered_by_hand_leaves_what_there_was():
    loaded = Plugins()
    loaded.register("mask", "near", Near)
    with pytest.raises(PluginError, match="not one of that kind"):
        loaded.register("mask", "near", Raster)
    assert loaded.registry.get("mask", "near").cls is Near


def test_without_the_class_it_is_said_that_it_was_registered_by_hand():
    assert Registry().explain("mask", "notebook:near").startswith("it was registered by hand: do so again with pixkit.")


def test_finding_out_about_files_imports_no_torch():
    code = "import sys, pixkit.components.plugin_file, pixkit.components.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NET = '''
import pixkit

pixkit_api_version = 1


class Rows(pixkit.Ordering):
    """Rows from the top."""

    def site_steps(self, height, width):
        return pixkit.testing.named("ordering", "row_at_once").build(pixkit.ImageSpec(1, height, width, 2)).steps[0]


@pixkit.hookimpl
def pixkit_register(registry):
    registry.add("ordering", "my_rows", Rows)
'''
RECIPE = """\
pixkit: 1
name: rows
data: {source: digits}
model:
  type: autoregressive
  ordering: {type: my_rows}
  backbone: {type: pixelcnn, width: 8}
"""


def test_a_run_says_which_file_it_needs(write, tmp_path):
    """Its lock names the component by the file; read without the file, it asks for it."""
    loaded, without = load_plugins(), load_plugins()
    loaded.load_file(write(NET, "my_orderings.py"))
    recipe = load_recipe(write(RECIPE, "rows.yaml"), registry=loaded.registry)
    lock = recipe.lock()
    assert lock["model"]["ordering"]["type"] == "my_orderings.py:my_rows"
    assert recipe_of(lock, tmp_path / "recipe.lock.yaml", loaded.registry).dump() == recipe.recipe.dump()
    with pytest.raises(PluginError, match=r"no ordering named 'my_orderings.py:my_rows'") as error:
        recipe_of(lock, tmp_path / "recipe.lock.yaml", without.registry)
    assert error.value.exit_code == 4
    assert error.value.hint.startswith("it came from the plugin file my_orderings.py: give it with --plugin my_ord")
