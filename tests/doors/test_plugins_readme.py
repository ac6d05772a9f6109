"""plugins/README.md as written: its backbone, its project, its recipe, its tables and every name in it."""

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
from pixkit.recipe import load_recipe
from pixkit.testing import backbones

TEXT = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)


def block(language, number=0):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)[number]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The backbone's file, saved under the name that the text gives it, and importable."""
    assert "`residual_pixels.py`" in TEXT
    (tmp_path / "residual_pixels.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("residual_pixels")
    del sys.modules["residual_pixels"]


@pytest.fixture
def loaded(module):
    """The plugins that are installed, and this one, by the entry point of its pyproject.toml."""
    project = tomllib.loads(block("toml"))["project"]
    points = [importlib.metadata.EntryPoint(*item, GROUP) for item in project["entry-points"][GROUP].items()]
    return load_plugins([*importlib.metadata.entry_points(group=GROUP), *points])


def test_forty_lines():
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 40


def test_the_door_takes_it(loaded):
    (info,) = [info for info in loaded.infos if info.name == "residual"]
    assert (info.health, info.detail, info.components) == ("ok", "", [("backbone", "residual")])
    assert not loaded.broken()


def test_it_keeps_its_contract_by_the_lines_given(module, monkeypatch):
    """Under three of the registered orderings, one for each size of steps: `tests/testing` asks which these are."""
    every = backbones.supported_orderings
    some = ("raster", "row_at_once", "hilbert")
    kept = []
    monkeypatch.setattr(
        backbones,
        "supported_orderings",
        lambda backbone: kept.extend(one for one in every(backbone) if one.name in some) or kept,
    )
    lines = block("python", 1)
    assert re.search(r"^\w*check_\w+\(", lines, re.MULTILINE), "else nothing is checked"
    exec(compile(lines, "plugins/README.md", "exec"), {})
    assert [one.name for one in kept] == sorted(some)


def test_its_data_source_reads_what_scipy_writes(tmp_path, monkeypatch):
    scipy = pytest.importorskip("scipy.io", reason="the example reads MATLAB's format: scipy")
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 12), dtype=np.uint8)
    for split, count in (("train", 12), ("test", 7)):
        labels = np.arange(1, count + 1, dtype=np.uint8) % 10
        content = {"X": x[..., :count], "y": np.where(labels == 0, 10, labels)[:, None]}
        scipy.savemat(tmp_path / f"{split}_32x32.mat", content)
    (tmp_path / "svhn_of_the_text.py").write_text(block("python", 2), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    svhn = importlib.import_module("svhn_of_the_text").Svhn
    data = testing.check_data(testing.component("data", svhn, folder=".", validation=0.0), tmp_path)
    batch = data.batch("train", torch.arange(12))
    assert np.array_equal(batch.x.numpy(), x.transpose(3, 2, 0, 1)) and batch.labels.tolist() == [
        *range(1, 10),
        0,
        1,
        2,
    ]


def test_fifteen_lines_of_data():
    lines = [line for line in block("python", 2).splitlines() if line.strip()]
    assert len(lines) - len([line for line in lines if line.startswith(("import", "from"))]) <= 15


@pytest.mark.needs_compiler
@pytest.mark.usefixtures("quickly_compiled")
def test_its_operation_keeps_its_contract():
    (text,) = (one for one in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL) if "check_operation(" in one)
    found = {}
    exec(compile(text, "plugins/README.md", "exec"), found)
    assert torch.equal(found["Bump"](2.0)(torch.tensor([1.0])), torch.tensor([-2.0]).exp())


def test_the_recipe_is_valid_and_trains(loaded, tmp_path):
    path = tmp_path / "digits-residual.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    recipe = load_recipe(path, registry=loaded.registry).recipe
    assert path.stem == recipe.name
    model = recipe.model.build(pixkit.ImageSpec(1, 8, 8, 17), 10)
    model.verify()
    assert model.sample(2).shape == (2, 1, 8, 8)


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
    for command in re.findall(r"`pixkit (\w+)", PROSE):
        assert any(command in section for section in SECTIONS.values()), command
    for check in re.findall(r"`(check_\w+)`", PROSE):
        assert check in testing.__all__, check
    assert set(re.findall(r"`(pixkit_[a-z_]+)\(", PROSE)) | {"pixkit_register"} == HOOKS


def test_its_tracker_keeps_its_contract_and_sends_all_it_is_told(tmp_path, monkeypatch):
    """With a stand-in for trackio; `resume="allow"` is how trackio itself goes on with a run of that name."""
    sent = []
    board = SimpleNamespace(
        log=lambda values, step: sent.append((step, values)), finish=lambda: sent.append("finished")
    )
    standing_in = ModuleType("trackio")
    standing_in.init = lambda project, *, name, config, resume: sent.append((project, name, config, resume)) or board
    standing_in.Image = lambda path: Path(path).read_bytes()[:4]
    monkeypatch.setitem(sys.modules, "trackio", standing_in)
    lines = [line for line in block("python", 3).splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 15
    (tmp_path / "trackio_of_the_text.py").write_text(block("python", 3), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    tracker = testing.component("tracker", importlib.import_module("trackio_of_the_text").Trackio, project="digits")
    testing.check_tracker(tracker)
    (project, name, config, resume), *rows = sent[: sent.index("finished")]
    assert (project, name, resume) == ("digits", "checked", "allow") and config["train.optimizer.lr"] == 1e-3
    assert [step for step, _ in rows] == [1, 2, 2, 2, 3] and rows[3] == (2, {"samples": b"\x89PNG"})
