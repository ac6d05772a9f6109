#!/usr/bin/env bash
# A strict pydantic model takes true and 1.0 where it says Literal[1].
#
# Expected: with strict=True, which refuses True and 1.0 for `int`, a field of Literal[1, 3] refuses them, too.
# Seen with pydantic 2.14.4 and 2.11.0: it takes both, and gives the member, 1: literals are looked up by Python's equality,
# strict or not. And a field of `Literal["auto", 1] | bool` makes the number 1 of True, also when strict.
# In configurations, `version: true` and `kernel: 3.0` pass, and a switch that is on becomes a count of one.
# pixkit's configurations compare types first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for package in pydantic==2.14.4 pydantic==2.11.0; do
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package"
    "$folder/venv/bin/python" - <<'PYTHON'
import sys
from typing import Literal

import pydantic


class Number(pydantic.BaseModel, strict=True):
    value: int


class Member(pydantic.BaseModel, strict=True):
    value: Literal[1, 3]


class Switch(pydantic.BaseModel, strict=True):
    value: Literal["auto", 1] | bool


def answer(model, value):
    try:
        return repr(model(value=value).value)
    except pydantic.ValidationError:
        return "refused"


rows = [(model, value, answer(model, value)) for model in (Number, Member) for value in (True, 1.0)]
rows.append((Switch, True, answer(Switch, True)))
for model, value, found in rows:
    print(f"pydantic {pydantic.VERSION}: {model.__annotations__['value']} of {value}: {found}")
as_before = [found for *_, found in rows] == ["refused", "refused", "1", "1", "1"]
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
done
# The output seen with Python 3.11, and the same with 2.11.0:
# pydantic 2.14.4: <class 'int'> of True: refused
# pydantic 2.14.4: <class 'int'> of 1.0: refused
# pydantic 2.14.4: typing.Literal[1, 3] of True: 1
# pydantic 2.14.4: typing.Literal[1, 3] of 1.0: 1
# pydantic 2.14.4: typing.Union[typing.Literal['auto', 1], bool] of True: 1
# as before
