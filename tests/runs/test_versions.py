"""What is said where a run's components come from another version than it was made with."""

import json

import pytest

from pixkit.components.config import ComponentConfig
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.runs import versions


def entry(kind, name, distribution, version):
    return Entry(kind, name, type(name, (), {"Config": ComponentConfig}), distribution, version)


SCAN, HEAD = entry("ordering", "scan", "Some.Dist", "2"), entry("head", "mine", "some-dist", "2")
OWN, OTHER = entry("backbone", "net", "pixkit-models", "9"), entry("data", "files", "other", "1")


@pytest.fixture
def told(tmp_path, monkeypatch):
    """told(entries, **made_with): what is said of a recipe of these components."""

    def telling(*entries, made_with):
        plugins = {f"{name}:it": version for name, version in made_with.items()}
        (tmp_path / "env.json").write_text(json.dumps({"plugins": plugins}))
        held = [((), ComponentSpec(one, ComponentConfig()), None) for one in entries]
        monkeypatch.setattr(versions, "walk", lambda recipe: [((), "a value", None), *held])
        return [text.removeprefix(f"{tmp_path}: ") for text in versions.others(tmp_path, None)]

    return telling


def test_a_distribution_of_another_version_is_said_once_with_all_that_it_brings(told):
    assert told(SCAN, OWN, OTHER, SCAN, made_with={"some-dist": "1", "other": "1", "pixkit-models": "8"}) == [
        "the run was made with Some.Dist 1, and this is Some.Dist 2, which brings the ordering 'scan': "
        "the meaning of its weights may have changed"
    ]
    again = entry("head", "mine", "Some.Dist", "2")
    [text] = told(SCAN, again, made_with={"some.dist": "1"})
    assert "which brings the ordering 'scan' and the head 'mine': " in text
    assert [text.split()[5] for text in told(OTHER, SCAN, made_with={"some_dist": "1", "other": "0"})] == [
        "Some.Dist",
        "other",
    ]


def test_of_what_was_not_noted_nothing_is_said(told):
    assert told(SCAN, HEAD, OTHER, made_with={"other": "1"}) == []
