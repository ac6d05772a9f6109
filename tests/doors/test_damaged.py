"""Distributions whose own files are damaged, at the plugin door: they take nothing along but their own plugins."""

import json
import os
import shutil
import sys

import pytest

from pixkit import distribution
from pixkit.cli.main import main
from pixkit.components.plugins import DISABLE_VARIABLE, load_plugins, plugins

SOUND = {
    "METADATA": b"Metadata-Version: 2.1\nName: stranger\nVersion: 3.1\n",
    "entry_points.txt": b"[console_scripts]\nstranger = stranger:main\n",
    "RECORD": b"stranger.py,,\n",
}
GARBLED = b"[console_scripts]\nno equals sign\n"
STRANGERS = {
    "latin_name": {"METADATA": "Metadata-Version: 2.1\nName: Jérôme\nVersion: 1\n".encode("latin-1")},
    "empty_metadata": {"METADATA": b""},
    "no_metadata": {"METADATA": None},
    "no_version": {"METADATA": b"Metadata-Version: 2.1\nName: stranger\n"},
    "binary_metadata": {"METADATA": bytes(range(256)) * 8},
    "binary_record": {"RECORD": bytes(range(256)) * 8},
    "no_points": {"entry_points.txt": None},
    "garbled_points": {"entry_points.txt": GARBLED},
    "latin_points": {"entry_points.txt": "[console_scripts]\nJérôme = stranger:main\n".encode("latin-1")},
}
"""What differs from a sound distribution; no file where None stands."""
HIDING = {
    "garbled": {"entry_points.txt": GARBLED + b"[pixkit]\nhidden = hidden\n"},
    "latin": {"entry_points.txt": "[pixkit]\nJérôme = hidden\n".encode("latin-1")},
    "endless": {"entry_points.txt": "entry_points.txt"},
}
"""Those that may bring plugins; where text stands, a link to it."""
WHY = {
    "garbled": "not a list of entry points",
    "latin": "not UTF-8",
    "endless": os.strerror(40) if sys.platform == "linux" else "",
}


def lay(folder, distributions, version="1.0"):
    """Put distributions, which are called by their folders, into a folder."""
    for name, files in distributions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        for file, content in {**SOUND, **files}.items():
            if isinstance(content, str):
                (info / file).symlink_to(content)
            elif content is not None:
                (info / file).write_bytes(content)
    return folder


@pytest.fixture
def beside(monkeypatch):
    """beside(folder): the distributions in that folder are installed, too."""
    plugins.cache_clear()
    yield monkeypatch.syspath_prepend
    monkeypatch.undo()
    plugins.cache_clear()


def test_a_damaged_stranger_is_nothing_to_a_command(door, tmp_path):
    """Not even to torch and pydantic, which read everyone's entry points when they are imported; not a word is said."""
    opened = door("good")
    opened.folders.append(lay(tmp_path / "strangers", STRANGERS))
    version, listing, valid, built = opened.pixkit(
        ["--version"],
        ["plugins", "--json"],
        ["--strict-plugins", "validate", "door.yaml"],
        ["build", "door.yaml", "train.steps=1", "-o", "run", "--device", "cpu", "-q"],
        anew=True,
    )
    assert version == (0, f"pixkit {distribution.version()}\n", "")
    assert {row["health"] for row in json.loads(listing.out)} == {"ok"}
    assert listing.err == ""
    assert valid == (0, "door.yaml: ok\n", "")
    assert (built.code, built.err) == (0, "")


@pytest.mark.parametrize("name", STRANGERS)
def test_each_damage_of_a_stranger_is_passed_over(name, tmp_path, beside):
    beside(lay(tmp_path, {name: STRANGERS[name]}))
    points, unreadable = distribution.plugin_points()
    assert "core" in {point.name for point in points} and not unreadable
    assert list(distribution.remarks()) == []


@pytest.mark.parametrize("name", HIDING)
def test_what_may_have_brought_plugins_is_a_broken_plugin(name, tmp_path, beside, capsys):
    beside(lay(tmp_path, {name: HIDING[name]}))
    (info,) = plugins().broken()
    assert (info.name, info.distribution, info.version) == ("?", "stranger", "3.1")
    assert info.detail.startswith(f"{tmp_path}/{name}-1.0.dist-info/entry_points.txt: {WHY[name]}")
    assert main(["ls", "mask"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert info.detail in line and f"{DISABLE_VARIABLE}=stranger" in line
    assert main(["--strict-plugins", "ls", "mask"]) == 4
    assert main(["show", "mask", "hidden"]) == 4
    assert (
        "it may belong to a plugin that could not be loaded: the plugin '?' of stranger 3.1" in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", HIDING)
def test_it_can_be_left_out_by_the_name_of_its_distribution(name, tmp_path, beside, capsys, monkeypatch):
    monkeypatch.setenv(DISABLE_VARIABLE, "Stranger")
    beside(lay(tmp_path, {name: HIDING[name]}))
    assert main(["--strict-plugins", "ls", "mask"]) == 0
    assert capsys.readouterr().err == ""
    assert [info.health for info in plugins().infos if info.name == "?"] == ["disabled"]


@pytest.mark.parametrize("name", ["latin_name", "empty_metadata", "no_metadata", "no_version", "binary_metadata"])
def test_a_plugin_with_damaged_metadata_is_called_by_its_folder(name, tmp_path, beside):
    """Its entry points can be read, so it works; the version is that of the folder."""
    stated = {**STRANGERS[name], "entry_points.txt": b"[pixkit]\nmine = mine_module\n"}
    lay(tmp_path, {name: stated}, version="2.5")
    shutil.copy(
        os.path.join(os.path.dirname(__file__), "dists", "first_of_two", "door_first.py"), tmp_path / "mine_module.py"
    )
    beside(tmp_path)
    (info,) = [info for info in load_plugins().infos if info.name == "mine"]
    assert (info.health, info.detail) == ("ok", "")
    assert info.version == "2.5"
    assert info.distribution == ("stranger" if name == "no_version" else name)


def test_what_pip_left_when_it_was_killed_is_passed_over(tmp_path, beside):
    """pip renames a distribution to ~... before it removes it; both bring the same plugins."""
    points = {"entry_points.txt": b"[pixkit]\nmine = mine_module\n"}
    beside(lay(tmp_path, {"~tranger": points, "stranger": points}))
    found, unreadable = distribution.plugin_points()
    assert [point.name for point in found if distribution.origin(point)[0] == "stranger"] == ["mine"] and not unreadable


def test_the_first_of_a_name_on_the_path_counts(tmp_path, beside):
    beside(lay(tmp_path / "second", {"stranger": {"entry_points.txt": b"[pixkit]\nsecond = second\n"}}))
    beside(lay(tmp_path / "first", {"Stranger": {"entry_points.txt": b"[pixkit]\nfirst = first\n"}}))
    names = {point.name for point in distribution.plugin_points()[0]}
    assert "first" in names and "second" not in names


@pytest.mark.parametrize("odd", [None, 3, b"bytes", "", "/no/such/folder", __file__], ids=repr)
def test_odd_entries_of_the_path_are_passed_over(odd, monkeypatch):
    before, version = [point.name for point in distribution.plugin_points()[0]], distribution.version()
    monkeypatch.setattr(sys, "path", [odd, *sys.path])
    assert [point.name for point in distribution.plugin_points()[0]] == before
    monkeypatch.setattr(os, "environ", {})
    distribution.shield_libraries()
    assert distribution.version() in ([version] if isinstance(odd, str) else [version, "unknown"])


def test_an_archive_on_the_path_may_hold_plugins(tmp_path, beside):
    lay(
        tmp_path / "archive",
        {"zipped": {"entry_points.txt": b"[pixkit]\nzipped = zipped\n"}, "garbled": HIDING["garbled"]},
    )
    beside(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "archive"))
    points, unreadable = distribution.plugin_points()
    assert "zipped" in {point.name for point in points}
    assert [found.reason.partition(": ")[2] for found in unreadable] == [WHY["garbled"]]


@pytest.mark.parametrize("closed", ["", "entry_points.txt"], ids=["folder", "file"])
def test_what_may_not_be_read_may_bring_plugins(closed, tmp_path, beside, monkeypatch):
    """importlib takes it for a distribution without entry points."""
    root = os.geteuid() == 0  # who may read it all the same
    place = lay(tmp_path, {"closed": {"entry_points.txt": None} if root else {}}) / "closed-1.0.dist-info" / closed
    if root:
        opened = os.open

        def refuse(path, *options, **more):
            if str(path).startswith(str(place)):
                raise PermissionError(13, os.strerror(13), str(path))
            return opened(path, *options, **more)

        monkeypatch.setattr(os, "open", refuse)
    else:
        place.chmod(0)
    beside(tmp_path)
    (found,) = distribution.plugin_points()[1]
    monkeypatch.undo()
    if not root:
        place.chmod(0o700)
    assert found.reason.endswith(f"closed-1.0.dist-info/entry_points.txt: {os.strerror(13)}")


@pytest.mark.parametrize("damaged", STRANGERS)
def test_damaged_metadata_of_pixkit_and_torch_are_survived(damaged, tmp_path, beside):
    """Their versions are only for people to read."""
    beside(lay(tmp_path, dict.fromkeys(("torch", "pixkit", "pixkit_models"), STRANGERS[damaged]), version="0.1"))
    assert isinstance(distribution.version(), str)
    assert all(isinstance(remark, str) for remark in distribution.remarks())
    assert main(["--version"]) == 0
