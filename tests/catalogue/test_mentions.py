"""Which pages of the documentation a word is looked up in, and how old a kept catalogue may be to be noted as used."""

import os
import time

import pytest

from pixkit.catalogue import store, topics
from pixkit.catalogue.watch import Watch

PAGES = {
    "README": "| [first](first.md) | Of foxes. |\n| [second](second.md) | Of owls. |\n"
    "| [third](third.md) | Of foxes. |\n| [fourth](fourth.md) | Of owls. |\n"
    "| [none](none.md) | Of foxglove. |\n| no row |\n",
    "first": "A fox, a fox and a fox.\n",
    "second": "# The Fox\n\nA **red fox**.\n\n**not ended\nfox\n",
    "third": "A fox.\n",
    "fourth": "A fox and a fox.\n",
    "none": "Foxes, a firefox and a fox-like thing? No: foxy.\n",
}


@pytest.fixture
def pages(tmp_path, monkeypatch):
    for name, text in PAGES.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(topics, "PAGES", tmp_path)


@pytest.mark.usefixtures("pages")
def test_pages_that_explain_a_word_come_before_those_that_use_it_often():
    assert topics.mentions("fox") == ["second", "first", "fourth"]
    assert topics.mentions("FOX", 9) == ["second", "first", "fourth", "third", "none"]
    assert topics.mentions("foxes", 9) == ["none"] and topics.mentions("bear") == []
    assert topics.mentions("owls") == [], "it is in no page"


@pytest.mark.usefixtures("pages")
def test_a_word_of_the_summary_counts_as_one_that_is_explained(tmp_path):
    (tmp_path / "third.md").write_text("Some foxes.\n", encoding="utf-8")
    (tmp_path / "none.md").write_text("Foxes and foxes.\n", encoding="utf-8")
    assert topics.mentions("foxes") == ["third", "none"]


def test_a_catalogue_that_was_used_within_a_day_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(Watch, "settled", lambda watch, marks: True)
    store.keep({"a": 1}, Watch())
    (path,) = (tmp_path / "catalogue").glob("*.json")
    for age, noted in ((store.AGE - 600, False), (store.AGE + 600, True)):
        used = time.time() - age
        os.utime(path, (used, used))
        assert store.find() == {"a": 1}
        assert (abs(path.stat().st_mtime - used) > 1) == noted
