"""Devices and what env.json says."""

import json
import os
import platform
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pixkit.components.plugins import plugins
from pixkit.distribution import OWN
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.ranks import Ranks
from pixkit.runs import record
from pixkit.runs.record import changed, environment, machine, machine_of, pick_device, repeatable, settings_of


def test_cpu_is_cpu():
    assert pick_device("cpu") == torch.device("cpu")


def test_auto_follows_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("auto").type == "cuda"


def test_a_missing_gpu_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="there is none") as caught:
        pick_device("cuda")
    assert caught.value.hint == "--device cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert pick_device("cuda", Ranks(3, 4, local=1)).index == 1 and current == [torch.device("cuda:1")]
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
    assert found["device"] == "cpu" and found["cuda"] is None
    assert found["threads"] == torch.get_num_threads()
    assert (found["platform"], found["processor"]) == (platform.platform(), platform.machine())
    assert found["repeatable"] == "bit for bit on the same machine, versions and number of threads"


def test_of_a_gpu_its_name_is_kept_and_of_the_plugins_those_that_were_loaded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    healths = ("ok", "conflict", "disabled", "broken")
    infos = [SimpleNamespace(distribution=name, name="it", version="1", health=name) for name in healths]
    found = environment(torch.device("cuda", 1), 0, SimpleNamespace(infos=infos))
    assert (found["device"], found["cuda"]) == ("card 1", "13.0")
    assert "recipe.lock.yaml says that kernels are deterministic" in found["repeatable"]
    assert found["plugins"] == {"ok:it": "1", "conflict:it": "1"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU: fast\nmodel name\t: another\n", "Some CPU: fast"),
        ("processor\t: 0\nmodel name\t: \n", "machine"),
        ("processor\t: 0\n", "machine"),
        (None, "processor"),
    ],
)
def test_times_are_told_with_what_they_depend_on(monkeypatch, text, name):
    def read_text(encoding):
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(record, "Path", lambda path: SimpleNamespace(read_text=read_text))
    monkeypatch.setattr(platform, "processor", lambda: "processor")
    monkeypatch.setattr(platform, "machine", lambda: "machine")
    found = machine(SimpleNamespace(reference=torch.zeros(1, dtype=torch.float64)))
    assert found["cpu"] == name and (found["device"], found["dtype"]) == ("cpu", "float64")
    assert (found["cpus"], found["threads"]) == (os.cpu_count(), torch.get_num_threads())
    assert found == machine_of(torch.device("cpu")) | {"dtype": "float64"} and found["torch"] == str(torch.__version__)


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


def facts(**changes):
    """What a lock is made of: a recipe, images and a model."""
    loaded = SimpleNamespace(origin="tiny.yaml", overrides=("seed=3",), lock=lambda: {"name": "tiny"})
    images = {
        "spec": ImageSpec(1, 4, 2, 17), "classes": 2, "class_names": None, "description": "digits",
        "hashes": lambda: {"train": "ab"}, "source_levels": 17, "source": SimpleNamespace(stated_levels=17),
        "files": None,
    }  # fmt: skip
    return loaded, SimpleNamespace(**images | changes), torch.nn.Linear(3, 2)


LOCKED = {
    "recipe": "tiny.yaml", "overrides": ["seed=3"], "image": ImageSpec(1, 4, 2, 17).dump(), "classes": 2,
    "data": {"description": "digits", "hashes": {"train": "ab"}}, "parameters": 8, "arithmetic": {"a": 1},
    "changes": [],
}  # fmt: skip


def test_a_lock_has_what_there_is_and_nothing_else():
    assert settings_of(*facts(), arithmetic={"a": 1}) == {"name": "tiny", "lock": LOCKED}
    more = {"steps": {"way": "ahead"}, "kernels": {}, "parts": [{"step": 1}], "segments": [{"step": 0}, {"step": 4}]}
    found = settings_of(*facts(class_names=("ant", "bee")), arithmetic={"a": 1}, **more)
    assert found["lock"] == LOCKED | more | {"class_names": ["ant", "bee"]}


@pytest.mark.parametrize(
    ("levels", "stated", "kept"), [(None, None, False), (17, 17, False), (17, None, True), (9, 17, True)]
)
def test_a_lock_keeps_levels_that_only_the_images_tell(levels, stated, kept):
    source = SimpleNamespace(stated_levels=stated)
    found = settings_of(*facts(source_levels=levels, source=source), arithmetic={})["lock"]["data"]
    assert found == LOCKED["data"] | ({"levels": levels} if kept else {})


def test_a_lock_keeps_what_is_known_of_the_files_of_images():
    found = settings_of(*facts(files={"train": "cd"}), arithmetic={})["lock"]["data"]
    assert found == LOCKED["data"] | {"files": {"train": "cd"}}


def test_a_gpu_is_one_of_those_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail("it stays the user's"))
    assert pick_device("cuda") == torch.device("cuda") and pick_device("cuda:0").index == 0
    with pytest.raises(UsageError, match="CUDA device missing") as caught:
        pick_device("cuda:1")
    assert caught.value.found == "cuda:1; there are 1 devices"
    with pytest.raises(UsageError) as caught:
        pick_device("lamp")
    assert (caught.value.where, caught.value.found, caught.value.expected) == ("device", "lamp", "auto, cpu or cuda")
    assert pick_device("cpu", Ranks(1, 1, local=3)) == torch.device("cpu")
