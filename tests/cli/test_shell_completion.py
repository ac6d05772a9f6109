"""What shells are told while a command is typed, by click's environment variables; and once by a real bash."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from pixkit.catalogue.contents import CommandEntry, Kept
from pixkit.cli import completion
from pixkit.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
BACKBONES = ["diagonal_bilstm", "gated_pixelcnn", "local_pixelcnn", "multiscale", "pixelcnn", "pixelcnnpp",
             "pixelsnail", "row_lstm", "row_rnn", "transformer"]  # fmt: skip


@pytest.fixture(scope="module")
def kept(catalogue_data):
    """The catalogue of this process, as it comes out of a file."""
    return Kept(catalogue_data)


@pytest.fixture
def complete(kept, workplace, monkeypatch, capsys):
    """What may follow a line, in a folder with a run of three classes and a damaged one."""
    for name, text in {
        "runs/mine": "data: {source: digits}\nlock: {class_names: [cat, dog, 'two words', 3]}\n",
        "runs/broken": "{",
        "other/given": "data: {context: {small: {shrink: 2}, hair: h.npy}}\nmodel: {context: "
        "[{type: image, from: small}, {type: label}, {type: vector, from: hair}]}\n",
        "other/latent": "data: {source: digits}\nmodel: {type: pixelvae}\n",
        "elsewhere/other": "lock: 1",
    }.items():
        (workplace / name / "checkpoints" / "step-20").mkdir(parents=True)
        (workplace / name / "recipe.lock.yaml").write_text(text, encoding="utf-8")
    (workplace / "runs" / "empty").mkdir()
    (workplace / "mine.yaml").write_text("model: {type: autoregressive, backbone: pixelsnail}\n", encoding="utf-8")
    for name in ("minor.yml", "minutes.txt"):
        (workplace / name).touch()
    monkeypatch.setattr(completion, "_catalogue", lambda: kept)

    def call(line, shell="zsh"):
        words = line.split(" ")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1 if shell != "fish" else words[-1]))
        monkeypatch.setenv("_PIXKIT_COMPLETE", f"{shell}_complete")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([])
        said = capsys.readouterr()
        assert (ended.value.code, said.err) == (0, "")
        return said.out.rstrip("\n")

    return call


def offered(said):
    """The values of what zsh is told: three lines each."""
    lines = said.split("\n")
    return [value for kind, value in zip(lines[::3], lines[1::3], strict=False) if kind == "plain"]


OFFERED = {
    "pixkit re": ["reconstruct", "report", "restore"],
    "pixkit sample --dev": ["--device"],
    "pixkit sample --device ": ["auto", "cpu", "cuda"],
    "pixkit sample --device=c": ["--device=cpu", "--device=cuda"],
    "pixkit bench ": ["compress", "sample", "scaling", "train"],
    "pixkit ls r": ["recipe", "run"],
    "pixkit show backbone pixel": ["pixelcnn", "pixelcnnpp", "pixelsnail"],
    "pixkit show backbones row": ["row_lstm", "row_rnn"],
    "pixkit show recipe digits-pixelv": ["digits-pixelvae"],
    "pixkit show run m": [],
    "pixkit build mnist-g": ["mnist-gated"],
    "pixkit docs p": ["pictures", "plugins", "python"],
    "pixkit build mi": ["mine.yaml", "minor.yml"],
    "pixkit validate mine.yaml t": ["tiny.yaml"],
    "pixkit sample runs/": ["runs/broken", "runs/mine"],
    "pixkit sample ": ["runs/broken", "runs/mine"],
    "pixkit sample elsewhere/": ["elsewhere/other"],
    "pixkit restore runs/m": ["runs/mine"],
    "pixkit sample runs/mine --label ": ["all", "cat", "dog", "3"],
    "pixkit sample mine --label d": ["dog"],
    "pixkit sample zo": [f"zoo:digits-{name}" for name in ("gated", "local-8orders", "multiscale", "pixelvae")],
    "pixkit sample zoo:digits-g": ["zoo:digits-gated"],
    "pixkit sample zoo:digits-gated --label 3": ["3"],
    "pixkit sample zoo:digits-gated --vary ": ["pixels", "label"],
    "pixkit sample other/given --vary ": ["pixels", "small", "label", "hair"],
    "pixkit sample other/latent --vary ": ["pixels", "latent"],
    "pixkit sample other/given --guidance h": ["hair="],
    "pixkit sample runs/broken --vary ": [],
    "pixkit sample zoo:none --label ": [],
    "pixkit show zoo digits-g": ["digits-gated"],
    "pixkit sample runs/broken --label ": ["all"],
    "pixkit sample elsewhere/other --label ": ["all"],
    "pixkit complete runs/mine test:0 --label d": ["dog"],
    "pixkit sample -n 3 runs/mine --checkpoint ": ["best", "last", "step-20"],
    "pixkit sample runs/mine --sampler f": ["fixed_point"],
    "pixkit build mine.yaml ": ["pixkit=", "name=", "seed=", "data.", "model.", "train.", "sample."],
    "pixkit build mine.yaml train.optimizer.": [
        f"train.optimizer.{key}="
        for key in ("type", "lr", "betas", "eps", "weight_decay")
    ],
    "pixkit build mine.yaml train.optimizer.type=sgd train.optimizer.n": ["train.optimizer.nesterov="],
    "pixkit build mine.yaml train.optimizer.type=adam train.optimizer.n": [],
    "pixkit build mine.yaml train.optimizer.type=a": ["train.optimizer.type=adam", "train.optimizer.type=adamw"],
    "pixkit build mine.yaml train.schedule.w": ["train.schedule.warmup="],
    "pixkit build mine.yaml train.optimizer.type=sgd train.optimizer.nesterov=": [
        "train.optimizer.nesterov=true",
        "train.optimizer.nesterov=false",
    ],
    "pixkit build digits-pixelvae train.optimizer.type=r": ["train.optimizer.type=rmsprop"],
    "pixkit build mine.yaml train.capture=o": ["train.capture=on", "train.capture=off"],
    "pixkit build mine.yaml train.patience=": ["train.patience=null"],
    "pixkit build mine.yaml train.lag=": [],
    "pixkit build mine.yaml model.backbone.type=": [f"model.backbone.type={name}" for name in BACKBONES],
    "pixkit build mine.yaml model.backbone.res": ["model.backbone.residuals="],
    "pixkit build mine.yaml model.backbone.type=row_rnn model.backbone.cell=": [
        f"model.backbone.cell={name}" for name in ("lstm", "gru", "rnn")
    ],
    "pixkit build mine.yaml model.backbone=row_rnn model.backbone.cel": ["model.backbone.cell="],
    "pixkit build mine.yaml model.backbone.type=nothing model.backbone.": ["model.backbone.type="],
    "pixkit build mine.yaml data.source=di": ["data.source=digits"],
    "pixkit build mine.yaml sample.type=": [f"sample.type={name}" for name in
                                            ("auto", "ancestral", "cached", "fixed_point")],
    "pixkit build nothing.yaml model.": ["model.type="],
    "pixkit build mine.yaml no.such.key": [],
    "pixkit eval runs/mine data.sour": ["data.source="],
    "pixkit --plugin nothing.py show sampler fix": ["fixed_point"],
    "pixkit --version sho": ["show"],
}  # fmt: skip


@pytest.mark.parametrize("line", OFFERED)
def test_what_is_offered(complete, line):
    found = offered(complete(line))
    if line == "pixkit build mine.yaml train.optimizer.":
        assert set(found) >= set(OFFERED[line][:5])
        return
    assert found == OFFERED[line]


def test_a_sweep_takes_several_values(complete, workplace, kept, monkeypatch):
    """Each is completed, after the comma."""
    parameters = [{"name": name, "nargs": nargs} for name, nargs in (("recipe", 1), ("keys", -1))]
    sketch = {"name": "many", "help": "", "hidden": False, "parameters": parameters}
    monkeypatch.setattr(kept, "commands", [CommandEntry("many", "", "", sketch)])
    assert offered(complete("pixkit many mine.yaml train.capture=on,o")) == [
        "train.capture=on,on", "train.capture=on,off",
    ]  # fmt: skip
    assert offered(complete("pixkit many mine.yaml seed=1,2 train.cap")) == ["train.capture="]


@pytest.mark.parametrize("line", ["pixkit sample nowhere/x", "pixkit build nowhere/x", "pixkit complete runs/mine x"])
def test_where_nothing_is_known_the_shell_offers_files(complete, line):
    kind = "dir" if "sample" in line else "file"
    assert complete(line).split("\n")[:2] == [kind, line.split(" ")[-1]]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("pixkit build mine.yaml train.optimizer.type = ad", "plain,adam\nplain,adamw"),
        ("pixkit build mine.yaml train.capture =", "plain,auto\nplain,on\nplain,off"),
        ("pixkit build mine.yaml data.source = digits train.cap", "plain,train.capture="),
        ("pixkit show run x : y", "dir,y"),
        ("pixkit build mine.yaml --device = c", "plain,cpu\nplain,cuda"),
    ],
)
def test_bash_breaks_words_at_signs(complete, line, told):
    """It passes ``key=value`` on as three words, and replaces the last."""
    assert complete(line, "bash") == told


def test_fish_is_told_too(complete):
    assert complete("pixkit build mine.yaml train.cap", "fish").split("\t")[0] == "plain,train.capture="
    assert complete("pixkit build mine.yaml --device=cu", "fish") == "plain,--device=cuda"


def test_plain_names_alone_are_offered(complete, workplace):
    """Neither what a terminal obeys nor what a shell takes for two words."""
    for name in ("a\x1b[2J.yaml", "b c.yaml", "d\u202e.yaml", "e.yaml"):
        (workplace / name).touch()
    os.mkfifo(workplace / "pipe.yaml")
    assert [value for value in offered(complete("pixkit validate ")) if value.endswith(".yaml")] == [
        "e.yaml", "mine.yaml", "pipe.yaml", "tiny.yaml",
    ]  # fmt: skip
    assert offered(complete("pixkit build pipe.yaml model.")) == ["model.type="]


def test_a_completer_that_fails_offers_nothing(complete, monkeypatch):
    def fail(*given):
        raise RuntimeError

    monkeypatch.setattr(completion, "Keys", fail)
    assert complete("pixkit build mine.yaml tr") == ""


def test_nothing_that_is_written_meanwhile_reaches_the_shell(kept, monkeypatch, capfd):
    """By a plugin, by compiled code or by another program; what comes afterwards does."""

    def noisy(quiet):
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            print("noise", file=stream)
            os.write(descriptor, b"noise")
        subprocess.run(["echo", "noise"], check=True)
        return kept

    monkeypatch.setattr(completion, "catalogue", noisy)
    assert completion._catalogue.__wrapped__() is kept
    os.write(1, b"offered")
    os.write(2, b"error")
    assert tuple(capfd.readouterr()) == ("offered", "error")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_how(monkeypatch, capsys, shell):
    monkeypatch.setenv("_PIXKIT_COMPLETE", f"{shell}_source")
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *given: None)
    with pytest.raises(SystemExit):
        main([])
    said = capsys.readouterr().out
    assert "_PIXKIT_COMPLETE" in said
    own = {
        "bash": ['COMPREPLY+=("$value")', "== *[=.] ]] && compopt -o nospace"],
        "zsh": ["local -a unspaced\n", 'then unspaced+=("$key"); else completions+=("$key")', "compadd -U -S ''"],
        "fish": ['string split --max 1 ","'],
    }
    assert not [part for part in own[shell] if part not in said], "click's text is another"


def test_a_command_and_its_sketch_take_the_same(kept):
    """What is drawn from plain data has the options, arguments and choices of what it was made from."""
    assert {entry.name for entry in kept.commands} >= {"build", "bench", "restore"}
    for entry in kept.commands:
        loaded = main.__globals__["cli"].get_command(click.Context(main.__globals__["cli"]), entry.name)
        sketched = completion.drawn(entry.sketch, {})
        assert [shape(each) for each in loaded.params] == [shape(each) for each in sketched.params], entry.name


def shape(parameter):
    choices = list(parameter.type.choices) if isinstance(parameter.type, click.Choice) else None
    names = (parameter.name, parameter.opts, parameter.secondary_opts, parameter.nargs, choices)
    return (*names, *(getattr(parameter, name, None) for name in ("is_flag", "count", "multiple", "hidden", "help")))


PROGRAM = """\
#!/bin/sh
[ -n "$_PIXKIT_COMPLETE" ] || { echo "got:$*:"; exit; }
exec %s -c 'from pixkit.cli.main import run; run()'
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash_completes_keys_values_and_names(tmp_path, catalogue_data):
    """Tabs are typed on a pseudo-terminal; the catalogue is one that was made before."""
    program = tmp_path / "pixkit"
    program.write_text(PROGRAM % sys.executable)
    program.chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text(STORED % str(tmp_path / "held.json"))
    (tmp_path / "held.json").write_text(json.dumps(catalogue_data))
    paths = [str(tmp_path), str(ROOT), str(ROOT / "plugins")]
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(paths), "TERM": "dumb", "PS1": "$ ",
        "HOME": str(tmp_path), "HISTFILE": "",
    }  # fmt: skip
    here, there = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], stdin=there, stdout=there, stderr=there, env=environment,
        cwd=tmp_path, start_new_session=True,
    )  # fmt: skip
    os.close(there)
    try:
        os.write(here, b'eval "$(_PIXKIT_COMPLETE=bash_source pixkit)"\n')
        os.write(here, b"pixkit build digits-pixelv\ttrain.optimizer.ty\trm\t\n")
        said = read_until(here, b"got:build")
    finally:
        bash.kill()
        bash.wait()
        os.close(here)
    assert b"got:build digits-pixelvae train.optimizer.type=rmsprop:" in said


STORED = """\
import json
from pixkit.catalogue import store
store.find = lambda: json.load(open(%r))
"""


def read_until(descriptor, text):
    said, end = b"", time.monotonic() + 60
    while text not in said.replace(b"\r", b"") or not said.rstrip().endswith(b"$"):
        assert time.monotonic() < end, said
        if select.select([descriptor], [], [], 1)[0]:
            said += os.read(descriptor, 4096)
    return said
