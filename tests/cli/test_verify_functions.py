"""`pixkit verify FILE.py:FUNCTION`: a module of somebody's own."""

import json

import pytest

CODE = """\
import torch
from torch import nn
from beside import STEPS


class Later(nn.Module):
    def forward(self, x):
        return x + x.flip(1)


def causal():
    return nn.Identity(), torch.zeros(1, 4), STEPS + 1, 3


def sound():
    return {"module": nn.Identity(), "x": torch.zeros(1, 4), "steps": STEPS, "strict": False}


def leaking():
    return Later(), torch.zeros(1, 4), STEPS


def failing():
    raise ValueError("no such day")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "beside.py").write_text("import torch\n\nSTEPS = torch.arange(4)[None]\n", encoding="utf-8")
    return tmp_path / "mine.py"


def test_a_proof_and_a_leak_have_their_exit_codes(pixkit, mine):
    outcome = pixkit("verify", "mine.py:sound")
    assert outcome.code == 0 and outcome.out.startswith("proved: ")
    outcome = pixkit("verify", f"{mine}:leaking")
    assert outcome.code == 1 and outcome.out.startswith("leaks: ") and f"{mine}:8" in outcome.out
    assert "mine.py:leaking: leaks" in outcome.err


def test_json_is_the_proof(pixkit, mine):
    outcome = pixkit("verify", "mine:leaking", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 1 and found["verdict"] == "leaks" and found["blame"]["text"] == "return x + x.flip(1)"
    assert found["function"] == "mine:leaking" and found["readiness"] == [[4, 3, 3, 4]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.py:leakin"], "mine.py:leaking"),
        (["mine.py:failing"], "ValueError: no such day"),
        (["mine.py:causal"], "tuple of 4"),
        (["yours.py:sound"], "there is no such file"),
        (["yours:sound"], "there is no such module"),
        (["mine.py:sound", "--pixel", "0,0,0"], "this goes only with recipes"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(pixkit, mine, arguments, words):
    outcome = pixkit("verify", *arguments)
    assert outcome.code == 2
    assert words in outcome.err
