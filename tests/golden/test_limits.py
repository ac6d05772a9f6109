"""Limits, tolerances and numbers of formats are what they were. Some can be seen in what the program does at great cost
alone: gigabytes, minutes, a GPU that rounds a little more."""

import json
from pathlib import Path

from limits import limits
from test_golden import unchanged


def test_numbers_that_modules_and_classes_state():
    texts = json.dumps(limits()), (Path(__file__).parent / "limits.json").read_text(encoding="utf-8")
    unchanged(*(json.loads(text, parse_constant=str) for text in texts))  # NaN by its name: it does not equal itself
