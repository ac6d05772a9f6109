"""What commands say from the catalogue that the first of them has made: neither torch nor plugins are imported."""

import os
import shutil

import pytest

from pixkit.runs.contents import LOCK_HEADER

RUN = "import sys; from pixkit.cli.main import main; code = main(sys.argv[1:])"
LISTING = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write(" ".join(sys.modules)))
{RUN}
"""
HEAVY = {"torch", "numpy", "pydantic", "yaml", "PIL", "pluggy"}


@pytest.fixture(scope="module")
def catalogued(open_door, tmp_path_factory):
    """A door with a sound plugin and a broken one, and what the first command said; it has made the catalogue."""
    opened = open_door(tmp_path_factory.mktemp("catalogued"), "good", "missing_import")
    variables = {"PIXKIT_CACHE": str(opened.cwd / "cache")}
    first = opened.python(RUN, "--help", anew=True, **variables)
    assert list((opened.cwd / "cache" / "catalogue").glob("*.json"))

    def look(*arguments, **others):
        return opened.python(LISTING, *arguments, anew=True, **variables, **others)

    return first, look


def test_help_names_the_commands_of_plugins(catalogued):
    first, look = catalogued
    again = look("--help")
    assert again.stdout == first.stdout
    assert {"restore", "door-greet"} <= {line.split()[0] for line in again.stdout.splitlines() if line.startswith("  ")}
    assert not {*HEAVY, "rich"} & set(again.stderr.split())


def test_lists_name_components_of_plugins_and_what_is_broken(catalogued):
    _, look = catalogued
    found = look("ls", "heads")
    assert "scaled" in found.stdout and "pixkit-door-good 1.2.0" in found.stdout
    said, _, modules = found.stderr.rpartition("\n")
    what, _, place = said.rpartition(" (")
    assert what == (
        "pixkit: the plugin 'missing_import' of pixkit-door-missing-import 0.1 is broken and was left out: "
        "ModuleNotFoundError: No module named 'no_such_package_for_pixkit'"
    )
    assert place.endswith("door_missing_import.py, line 3)")
    assert not HEAVY & set(modules.split())


def test_a_component_is_shown(catalogued):
    _, look = catalogued
    found = look("show", "head", "pixkit-door-good:scaled")
    assert "head scaled, from pixkit-door-good 1.2.0" in found.stdout
    assert "What logits are multiplied by." in found.stdout
    assert not HEAVY & set(found.stderr.rpartition("\n")[2].split())


def test_completion_knows_them_and_says_nothing_else(catalogued):
    _, look = catalogued
    words = {"COMP_WORDS": "pixkit show head sc", "COMP_CWORD": "3", "_PIXKIT_COMPLETE": "bash_complete"}
    found = look(**words)
    assert found.stdout == "plain,scaled\n"
    assert "\n" not in found.stderr
    assert not {*HEAVY, "rich"} & set(found.stderr.split())


def test_runs_are_listed_without_the_models_of_recipes(catalogued, tmp_path):
    _, look = catalogued
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "recipe.lock.yaml").write_text(f"{LOCK_HEADER}name: x\n", encoding="utf-8")
    found = look("ls", "runs", str(tmp_path))
    assert "the key 'seed' is missing" in found.stdout
    modules = set(found.stderr.rpartition("\n")[2].split())
    assert "pydantic" in modules
    assert not ({*HEAVY, "rich", "pixkit.recipe.schema", "pixkit.components"} - {"pydantic", "yaml"}) & modules


@pytest.mark.long
@pytest.mark.skipif(os.environ.get("PIXKIT_LONG") != "1", reason="takes half a minute")
def test_a_plugin_that_is_edited_switched_off_or_removed_is_listed_as_it_is_now(installed, open_door, tmp_path):
    """A real one, by real processes; tests/catalogue has every kind of change."""
    opened = open_door(tmp_path, "good")
    copy = shutil.copytree(*installed("good"), tmp_path / "copy")
    opened.folders = [copy]
    variables = {"PIXKIT_CACHE": str(tmp_path / "cache")}

    def summaries(**others):
        return opened.python(RUN, "ls", "heads", anew=True, **variables, **others).stdout

    assert "A softmax whose logits" in summaries()
    shown = ("show", "head", "scaled", "--json")
    kept = opened.python(RUN, *shown, anew=True, **variables)
    loaded = opened.python(RUN, "--strict-plugins", *shown, anew=True, **variables)
    assert kept.stdout == loaded.stdout
    (module,) = copy.glob("*.py")
    module.write_text(module.read_text(encoding="utf-8").replace("A softmax whose", "That whose"), encoding="utf-8")
    assert "That whose logits" in summaries()
    assert "That whose" not in summaries(PIXKIT_DISABLE_PLUGINS="good")
    module.write_text("raise SystemExit\n", encoding="utf-8")
    assert "That whose" not in summaries()
    shutil.rmtree(copy)
    assert "That whose" not in summaries()
