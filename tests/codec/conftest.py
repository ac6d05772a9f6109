"""The strict kernel for this machine's tests: compiled without optimisation, which changes no bit and takes a tenth."""

import sys
from pathlib import Path

import pytest

from pixkit.execution.native import prebuilt

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "readiness"), str(TESTS / "execution")]


@pytest.fixture(autouse=True)
def quickly_compiled(monkeypatch):
    monkeypatch.setattr(prebuilt, "STRICT", (*prebuilt.STRICT, "-O0"))
