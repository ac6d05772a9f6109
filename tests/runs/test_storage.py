"""Folders that appear whole, and failures of the disk in words."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from pixkit.errors import RunError
from pixkit.files import clean_leftovers, new_folder, remove, writing


def fill(path, *names):
    with new_folder(path) as temporary:
        for name in names:
            (temporary / name).write_text(name)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_a_folder_appears_with_its_files(tmp_path):
    with new_folder(tmp_path / "deep" / "new") as temporary:
        (temporary / "a").write_text("1")
        assert not (tmp_path / "deep" / "new").exists()
    assert names(tmp_path / "deep") == ["new"]
    assert (tmp_path / "deep" / "new" / "a").read_text() == "1"


def test_an_older_folder_is_replaced_with_all_that_it_held(tmp_path):
    fill(tmp_path / "x", "old", "both")
    fill(tmp_path / "x", "new", "both")
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == ["both", "new"]


def test_a_block_that_raises_leaves_what_was_there(tmp_path):
    fill(tmp_path / "x", "old")
    with pytest.raises(KeyError), new_folder(tmp_path / "x") as temporary:
        (temporary / "new").write_text("")
        raise KeyError
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == ["old"]


def test_a_failure_at_any_sync_or_rename_leaves_the_old_or_the_new_folder(tmp_path, monkeypatch):
    """The block device may give out at every call; what is under the name is then whole, old or new."""
    outcomes = set()
    for number in range(20):
        target = tmp_path / str(number) / "x"
        fill(target, "old")
        calls = 0

        def failing(real, number=number):
            def call(*arguments):
                nonlocal calls
                calls += 1
                if calls == number + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(*arguments)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(os.fsync))
            patch.setattr(Path, "rename", failing(Path.rename))
            try:
                fill(target, "new", "newer")
            except OSError:
                failed = True
            else:
                failed = False
        there = tuple(names(target)) if target.exists() else None
        outcomes.add((failed, there))
        if not failed:
            break
    assert not failed
    assert outcomes == {(True, ("old",)), (True, ("new", "newer")), (False, ("new", "newer"))}


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".step-3.tmp").mkdir()
    (tmp_path / ".step-3.tmp" / "model.safetensors").write_text("half")
    (tmp_path / ".last.123.tmp").write_text("")
    (tmp_path / ".step-5.123.tmp.png").write_text("")
    for kept in (".hidden", "step-3", "x.tmp"):
        (tmp_path / kept).write_text("")
    assert len(clean_leftovers(tmp_path)) == 3
    assert names(tmp_path) == [".hidden", "step-3", "x.tmp"]
    assert clean_leftovers(tmp_path / "nowhere") == []


def test_a_leftover_does_not_stand_in_the_way(tmp_path):
    (tmp_path / ".x.tmp").mkdir()
    (tmp_path / ".x.tmp" / "half").write_text("")
    fill(tmp_path / "x", "a")
    assert names(tmp_path / "x") == ["a"]


def test_remove_does_not_follow_links(tmp_path):
    fill(tmp_path / "far", "precious")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    remove(tmp_path / "link")
    remove(tmp_path / "link")
    assert names(tmp_path) == ["far"]
    assert names(tmp_path / "far") == ["precious"]


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "-o"), (errno.EACCES, "-o"), (errno.EIO, None)],
)
def test_failures_say_what_and_where(number, hint):
    with pytest.raises(RunError, match="cannot be written") as caught, writing(Path("some/file")):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == "some/file"
    assert caught.value.found == os.strerror(number)
    assert (hint or "") in (caught.value.hint or "")
    assert caught.value.exit_code == 2


def test_a_disk_that_really_is_full(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        fill(mount / "x", "old")
        full = pytest.raises(RunError, match=r"(?s)cannot be written.*No space left")
        with full, writing(mount / "x"), new_folder(mount / "x") as temporary:
            (temporary / "big").write_bytes(bytes(100_000))
        assert names(mount) == ["x"]
        assert names(mount / "x") == ["old"]
    finally:
        subprocess.run(["umount", mount], check=True)
