"""plugins/README.md as written: its examples, its project, its tables and every name in it.

    python tests/doors/test_plugins_readme.py    # writes the examples anew, from the templates of new-plugin

That the examples keep their contracts is tested of the templates, in tests/starter.
"""

import importlib
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import pixkit
from pixkit import testing
from pixkit.cli.group import SECTIONS
from pixkit.components.attempt import HOOKS
from pixkit.components.plugins import load_plugins
from pixkit.distribution import GROUP
from pixkit.starter import names_for
from pixkit.starter.distribution import plugin_files

PAGE = Path(__file__).parents[2] / "plugins" / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
EXAMPLE = re.compile(r"(`pixkit new-plugin ([\w-]+) --kind (\w+)`[^`]*```python\n)(.*?)```", re.DOTALL)


def code(words):
    """The example in which these words stand."""
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if words in block]
    return found


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """saved(name, text) is a module of that text."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def save(name, text):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        made.append(name)
        return importlib.import_module(name)

    yield save
    for name in made:
        del sys.modules[name]


def test_there_is_an_example_of_each_kind_as_new_plugin_writes_it():
    found = EXAMPLE.findall(TEXT)
    assert sorted(kind for _, _, kind, _ in found) == sorted(pixkit.components.KINDS)
    for _, name, kind, block in found:
        names = names_for(kind, name)
        assert block == plugin_files(kind, names)[f"{names.module}.py"], f"{kind}: run this file to write it anew"


def test_the_project_is_as_new_plugin_writes_it_and_the_door_takes_it(saved):
    names = names_for("data", "pixkit-waves")
    project = plugin_files("data", names)["pyproject.toml"]
    assert f"```toml\n{project}```" in TEXT and f"pixkit new-plugin {names.distribution} --kind data\n" in TEXT
    saved(names.module, code("class Waves"))
    stated = tomllib.loads(project)["project"]["entry-points"][GROUP]
    points = [importlib.metadata.EntryPoint(*item, GROUP) for item in stated.items()]
    loaded = load_plugins([*importlib.metadata.entry_points(group=GROUP), *points])
    (info,) = [info for info in loaded.infos if info.name == "waves"]
    assert (info.health, info.detail, info.components) == ("ok", "", [("data", "waves")])
    assert not loaded.broken()


def test_its_data_source_reads_what_scipy_writes(tmp_path, saved):
    scipy = pytest.importorskip("scipy.io", reason="the example reads MATLAB's format: scipy")
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 12), dtype=np.uint8)
    for split, count in (("train", 12), ("test", 7)):
        labels = np.arange(1, count + 1, dtype=np.uint8) % 10
        content = {"X": x[..., :count], "y": np.where(labels == 0, 10, labels)[:, None]}
        scipy.savemat(tmp_path / f"{split}_32x32.mat", content)
    svhn = saved("svhn_of_the_text", code("class Svhn")).Svhn
    data = testing.check_data(testing.component("data", svhn, folder=".", validation=0.0), tmp_path)
    batch = data.batch("train", torch.arange(12))
    assert np.array_equal(batch.x.numpy(), x.transpose(3, 2, 0, 1))
    assert batch.labels.tolist() == [*range(1, 10), 0, 1, 2]


@pytest.mark.needs_compiler
@pytest.mark.usefixtures("quickly_compiled")
def test_its_operation_keeps_its_contract():
    found = {}
    exec(compile(code("check_operation("), "plugins/README.md", "exec"), found)
    assert torch.equal(found["Bump"](2.0)(torch.tensor([1.0])), torch.tensor([-2.0]).exp())


def test_the_table_is_right():
    rows = re.findall(r"^\| `(\w+)` \| `pixkit\.(\w+)` \| `(\w+)` \|", TEXT, flags=re.MULTILINE)
    assert {kind for kind, _, _ in rows} == set(pixkit.components.KINDS)
    for kind, base, check in rows:
        assert check == f"check_{kind}" and check in testing.__all__
        assert base in pixkit.__all__


def test_every_name_exists():
    for dotted in re.findall(r"`pixkit\.([\w.]+)`", PROSE):
        if dotted == "testing":
            continue
        value = pixkit
        for part in dotted.split("."):
            value = getattr(value, part)
    for command in re.findall(r"`pixkit (\w[\w-]*)", PROSE):
        assert any(command in section for section in SECTIONS.values()), command
    for check in re.findall(r"`(check_\w+)`", PROSE):
        assert check in testing.__all__, check
    assert set(re.findall(r"`(pixkit_[a-z_]+)\(", PROSE)) | {"pixkit_register"} == HOOKS


def test_its_tracker_keeps_its_contract_and_sends_all_it_is_told(monkeypatch, saved):
    """With a stand-in for trackio; `resume="allow"` is how trackio itself goes on with a run of that name."""
    sent = []
    board = SimpleNamespace(
        log=lambda values, step: sent.append((step, values)), finish=lambda: sent.append("finished")
    )
    standing_in = ModuleType("trackio")
    standing_in.init = lambda project, *, name, config, resume: sent.append((project, name, config, resume)) or board
    standing_in.Image = lambda path: Path(path).read_bytes()[:4]
    monkeypatch.setitem(sys.modules, "trackio", standing_in)
    tracker = testing.component(
        "tracker", saved("trackio_of_the_text", code("class Trackio")).Trackio, project="digits"
    )
    testing.check_tracker(tracker)
    (project, name, config, resume), *rows = sent[: sent.index("finished")]
    assert (project, name, resume) == ("digits", "checked", "allow") and config["train.optimizer.lr"] == 1e-3
    assert [step for step, _ in rows] == [1, 2, 2, 2, 3] and rows[3] == (2, {"samples": b"\x89PNG"})


def _anew(found):
    names = names_for(found[3], found[2])
    return f"{found[1]}{plugin_files(found[3], names)[f'{names.module}.py']}```"


if __name__ == "__main__":
    PAGE.write_text(EXAMPLE.sub(_anew, TEXT), encoding="utf-8")
