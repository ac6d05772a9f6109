"""`pixkit new-plugin`."""

import json

import pytest

FILES = ["pyproject.toml", "README.md", "pixkit_waves.py", "recipe.yaml", "tests/test_waves.py"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_it_writes_a_distribution_and_says_what_to_type_next(pixkit, tmp_path):
    outcome = pixkit("new-plugin", "pixkit-waves", "--kind", "data")
    assert (outcome.code, outcome.out.splitlines()) == (0, [f"pixkit-waves/{name}" for name in FILES])
    assert outcome.err.splitlines() == [
        *("next:", "  cd pixkit-waves", "  pip install -e '.[test]'", "  pytest", "  pixkit build recipe.yaml")
    ]
    for name in FILES:
        assert (tmp_path / "pixkit-waves" / name).read_text(encoding="utf-8")
    readme = (tmp_path / "pixkit-waves" / "README.md").read_text(encoding="utf-8")
    assert "a data source, `waves`, in `pixkit_waves.py`" in readme and "pixkit show data waves" in readme


def test_it_goes_where_it_is_told(pixkit):
    outcome = pixkit("new-plugin", "pixkit-waves", "--kind", "head", "--output", "a b", "--json")
    found = json.loads(outcome.out)
    assert found["files"] == [f"a b/{name}" for name in FILES] and not outcome.err
    assert (found["kind"], found["distribution"], found["component"]) == ("head", "pixkit-waves", "waves")
    assert "cd 'c d'\n" in pixkit("new-plugin", "pixkit-waves", "--kind", "mask", "--output", "c d").err


def test_nothing_is_overwritten(pixkit, tmp_path):
    last = tmp_path / "pixkit-waves" / FILES[-1]
    last.parent.mkdir(parents=True)
    last.write_text("mine", encoding="utf-8")
    outcome = pixkit("new-plugin", "pixkit-waves", "--kind", "data")
    assert outcome.code == 2 and f"pixkit-waves/{FILES[-1]}: exists already" in outcome.err
    assert [path for path in last.parents[1].rglob("*") if path.is_file()] == [last] and last.read_text() == "mine"


def test_a_name_that_recipes_know_is_warned_of(pixkit):
    outcome = pixkit("new-plugin", "pixkit-pixelcnn", "--kind", "backbone")
    assert outcome.code == 0
    assert outcome.err.startswith(
        "pixkit: pixkit-models also has a backbone 'pixelcnn': while both are installed, recipes must name "
        "pixkit-pixelcnn:pixelcnn\n"
    )
    assert "also has" not in pixkit("new-plugin", "pixkit-pixelcnn", "--kind", "head").err


def test_a_kind_is_asked_for_and_known(pixkit):
    assert "Missing option '--kind'" in pixkit("new-plugin", "pixkit-waves").err
    outcome = pixkit("new-plugin", "pixkit-waves", "--kind", "bakbone")
    assert outcome.code == 2 and "'backbone'" in outcome.err
