"""What the tests of training share."""

import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """On images this small, threads wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """These tests write thousands of small files; whether they outlive a power cut they cannot tell."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
