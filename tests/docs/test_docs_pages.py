"""The pages of pixkit/docs against what they speak of: their index, links, commands, figures, code and messages."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import recipe_costs
import torch
from recipe_page import page

import pixkit
from pixkit.catalogue.published import PUBLISHED
from pixkit.catalogue.recipes import packaged_recipes
from pixkit.catalogue.topics import PAGES, topics
from pixkit.cli.group import SECTIONS
from pixkit.cli.main import main
from pixkit.cli.plugins import plugin_command_names
from pixkit.components.plugins import plugins
from pixkit.recipe import load_recipe

TOPICS = topics()
MINE = """\
pixkit: 1
name: mine
data: {source: digits, limit_train: 16, limit_test: 8}
model: {type: autoregressive, backbone: {type: pixelcnn, width: 2, layers: 0, first_kernel: 3, output_layers: 1}}
train: {steps: 1, batch_size: 4, eval_images: 4}
sample: {count: 1}
"""


def text(name):
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def test_the_index_lists_every_page_once():
    assert [topic.path.exists() for topic in TOPICS.values()] == [True] * len(TOPICS)
    own = sorted(topic.path.name for topic in TOPICS.values() if topic.path.parent == PAGES)
    assert own == sorted(path.name for path in PAGES.iterdir() if path.name != "README.md")
    assert all(topic.text.startswith("# ") for topic in TOPICS.values())


def anchors(path):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(name):
    """The links of a page that lead nowhere."""
    for target in re.findall(r"\]\(([^)]+)\)", text(name)):
        file, _, anchor = target.partition("#")
        path = PAGES / (file or f"{name}.md")
        if "://" not in target and (not path.is_file() or {anchor} - {"", *anchors(path)}):
            yield name, target


def test_links_lead_somewhere():
    assert [found for path in PAGES.iterdir() for found in dead(path.stem)] == []


def test_every_command_and_recipe_that_is_named_exists():
    whole = "".join(text(path.stem) for path in PAGES.iterdir())
    commands = {name for section in SECTIONS.values() for name in section} | {*plugin_command_names(plugins())}
    assert set(re.findall(r"(?:^(?: {4}|\$ )|[`/])pixkit ([a-z]+(?:-[a-z]+)*)", whole, re.M)) <= commands
    assert set(re.findall(r"`((?:digits|mnist|cifar10|codes)-[\w-]+)`", whole)) <= set(packaged_recipes())


def test_figures_of_recipes_are_in_step_with_them():
    """To write the page anew: python tests/docs/recipe_costs.py; with --measure where a recipe has changed."""
    figures = json.loads(recipe_costs.FIGURES.read_text(encoding="utf-8"))
    assert set(figures) == set(packaged_recipes()) > set(PUBLISHED)
    assert not [name for name, row in figures.items() if "published" in row and name in PUBLISHED], "it is stated there"
    measured = {name: row["measured"]["recipe"] for name, row in figures.items() if "measured" in row}
    assert measured == {name: recipe_costs.digest(name) for name in measured}
    assert text("recipes") == page(figures)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a recipe and the run of it."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "mine.yaml").write_text(MINE, encoding="utf-8")
    assert main(["build", "-q", str(folder / "mine.yaml"), "-o", str(folder / "runs" / "mine")]) == 0
    return folder


MESSAGES = re.findall(r"```console\n\$ pixkit (.*)\n((?:.*\n)+?)```", text("troubleshooting"))


@pytest.mark.parametrize(("command", "said"), MESSAGES, ids=[command for command, _ in MESSAGES])
def test_messages_are_what_these_commands_say(folder, monkeypatch, capsys, command, said):
    """Line by line; what is left out of a message is not told here. Each is below the exit code that it ends with."""
    monkeypatch.chdir(folder)
    before = text("troubleshooting").partition(f"$ pixkit {command}\n")[0]
    (code,) = re.findall(r"^## .*\(exit code (\d)\)$", before, re.MULTILINE)[-1:]
    assert main(shlex.split(command)) == int(code)
    found = capsys.readouterr().err.replace(f"{folder}/", "").splitlines()
    assert [line for line in said.splitlines() if line not in found] == []


def test_its_own_pictures_are_read_by_class(tmp_path, monkeypatch):
    """The code that writes them, run with fewer, and the section of the recipe."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", text("pictures"), re.DOTALL)
    assert code.count("[:, 0]") == 1
    exec(compile(code.replace("[:, 0]", "[:3, 0]"), "pictures.md", "exec"), {})
    (section,) = re.findall(r"```yaml\n(.*?)```", text("pictures"), re.DOTALL)
    recipe, count = re.subn(
        r"^name: .*\ndata: .*\n", section, packaged_recipes()["digits-gated"].read_text("utf-8"), flags=re.M
    )
    Path("mine.yaml").write_text(recipe, encoding="utf-8")
    loaded = load_recipe("mine.yaml").recipe
    assert count == 1
    found = pixkit.data.prepare(loaded.data, Path())
    assert (found.spec.shape, found.spec.levels, found.classes) == ((1, 8, 8), 16, 10)
    assert sum(found.size(split) for split in ("train", "validation", "test")) == 30
    assert loaded.model.build(found.spec, found.classes).sample(1, context=torch.tensor([3])).shape == (1, 1, 8, 8)


def test_the_script_that_measures_says_what_a_recipe_takes(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recipe_costs.py"])
    found = recipe_costs.measured("digits-row_rnn-seq2seq")
    recipe = recipe_costs.stated("digits-row_rnn-seq2seq")
    model = pixkit.build_model(recipe["model"], found["image"])
    assert found["weights"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["bytes"] > 4 * 4 * found["weights"] and 0 < found["seconds_per_step"] < 60
