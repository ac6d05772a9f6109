"""What `pixkit new-plugin` writes: of each kind something that works, tested, and tidy."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pixkit.catalogue.kinds import KINDS
from pixkit.components.plugins import registry
from pixkit.components.registry import Registrar, Registry
from pixkit.recipe import load_recipe
from pixkit.starter import Names, new_plugin
from pixkit.starter.distribution import TEMPLATES, plugin_files

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("PIXKIT_LONG") == "1"


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_each_kind_passes_its_tests_and_its_recipe_is_valid(kind, started, some_orderings, tmp_path):
    folder, module, tests = started(kind)
    cases = {name: test for name, test in vars(tests).items() if name.startswith("test_")}
    assert "test_it_keeps_the_contract" in cases
    for test in cases.values():
        test(*[tmp_path] * test.__code__.co_argcount)
    assert bool(some_orderings) == (kind == "backbone")

    registrar, known = Registrar("pixkit-new-" + kind, "0.1.0"), Registry()
    module.pixkit_register(registrar)
    assert registrar.entries[0].kind == kind and registrar.entries[0].name == f"new_{kind}"
    known.extend([*registry(), *registrar.entries])
    recipe = load_recipe(folder / "recipe.yaml", registry=known).recipe
    assert recipe.name == f"new_{kind}"
    assert re.search(
        rf"(type|source): new_{kind}\b|\[new_{kind}\]", (folder / "recipe.yaml").read_text(encoding="utf-8")
    )

    stated = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stated["entry-points"]["pixkit"] == {f"new_{kind}": module.__name__} and "pytest>=8" in str(stated)
    assert stated["description"] == module.__doc__.split("\n")[0]


def test_there_is_a_template_for_each_kind_and_none_for_another():
    assert {path.name for path in TEMPLATES.iterdir()} == {*KINDS, "shared"}
    names = Names.of("pixkit-blue-noise")
    for kind in KINDS:
        for path, text in plugin_files(kind, names).items():
            assert not re.search("xample|KIND|SUMMARY", text), (kind, path)


def checked(folder, *command):
    ended = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def every(tmp_path):
    """The folders of a plugin of each kind."""
    for kind in KINDS:
        new_plugin(kind, Names.of(f"pixkit-new-{kind}"), tmp_path / kind)
    return tmp_path


def test_all_of_it_is_as_ruff_wants_it_and_formatted_as_by_default(every):
    ours = f"src={[str(every / kind) for kind in KINDS]}"
    checked(every, "ruff", "check", "--isolated", "--no-cache", "--config", ours, "--select", "E,F,W,I,B,UP,SIM,RUF")
    checked(every, "ruff", "format", "--check", "--isolated", "--no-cache")


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="mypy reads all of torch: PIXKIT_LONG=1")
def test_all_of_it_has_types_that_mypy_approves_of(every, monkeypatch):
    paths = [ROOT, ROOT / "plugins", *(every / kind for kind in KINDS)]
    monkeypatch.setenv("MYPYPATH", os.pathsep.join(map(str, paths)))
    files = [str(path) for path in every.glob("**/*.py")]
    checked(every, "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", str(every / "cache"), *files)
