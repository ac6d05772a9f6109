"""README.md against what it speaks of: its table of components, its commands, its links."""

import os
import re
import shlex
import warnings
from pathlib import Path

import pytest

from pixkit.cli.commands.ls import markdown_table
from pixkit.cli.group import SECTIONS
from pixkit.cli.main import main
from pixkit.cli.plugins import plugin_command_names
from pixkit.components.plugins import plugins, registry
from pixkit.distribution import OWN
from pixkit.recipe import load_recipe, packaged_recipes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "pixkit" / "docs" / "python.md").read_text(encoding="utf-8")


def own_components():
    rows = [
        {"kind": entry.kind, "name": f"`{entry.name}`", "summary": entry.summary}
        for entry in registry()
        if entry.distribution == OWN
    ]
    return markdown_table(rows, ["kind", "name", "summary"])


def test_the_table_of_components_is_the_registries():
    """To write it anew: python tests/test_readme.py."""
    assert own_components() in README


def test_the_two_commands_are_there_as_ci_runs_them():
    install = "python3 -m venv .venv && .venv/bin/pip install -e"
    assert f"{install} . && .venv/bin/pixkit build recipes/digits-pixelcnn.yaml" in README
    assert f"{install} '.[test]' && .venv/bin/pytest" in README
    assert "-m pytest" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [README, RECIPES], ids=["README.md", "recipes/README.md"])
def test_links_and_pictures_are_there(text):
    folder = ROOT if text is README else ROOT / "recipes"
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("http")]
    assert targets
    assert not [target for target in targets if not (folder / target).exists()]


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_every_recipe_is_valid_and_named_as_its_file(name):
    assert load_recipe(packaged_recipes()[name]).recipe.name == name


@pytest.mark.parametrize("text", [README, RECIPES], ids=["README.md", "recipes/README.md"])
def test_every_command_named_exists(text):
    known = {name for commands in SECTIONS.values() for name in commands} | {*plugin_command_names(plugins())}
    named = set(re.findall(r"(?:^|[/`])pixkit ([a-z]+(?:-[a-z]+)*)", text, re.MULTILINE))
    assert named
    assert named <= known


COMMANDS = re.findall(r"^    (pixkit .*?) *(?:#.*)?$", README, re.MULTILINE)
SHORT = ["train.steps=2", "train.eval_every=2", "train.eval_images=16", "sample.count=1"]
FEW = ["data.limit_train=64", "data.limit_test=16"]
LONG = os.environ.get("PIXKIT_LONG") == "1"
LEFT_OUT = r"zoo:|gated|multiscale|bench|sweep|digits-pixelcnn.yaml --dry-run|build mine.yaml .*train.steps"
"""Of the commands, if not all are run: what takes seconds and shows nothing that the others do not."""


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """The folder in which the commands were run in order, and the exit code of each: in the long set as they stand."""
    folder, codes = tmp_path_factory.mktemp("readme"), {}
    (folder / "recipes").symlink_to(ROOT / "recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            arguments = shlex.split(command)[1:]
            if not LONG and arguments[0] == "build":
                arguments += SHORT if "mine.yaml" in arguments else SHORT + FEW
            if LONG or not re.search(LEFT_OUT, command):
                codes[command] = main(arguments)
    return folder, codes


@pytest.mark.long
def test_every_command_succeeds_in_this_order(used):
    _, codes = used
    assert len(codes) == len(COMMANDS) if LONG else len(codes) >= 15
    assert {command: code for command, code in codes.items() if code != 0} == {}


def test_the_recipe_shown_is_the_file():
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert shown == (ROOT / "recipes" / "digits-pixelcnn.yaml").read_text(encoding="utf-8")


def test_the_python_runs(used, monkeypatch):
    """On the runs of the commands: README's, and what the page for it goes on with."""
    folder, _ = used
    monkeypatch.chdir(folder)
    found = {}
    code = "".join(re.findall(r"```python\n(.*?)```", README + PYTHON, re.DOTALL))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        exec(compile(code, "README.md", "exec"), found)
    assert found["reports"]["network"].verdict == "proved" and int(found["seen"].sum()) == 36
    assert found["result"].run.path == folder / "runs" / "mine" and found["order"].steps.shape == (1, 8, 8)
    assert found["nats"].shape == (10,) and found["z"].shape == (10, 16) and found["bound"].shape == (10,)
    assert found["found"].exact and found["found"].samples.shape == (8, 1, 8, 8)
    assert found["scores"].images == (300 if LONG else 16) and found["drawn"].images.shape == (16, 1, 8, 8)
    assert found["again"].images.shape == (2, 1, 8, 8)
    assert Path("again.png").exists() and Path("completed.png").exists() and not Path("runs/other").exists()
    assert found["batch"].x.unique().tolist() == [0, 1, 2, 3] and found["batch"].labels.shape == (5,)


if __name__ == "__main__":
    head, tail = README.split("<!-- components -->\n")[0], README.split("<!-- /components -->\n")[1]
    (ROOT / "README.md").write_text(
        f"{head}<!-- components -->\n{own_components()}\n<!-- /components -->\n{tail}", encoding="utf-8"
    )
