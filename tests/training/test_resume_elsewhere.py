"""Going on under another number of threads, or in an arithmetic that was measured: the same bits, or a line why not."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from pixkit.training import prepare
from pixkit.training.build import _reopen, build
from pixkit.training.precision import Arithmetic, Choice
from pixkit.training.watch import Reporter

RECIPE = """\
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 16, limit_test: 4}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 8, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 4, batch_size: 4, eval_every: 2, checkpoint_every: 2, ema: 0.9}
sample: {count: 1}
"""


class Stop(Exception):
    """Before the first step."""


class Listening(Reporter):
    """Keeps what a build says; ends it before its first step, if it is told so."""

    def __init__(self, stop):
        self.said = []
        self.stop = stop

    def start(self, total, done):
        if self.stop:
            raise Stop

    def message(self, text):
        self.said.append(text)


@pytest.fixture
def trained(tmp_path):
    """Builds, or goes on with, a run of the recipe; gives the last weights' bytes and what was said."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)

    def train(name, steps, *overrides, resume=False, stop=False):
        listening = Listening(stop)
        given = (f"train.steps={steps}", *overrides)
        path = tmp_path / name
        with pytest.raises(Stop) if stop else nullcontext():
            build(tmp_path / "tiny.yaml", path, overrides=given, device="cpu", resume=resume, reporter=listening)
        last = (path / "last").read_text().strip()
        return (path / "checkpoints" / last / "model.safetensors").read_bytes(), listening.said

    train.folder = tmp_path
    return train


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_another_number_of_threads_is_said(trained, threads):
    """Sums over more threads are taken in another order: the bits may differ, so the line is there always."""
    threads(1)
    whole, _ = trained("whole", 4)
    trained("same", 2)
    weights, said = trained("same", 4, resume=True)
    assert weights == whole
    assert not [text for text in said if "may differ" in text]
    trained("other", 2)
    threads(2)
    _, said = trained("other", 4, resume=True, stop=True)
    assert "changed since the run began, so results may differ in the last bits: threads 1 -> 2" in said
    environment = json.loads((trained.folder / "other" / "env.json").read_text())
    assert (environment["threads"], environment["previous"][0]["threads"]) == (2, 1)


def test_a_machine_of_which_nothing_is_known_any_more_is_said(trained):
    trained("run", 2)
    (trained.folder / "run" / "env.json").unlink()
    _, said = trained("run", 4, resume=True, stop=True)
    assert [text for text in said if "env.json is missing" in text]


BEFORE = {"torch": "1", "plugins": {"a": "1"}, "previous": [{"torch": "0"}]}


@pytest.mark.parametrize(("now", "said", "kept"), [
    ({}, None, [{"torch": "0"}]),
    ({"torch": "2"}, "so results may differ in the last bits: torch 1 -> 2", [{"torch": "0"}, {"torch": "1"}]),
    ({"plugins": {"a": "2"}}, "so results may differ: plugin a 1 -> 2", [{"torch": "0"}, {"torch": "1"}]),
])  # fmt: skip
def test_what_a_run_was_made_on_before_is_kept_in_order(now, said, kept):
    written, texts = [], []
    run = SimpleNamespace(environment=lambda: dict(BEFORE), reopen=lambda *files: written.append(files) or ["remark"])
    now = {"torch": "1", "plugins": {"a": "1"}, **now}
    assert _reopen(run, "text", {"the": "lock"}, now, SimpleNamespace(message=texts.append)) == ["remark"]
    [(text, settings, environment)] = written
    assert (text, settings) == ("text", {"the": "lock"})
    kept = [kept[0], *({**one, "plugins": {"a": "1"}} for one in kept[1:])]
    assert environment == {**now, "previous": kept}
    assert [text.endswith(said) for text in texts] == ([True] if said else [])


def test_an_arithmetic_that_was_measured_is_not_measured_again(trained, monkeypatch):
    """Another day another one may be quicker; the run goes on in its own, to the bits of a run that names it."""
    measured = Choice(Arithmetic("bf16", "channels_last"), "the quickest", {"fp32, contiguous": 2.0})
    named = ("train.precision=bf16", "train.memory_format=channels_last")
    whole, _ = trained("whole", 4, *named)
    plain, _ = trained("plain", 4, "train.precision=fp32", "train.memory_format=contiguous")
    assert plain != whole
    monkeypatch.setattr(prepare, "choose", lambda *_: measured)
    trained("run", 2)
    monkeypatch.setattr(prepare, "choose", lambda *_: pytest.fail("measured again"))
    weights, said = trained("run", 4, resume=True)
    assert weights == whole
    assert not [text for text in said if "may differ" in text]
