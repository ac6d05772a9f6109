"""Devices and what env.json says."""

import json
import platform

import numpy as np
import pytest
import torch

from pixkit.components.plugins import plugins
from pixkit.distribution import OWN
from pixkit.errors import UsageError
from pixkit.runs.record import changed, environment, pick_device, repeatable


def test_cpu_is_cpu():
    assert pick_device("cpu") == torch.device("cpu")


def test_auto_follows_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"


def test_a_missing_gpu_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="there is none") as caught:
        pick_device("cuda")
    assert caught.value.hint == "--device cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    with pytest.raises(UsageError, match="there are 2"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "mps", "meta", "cpu:x", "cuda:-1"])
def test_unknown_devices_are_usage_errors(name):
    with pytest.raises(UsageError):
        pick_device(name)


def test_the_environment_is_plain_and_complete():
    found = environment(torch.device("cpu"), 7, plugins())
    assert json.loads(json.dumps(found)) == found
    assert found["seed"] == 7
    assert found["torch"] == str(torch.__version__)
    assert found["numpy"] == np.__version__
    assert found["python"] == platform.python_version()
    assert found["plugins"][f"{OWN}:core"] == found["pixkit"]
    assert found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads()


def test_changes_are_said_in_words():
    before = {"torch": "1", "threads": 2, "gone": 1}
    assert changed(before, {"torch": "1", "threads": 2, "new": 3}) == ""
    assert changed(before, {"torch": "2", "threads": 1}) == "torch 1 -> 2; threads 2 -> 1"


def test_of_the_plugins_those_are_said_that_changed():
    before = {"plugins": {"kept:a": "1", "my.py:my": "64403aab3bca", "gone:b": "3"}, "threads": 2}
    now = {"plugins": {"kept:a": "1", "my.py:my": "0123456789ab", "new:c": "4"}, "threads": 1}
    assert changed(before, now) == (
        "plugin gone:b 3 -> none, plugin my.py:my 64403aab3bca -> 0123456789ab, plugin new:c none -> 4; threads 2 -> 1"
    )
    assert changed(before, {**now, "plugins": dict(before["plugins"])}) == "threads 2 -> 1"


def test_cudnn_is_deterministic_for_a_while():
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.backends.cudnn.benchmark = True
    try:
        with repeatable():
            assert not torch.backends.cudnn.benchmark
            assert torch.backends.cudnn.deterministic
        assert torch.backends.cudnn.benchmark
        assert torch.backends.cudnn.deterministic == before[1]
    finally:
        torch.backends.cudnn.benchmark = before[0]
