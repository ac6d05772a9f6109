"""One thread a process, set before torch is imported: tiny tensors gain nothing from more, and shared cores suffer."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session")
def one_thread():
    """On images this small, threads wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch):
    """For tests that write thousands of small files; whether they outlive a power cut they cannot tell."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
