"""`pixkit docs`: pages as text where it is piped, laid out on a terminal."""

import json
import shutil

import pytest

from pixkit.catalogue import topics as catalogue
from pixkit.catalogue.topics import PAGES, Topic, for_terminals, topics
from pixkit.cli import output


def test_without_a_topic_it_lists_them_with_a_line_each(pixkit):
    outcome = pixkit("docs")
    assert outcome.code == 0
    rows = [line.split(maxsplit=1) for line in outcome.out.splitlines()[1:]]
    assert dict(rows) == {name: topic.summary for name, topic in topics().items()}
    assert "pixkit docs TOPIC" in outcome.err


def test_a_page_that_is_piped_is_the_file(pixkit):
    outcome = pixkit("docs", "concepts")
    assert (outcome.code, outcome.out) == (0, (PAGES / "concepts.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lines", [10_000, 20])
def test_on_a_terminal_it_is_laid_out_and_paged_if_it_is_long(pixkit, monkeypatch, lines):
    paged = []
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *given: type("Size", (), {"columns": 70, "lines": lines})())
    monkeypatch.setattr("click.echo_via_pager", lambda text, color: paged.append(text))
    monkeypatch.setenv("NO_COLOR", "1")
    outcome = pixkit("docs", "models")
    assert outcome.code == 0 and bool(paged) == (lines == 20) and bool(outcome.out) != bool(paged)
    laid_out = "".join([outcome.out, *paged])
    assert "\x1b" not in laid_out and max(map(len, laid_out.splitlines())) <= 70
    assert "pixkit docs pictures" in laid_out and "pictures.md" not in laid_out and "](" not in laid_out


def test_links_become_commands_or_words_but_in_code(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not told -->\n# A page\n\n[a](concepts.md#scores) [b](#below) [c](https://d.org) [e](../../LICENSE) "
        "![f](f.png) `[g](concepts.md)`\n\n```text\n[h](concepts.md)\n```\n",
        encoding="utf-8",
    )
    assert for_terminals(Topic("page", "", page)) == (
        "# A page\n\na (`pixkit docs concepts`) b [c](https://d.org) e f `[g](concepts.md)`\n\n"
        "```text\n[h](concepts.md)\n```\n"
    )


def test_json_and_paths(pixkit):
    listed = json.loads(pixkit("docs", "--json").out)
    assert [row["topic"] for row in listed] == list(topics())
    page = json.loads(pixkit("docs", "python", "--json").out)
    assert page == {**next(row for row in listed if row["topic"] == "python"), "text": topics()["python"].text}
    assert pixkit("docs", "python", "--path").out == f"{page['path']}\n" == f"{PAGES / 'python.md'}\n"
    assert pixkit("docs", "--path").out == f"{PAGES}\n"
    assert pixkit("docs", "--path", "--json").code == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("concept", "did you mean 'concepts'?"),
        ("OPTUNA", "it occurs in recipe-files"),
        ("ema", "it occurs in concepts, "),
        ("optun", "(there are: quickstart, "),
    ],
)
def test_another_topic_is_refused_with_the_page_that_may_be_meant(pixkit, asked, said):
    outcome = pixkit("docs", asked)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"error: no topic '{asked}'" in outcome.err and said in outcome.err
    assert "try: pixkit docs " in outcome.err


def test_pages_of_other_folders_lie_in_the_wheel_beside_it(tmp_path, monkeypatch):
    """As pyproject.toml puts them there: recipes/README.md in _recipes, plugins/README.md in _plugins."""
    monkeypatch.setattr(catalogue, "_PACKAGE", tmp_path / "pixkit")
    assert catalogue._place("../../plugins/README.md") == tmp_path / "plugins" / "README.md"
    shipped = tmp_path / "pixkit" / "_plugins" / "README.md"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    assert catalogue._place("../../plugins/README.md") == shipped


def test_a_page_that_is_missing_is_an_error(pixkit, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "PAGES", tmp_path)
    outcome = pixkit("docs")
    assert outcome.code == 3 and "a page of the documentation is missing" in outcome.err
