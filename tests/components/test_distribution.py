"""pixkit as an installed distribution, and what is installed beside it."""

import importlib.metadata
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import pixkit
from pixkit import distribution
from pixkit.components.plugins import plugins, registry

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install(name, version): metadata that importlib finds before any other of that name."""

    def _install(name, version, entry_points=""):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(tmp_path)

    plugins.cache_clear()
    yield _install
    monkeypatch.undo()
    plugins.cache_clear()


def test_names_and_version_are_those_of_the_project():
    assert PROJECT["name"] == distribution.OWN
    assert PROJECT["version"] == distribution.version() == pixkit.__version__
    assert distribution.GROUP in PROJECT["entry-points"]


def test_the_newest_torch_tried_is_what_the_project_allows():
    (torch,) = [line for line in PROJECT["dependencies"] if line.startswith("torch")]
    major, minor = distribution.NEWEST_TORCH
    assert torch.endswith(f"<{major}.{minor + 1}")


@pytest.mark.parametrize("version", ["2.10.0", "2.15.3+cpu", "2.16.0", "2.16.0a0+git1234", "3.0.0"])
def test_a_newer_torch_than_was_tried_is_told_once_and_not_refused(install, version):
    install("torch", version)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert plugins() is plugins()
    told = [str(warning.message) for warning in caught if "torch" in str(warning.message)]
    newer = f"torch {version} is newer than 2.15, the newest that pixkit was tried with"
    assert told == ([] if version.startswith(("2.10", "2.15")) else [newer])
    assert plugins().registry.names("ordering")


def test_the_former_name_means_pixkits_own_components():
    """In recipes, locks and PIXKIT_DISABLE_PLUGINS of 0.1, whose distribution was called pixkit."""
    found = registry()
    assert found.get("ordering", "pixkit:raster") is found.get("ordering", "raster")
    assert found.get("ordering", f"{distribution.OWN}:raster") is found.get("ordering", "raster")
    assert found.get("backbone", "Pixkit:pixelcnn").recipe_name == "pixelcnn"
    hint = found.explain("backbone", "pixkit:gone", {"pixkit": "0.1.0"})
    assert hint.endswith(f"install {distribution.OWN} >= 0.1.0")


@pytest.mark.parametrize(
    ("entry_points", "said"),
    [("", "is somebody else's"), ("[pixkit]\ncore = pixkit.builtins\nold = gone.away\n", "is its former self")],
    ids=["foreign", "former"],
)
def test_another_pixkit_in_the_same_environment_is_told(install, entry_points, said):
    """Its files lie in the same folder; where it is 0.1, its plugins are those that are loaded already."""
    install("pixkit", "0.0.1", entry_points)
    with pytest.warns(RuntimeWarning, match=f"pixkit 0.0.1, which is installed beside pixkit-models, {said}") as caught:
        loaded = plugins()
    assert len(caught) == 1 and "--force-reinstall --no-deps pixkit-models" in str(caught[0].message)
    assert [info.name for info in loaded.infos if info.name == "core"] == ["core"]
    assert {info.name: info.health for info in loaded.infos}["core"] == "ok"
    assert [info.name for info in loaded.broken()] == (["old"] if entry_points else [])


def test_commands_tell_each_in_one_line(install, tmp_path):
    install("torch", "2.16.0")
    install("pixkit", "0.0.1")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = ['plugins']\n"
        "from pixkit.cli.main import run; run()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    newer, beside = sorted(found.stderr.splitlines(), reverse=True)
    assert newer == "pixkit: warning: torch 2.16.0 is newer than 2.15, the newest that pixkit was tried with"
    assert beside.startswith(
        "pixkit: warning: pixkit 0.0.1, which is installed beside pixkit-models, is somebody else's"
    )
    assert "backbone transformer" in found.stdout


@pytest.mark.parametrize(("metadata", "folder", "found"), [
    ("Name: door\nVersion: 2\n", "other-1.dist-info", ("door", "2")),
    ("Name: door\n", "other-1.dist-info", ("door", "1")),
    ("Version: 2\n", "other-1.dist-info", ("other", "2")),
    ("", "other-1.dist-info", ("other", "1")),
    ("", "other.egg-info", ("other", "?")),
    ("", "other", ("?", "?")),
])  # fmt: skip
def test_a_plugin_is_of_the_distribution_that_its_metadata_state_or_else_their_folder(
    tmp_path, metadata, folder, found
):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}")
    (tmp_path / folder / "entry_points.txt").write_text("[some.group]\ndoor = module")
    (point,) = importlib.metadata.PathDistribution(tmp_path / folder).entry_points
    assert distribution.origin(point) == found


@pytest.fixture
def made(tmp_path):
    """made(folder, entry_points, name, version): a distribution whose metadata lie in a folder of this name."""

    def make(folder, entry_points=None, name=None, version="1"):
        path = tmp_path / folder
        path.mkdir(parents=True)
        if name is not None:
            (path / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if entry_points is not None:
            (path / "entry_points.txt").write_bytes(entry_points)
        return importlib.metadata.PathDistribution(path)

    return make


def test_distributions_are_looked_at_one_by_one(made, monkeypatch):
    """The first of a name counts; what pip is about to remove, and what speaks of no such group, is passed over."""
    looked_at = [
        made("One_x-1.dist-info", b"[pixkit]\na = m:x\n[other]\nz = m:x\n"),
        made("one.x-2.dist-info", b"[pixkit]\nb = m:x\n"),
        made("~two-1.dist-info", b"[pixkit]\nc = m:x\n"),
        made("three/EGG-INFO", b"[pixkit]\nd = m:x\n", "three"),
        made("four/EGG-INFO", b"[pixkit]\ne = m:x\n", "four"),
        made("five-5.dist-info", b"[other]\nf = m:x\n"),
        made("six-6.dist-info"),
        made("seven-7.dist-info", b"[pixkit]\n\xff"),
        made("eight-8.dist-info", b"[pixkit]\nno entry point\n"),
        made("nine-9.dist-info", b"\xff of another kind"),
    ]
    monkeypatch.setattr(distribution, "_distributions", lambda: iter(looked_at))
    points, unreadable = distribution.plugin_points()
    assert [(point.name, *distribution.origin(point)) for point in points] == [
        *(("a", "One_x", "1"), ("d", "three", "1"), ("e", "four", "1"))
    ]
    folders = {found._path.name.partition("-")[0]: found._path for found in looked_at}
    assert unreadable == [
        ("seven", "7", f"{folders['seven']}/entry_points.txt: not UTF-8"),
        ("eight", "8", f"{folders['eight']}/entry_points.txt: not a list of entry points"),
    ]


def test_own_plugins_come_first_and_not_twice_under_the_former_name(made):
    def point(found, name):
        return importlib.metadata.EntryPoint(name, "m:x", "pixkit")._for(found)

    other, own = made("a-1.dist-info"), made("pixkit_models-2.dist-info", name=distribution.OWN)
    former = made("pixkit-0.1.dist-info", name="pixkit")
    given = [
        point(other, "z"),
        point(former, "x"),
        point(other, "x"),
        point(own, "y"),
        point(own, "x"),
        point(former, "w"),
    ]
    found = [(distribution.origin(each)[0], each.name) for each in distribution.in_order(given)]
    assert found == [("pixkit", "w"), (distribution.OWN, "x"), (distribution.OWN, "y"), ("a", "x"), ("a", "z")]
    assert distribution.origin(importlib.metadata.EntryPoint("x", "m:x", "pixkit")) == ("?", "?")


@pytest.mark.parametrize(("version", "numbers"), [
    ("0.2.0.dev0", (0, 2, 0)), ("2.15", (2, 15)), ("3", (3,)), ("1.2a3", (1, 2)), ("x1.2", ()), ("", ()),
])  # fmt: skip
def test_the_numbers_that_a_version_begins_with(version, numbers):
    assert distribution.release(version) == numbers


def test_names_of_distributions_are_compared_as_pip_does():
    names = ["pixkit", "PixKit", "pixkit_models", "Pixkit.-_Models", "pixkit-models-x", "Some.Other_one"]
    own = distribution.OWN
    assert [distribution.canonical(name) for name in names] == [*[own] * 4, "pixkit-models-x", "some-other-one"]
    assert [distribution.is_own(name) for name in names] == [True] * 4 + [False] * 2
