"""Texts name modules, classes and functions of pixkit that are there."""

import functools
import importlib
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = [path for folder in ("pixkit", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]
TEXTS = sorted({ROOT / "README.md", *(ROOT / "pixkit").glob("*.md"), *(ROOT / "plugins").glob("*.md")})
NAME = re.compile(r"\bpixkit(?:\.[A-Za-z_]\w*)+")
IN_BACKTICKS = re.compile(r"`(pixkit(?:\.[A-Za-z_]\w*)+)[^`]*`")
FILES = ("yaml", "md", "py", "toml", "json", "sh", "git")


def there(name):
    """Whether a dotted name is a module, or something in one; what is there for old plugins alone does not count."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                functools.reduce(getattr, parts[count:], found)
        except (AttributeError, DeprecationWarning):
            return False
        return True
    return False


@pytest.mark.parametrize("path", [*CODE, *TEXTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_dotted_names_in_texts_are_there(path):
    text = path.read_text(encoding="utf-8")
    names = set((NAME if path.suffix == ".py" else IN_BACKTICKS).findall(text))
    missing = [name for name in sorted(names) if name.rpartition(".")[2] not in FILES and not there(name)]
    assert not missing


def test_a_name_that_is_not_there_is_found():
    assert there("pixkit.runs.run.Run")
    assert not there("pixkit.run.Run")
    assert not there("pixkit.runs.run.Walk")
    assert not there("pixkit.DataConfig")
