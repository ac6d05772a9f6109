"""Runs to report of, and a page taken apart."""

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pixkit.report import page

LEGACY = Path(__file__).parents[1] / "legacy" / "runs" / "digits-tiny"


@pytest.fixture(autouse=True, scope="session")
def quick_threads(one_thread):
    """See tests/conftest.py."""


@pytest.fixture
def copied(tmp_path):
    """Copies of a run of sixteen steps, in folders of these names."""

    def copy(*names):
        return [shutil.copytree(LEGACY, tmp_path / name) for name in names]

    return copy


@pytest.fixture
def edit():
    """Replace texts of a file, each of which is there."""

    def change(path, *changes):
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    return change


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """A page, as text, of a run and of one that differs from it in a key; look at it only."""
    folder = tmp_path_factory.mktemp("both")
    runs = [shutil.copytree(LEGACY, folder / name) for name in ("a", "b")]
    lock = runs[1] / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("lr: 0.03", "lr: 0.3"))
    return page(runs)


@pytest.fixture
def parsed():
    """The root of a page, which has to be well-formed XML."""

    def parse(text):
        start, _, rest = text.partition("\n")
        assert start == "<!DOCTYPE html>"
        return ElementTree.fromstring(rest)

    return parse


@pytest.fixture
def cells():
    """The rows of the table whose caption begins so, as texts."""

    def look(root, caption):
        found = [one for one in root.iter("table") if "".join(one.find("caption").itertext()).startswith(caption)]
        assert len(found) == 1, caption
        return [["".join(cell.itertext()) for cell in row] for row in found[0].iter("tr")]

    return look
