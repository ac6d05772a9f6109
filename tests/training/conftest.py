"""What the tests of training share."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """These tests write thousands of small files; whether they outlive a power cut they cannot tell."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
