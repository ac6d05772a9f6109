"""The commands about components and recipes: ls, show, cp, validate, schema."""

import io
import json
import os
from pathlib import Path

import pytest

from pixkit.catalogue.recipes import summary_of
from pixkit.components.plugins import registry
from pixkit.components.registry import KINDS
from pixkit.recipe import load_recipe, packaged_recipes


def test_ls_lists_every_component_and_recipe(pixkit):
    rows = json.loads(pixkit("ls", "--json").out)
    components = {(entry.kind, entry.name) for entry in registry()}
    assert {(row["kind"], row["name"]) for row in rows} == components | {
        ("recipe", name) for name in packaged_recipes()
    }
    assert [row for row in rows if not row["summary"]] == []
    plain = pixkit("ls").out
    assert all(f" {row['name']} " in plain for row in rows)


@pytest.mark.parametrize("kind", [*KINDS, "recipe"])
def test_ls_of_one_kind_in_the_singular_and_the_plural(pixkit, kind):
    rows = json.loads(pixkit("ls", kind, "--json").out)
    assert rows
    assert {row["kind"] for row in rows} == {kind}
    assert json.loads(pixkit("ls", f"{kind}s", "--json").out) == rows


def test_an_unknown_kind_is_guessed(pixkit):
    outcome = pixkit("ls", "backbnoes")
    assert outcome.code == 2
    assert "Did you mean 'backbone'?" in outcome.err


def test_tables_are_not_cut_where_there_is_no_terminal(pixkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    lines = pixkit("ls").out.splitlines()
    assert len(lines) == 1 + len(json.loads(pixkit("ls", "--json").out))
    assert all(line == line.rstrip() for line in lines)


def test_show_explains_a_component_and_its_keys(pixkit):
    outcome = pixkit("show", "backbone", "pixelcnn")
    assert outcome.code == 0
    assert outcome.out.startswith("backbone pixelcnn, from pixkit-models ")
    assert "arXiv 1601.06759" in outcome.out
    assert "KEY" in outcome.out
    keys = {row["key"]: row for row in json.loads(pixkit("show", "backbone", "pixelcnn", "--json").out)["keys"]}
    assert keys["width"] == {
        "key": "width",
        "type": "int",
        "default": "64",
        "range": ">= 1, <= 4096",
        "description": "Maps of the residual stream, the paper's 2h.",
    }


@pytest.mark.parametrize("entry", list(registry()), ids=lambda entry: entry.qualified)
def test_show_works_for_every_component(pixkit, entry):
    found = json.loads(pixkit("show", entry.kind, entry.name, "--json").out)
    assert found["name"] == entry.name
    assert {key["key"].split(".")[0] for key in found["keys"]} == set(entry.cls.Config.model_fields)
    assert found["description"]
    assert pixkit("show", entry.kind, entry.qualified).code == 0


def test_show_counts_the_free_parameters_of_a_head(pixkit):
    """Softmax: K - 1 a colour. Ten components of one mixture: 9 weights, 60 means and scales, 30 couplings."""
    rows = [line.split() for line in pixkit("show", "head", "softmax").out.splitlines()[-3:]]
    assert rows == [["1", "2", "1"], ["1", "256", "255"], ["3", "256", "765"]]
    found = json.loads(pixkit("show", "head", "logistic_mixture", "--json").out)["free_parameters"]
    assert found[1:] == [
        {"channels": 1, "levels": 256, "count": 29},
        {"channels": 3, "levels": 256, "count": 99},
    ]
    assert "free_parameters" not in json.loads(pixkit("show", "backbone", "pixelcnn", "--json").out)


def test_show_of_a_misspelt_component_guesses(pixkit):
    outcome = pixkit("show", "backbone", "pixelcn")
    assert outcome.code == 2
    assert "did you mean 'pixelcnn'?" in outcome.err


def test_show_recipe_prints_it_or_its_whole_content(pixkit):
    path = packaged_recipes()["digits-pixelcnn"]
    assert pixkit("show", "recipe", "digits-pixelcnn").out == path.read_text(encoding="utf-8")
    found = json.loads(pixkit("show", "recipe", "digits-pixelcnn", "--json").out)
    assert found["recipe"] == load_recipe(path).recipe.dump()


def test_show_recipe_alone_lists_the_keys_of_all_recipes(pixkit):
    keys = {row["key"] for row in json.loads(pixkit("show", "recipe", "--json").out)}
    assert {"name", "model", "train.steps", "train.optimizer", "sample.count"} <= keys
    assert "train.schedule" in pixkit("show", "recipe").out


def test_show_of_a_kind_wants_a_name(pixkit):
    outcome = pixkit("show", "head")
    assert outcome.code == 2
    assert "pixkit ls head" in outcome.err


def test_cp_copies_and_does_not_replace(pixkit, workplace):
    source = packaged_recipes()["digits-pixelcnn"].read_text(encoding="utf-8")
    assert pixkit("cp", "digits-pixelcnn").out == "digits-pixelcnn.yaml\n"
    copy = Path("digits-pixelcnn.yaml")
    assert copy.read_text(encoding="utf-8") == source
    copy.write_text("mine", encoding="utf-8")
    outcome = pixkit("cp", "digits-pixelcnn")
    assert outcome.code == 2
    assert "exists already" in outcome.err
    assert copy.read_text(encoding="utf-8") == "mine"
    assert pixkit("cp", "digits-pixelcnn", "--force").code == 0
    assert copy.read_text(encoding="utf-8") == source


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_cp_writes_through_no_link_and_replaces_none(pixkit, workplace, options):
    (workplace / "precious").write_text("mine", encoding="utf-8")
    for name, target in (("link.yaml", "precious"), ("dangling.yaml", "nowhere")):
        (workplace / name).symlink_to(workplace / target)
        outcome = pixkit("cp", "tiny.yaml", name, *options)
        assert outcome.code == 2
        assert "found: a link" in outcome.err
        assert (workplace / name).is_symlink()
    assert (workplace / "precious").read_text(encoding="utf-8") == "mine"
    assert not (workplace / "nowhere").exists()


def test_cp_to_a_file_and_into_a_folder(pixkit, workplace):
    (workplace / "folder").mkdir()
    assert pixkit("cp", "tiny.yaml", "folder").out == "folder/tiny.yaml\n"
    assert pixkit("cp", "tiny.yaml", "new/other.yaml").code == 0
    assert (workplace / "new" / "other.yaml").read_text() == (workplace / "tiny.yaml").read_text()


def test_cp_of_what_is_not_there(pixkit, workplace):
    outcome = pixkit("cp", "digits-pixelcn")
    assert outcome.code == 2
    assert "did you mean the packaged recipe 'digits-pixelcnn'?" in outcome.err
    assert [path.name for path in workplace.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipes_are_valid_and_summarised(pixkit, name):
    outcome = pixkit("validate", name)
    assert (outcome.code, outcome.out) == (0, f"{name}: ok\n")
    said = summary_of(packaged_recipes()[name])
    assert said and said.count("(") == said.count(")") and len(said) < 200, "a whole sentence, or what it begins with"


def test_validate_gives_every_error_of_every_recipe(pixkit, workplace):
    text = (workplace / "tiny.yaml").read_text().replace("width: 6", "width: no").replace("batch_size", "batchsize")
    (workplace / "bad.yaml").write_text(text)
    outcome = pixkit("validate", "bad.yaml", "tiny.yaml", "absent.yaml")
    assert outcome.code == 2
    assert outcome.out == "tiny.yaml: ok\n"
    for part in ("model.backbone.width", "train.batchsize", "2 errors", "absent.yaml: there is no such file"):
        assert part in outcome.err
    context = "  context: [{type: label}, {type: vector, from: incc}]\n"
    text = (workplace / "tiny.yaml").read_text().replace("model:\n", f"model:\n{context}")
    (workplace / "unnamed.yaml").write_text(text.replace("data: {", "data: {context: {ink: a.npy}, "))
    outcome = pixkit("validate", "unnamed.yaml")
    assert outcome.code == 2 and "model.context[1].from: no such array beside the images" in outcome.err
    assert "expected: ink" in outcome.err and "ok" not in outcome.out
    rows = json.loads(pixkit("validate", "bad.yaml", "tiny.yaml", "--json").out)
    assert [row["valid"] for row in rows] == [False, True]
    assert len(rows[0]["errors"]) == 2
    assert rows[0]["errors"][0]["where"].startswith("bad.yaml:7:")


def test_validate_says_what_checks_overrides(pixkit):
    outcome = pixkit("validate", "digits-pixelcnn", "train.steps=2")
    assert outcome.code == 2 and "`pixkit build RECIPE train.steps=2 --dry-run` checks overrides" in outcome.err


def test_schema_describes_recipes_and_components(pixkit):
    schema = json.loads(pixkit("schema").out)
    assert {"pixkit", "name", "data", "model", "train"} <= set(schema["properties"])
    assert "pixelcnn" in json.dumps(schema)


@pytest.fixture
def piped(monkeypatch):
    """Put some text, or bytes, on standard input."""

    def put(content, terminal=False):
        raw = content if isinstance(content, bytes) else content.encode()
        stream = io.TextIOWrapper(io.BytesIO(raw))
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
        monkeypatch.setattr("sys.stdin", stream)

    return put


def test_a_dash_is_the_recipe_on_standard_input(pixkit, workplace, piped):
    text = (workplace / "tiny.yaml").read_text()
    piped(text)
    assert pixkit("validate", "-").out == "standard input: ok\n"
    piped(text)
    assert pixkit("show", "recipe", "-").out == text
    piped(text)
    assert json.loads(pixkit("show", "recipe", "-", "--json").out)["recipe"]["model"]["backbone"]["width"] == 6
    piped(text)
    assert "PixelCNN, 1x8x8" in pixkit("verify", "-", "model.backbone.width=8").out
    piped(text)
    (workplace / "runs" / "other" / "somebody's").mkdir(parents=True)
    assert "runs/other: a folder that holds something other than a run" in pixkit("build", "-", "name=other").err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("pixkit: 1\nname: x\nlr: 3", "standard input:1:1: "),
        ("", "standard input: nothing was received"),
        (b"\xff", "standard input:1:1: this is not UTF-8"),
        (b" " * 1_000_001, "standard input: too large for a recipe"),
        (None, "standard input: it is closed"),
    ],
)
def test_what_is_wrong_on_standard_input_is_said_of_it(pixkit, piped, monkeypatch, content, said):
    monkeypatch.setattr("sys.stdin", None) if content is None else piped(content)
    outcome = pixkit("build", "-", "--dry-run")
    assert outcome.code == 2 and outcome.err.startswith(f"error: {said}")


def test_somebody_at_a_terminal_is_told_what_is_waited_for(pixkit, piped):
    piped("pixkit: 1\n", terminal=True)
    outcome = pixkit("validate", "-")
    assert outcome.err.startswith("type or paste a recipe, and end it with Ctrl-") and outcome.code == 2


def test_of_a_pipe_by_its_name_the_dash_is_told(pixkit, workplace):
    os.mkfifo(workplace / "pipe")
    assert "- reads a recipe from standard input" in pixkit("validate", "pipe").err
