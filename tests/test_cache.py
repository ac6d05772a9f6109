"""Where the cache folder is, on machines of all kinds."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from pixkit.cache import cache_dir, require_private, temporary_dir
from pixkit.cli.main import main
from pixkit.components.plugin_file import read_plugin_file
from pixkit.data.digits import Digits
from pixkit.errors import PluginError
from pixkit.recipe.load import absolute

pwd = pytest.importorskip("pwd")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """A Linux machine on which nothing is set but a home."""
    for variable in ("PIXKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A user that the system does not know, without a home, as in a container that was told to run as one."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError):
        Path.home()
    return tmp_path / f"pixkit-{os.getuid()}"


def test_the_platforms_folder_for_caches(monkeypatch, tmp_path):
    assert cache_dir() == Path("/home/me/.cache/pixkit")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "pixkit"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_dir() == Path("/home/me/Library/Caches/pixkit")
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache_dir() == Path("/home/me/AppData/Local/pixkit/Cache")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_dir() == tmp_path / "pixkit" / "Cache"


@pytest.mark.parametrize("stated", ["", "relative", "./here", "~/there"])
def test_what_is_not_absolute_is_as_if_it_were_not_set(monkeypatch, stated):
    """https://specifications.freedesktop.org/basedir-spec: "consider the path invalid and ignore it"."""
    monkeypatch.setenv("XDG_CACHE_HOME", stated)
    monkeypatch.setenv("LOCALAPPDATA", stated)
    assert cache_dir() == Path("/home/me/.cache/pixkit")
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache_dir() == Path("/home/me/AppData/Local/pixkit/Cache")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_users_own_choice_comes_first(monkeypatch, tmp_path, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("PIXKIT_CACHE", "~/mine")
    assert cache_dir() == Path("/home/me/mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXKIT_CACHE", "mine")
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.setenv("PIXKIT_CACHE", "")
    assert cache_dir() != tmp_path


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_without_a_home_it_lies_among_the_temporary_files(monkeypatch, nobody, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_dir() == nobody
    monkeypatch.setenv("HOME", "relative")
    assert cache_dir() == nobody


def test_without_a_home_a_tilde_is_a_name_like_any_other(nobody, tmp_path, capsys):
    """Wherever a user may write one: nothing fails but what is not there."""
    assert absolute("~/x.npz", tmp_path) == f"{tmp_path}/~/x.npz"
    assert Digits(Digits.Config(), tmp_path).resolve("~/x") == tmp_path / "~" / "x"
    with pytest.raises(PluginError, match=r"~/mine\.py"):
        read_plugin_file("~/mine.py")
    assert main(["validate", "~/recipe.yaml"]) == 2
    assert "~/recipe.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "private"), [(0o700, True), (0o755, True), (0o720, False), (0o702, False)])
def test_a_folder_is_private_if_nobody_else_can_write_there(monkeypatch, tmp_path, mode, private):
    folder, link = tmp_path / "cache", tmp_path / "link"
    folder.mkdir()
    folder.chmod(mode)
    link.symlink_to(folder)
    for place in (folder, link):  # a user may put a cache elsewhere by a link
        if private:
            require_private(place)
        else:
            with pytest.raises(PermissionError, match="others can write there"):
                require_private(place)
    another = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: another)
    with pytest.raises(PermissionError) as caught:
        require_private(folder)
    assert caught.value.filename == str(folder)


def test_what_is_no_folder_is_not_private(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        require_private(tmp_path / "cache")
    assert caught.value.filename == str(tmp_path / "cache")
    with pytest.raises(FileNotFoundError):
        require_private(tmp_path / "absent")


def test_among_temporary_files_the_folder_around_is_to_be_private_too_and_no_link(monkeypatch, tmp_path):
    """Everybody can write there, and exchange what is not his own for a link."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    around, inside = temporary_dir(), temporary_dir() / "inside"
    inside.mkdir(parents=True)
    around.chmod(0o700)
    require_private(inside)
    around.chmod(0o770)
    with pytest.raises(PermissionError) as caught:
        require_private(inside)
    assert caught.value.filename == str(around)
    around.chmod(0o700)
    inside.rename(around / "other")
    inside.symlink_to(around / "other")
    with pytest.raises(NotADirectoryError):
        require_private(inside)
