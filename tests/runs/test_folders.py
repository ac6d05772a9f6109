"""Folders that appear whole, and failures of the disk in words."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from pixkit.errors import RunError
from pixkit.files import NotRegular, writing
from pixkit.runs.folders import discard, folder_of, new_folder, retire


def owns(name):
    return not name.startswith("mine")


def fill(path, *names):
    with new_folder(path, owns) as temporary:
        for name in names:
            (temporary / name).write_text(name)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_a_folder_appears_with_its_files(tmp_path):
    deep = tmp_path / "deep" / "deeper"
    with new_folder(deep / "new", owns) as temporary:
        (temporary / "a").write_text("1")
        assert not (deep / "new").exists()
    assert names(deep) == ["new"]
    assert (deep / "new" / "a").read_text() == "1"


def test_an_older_folder_is_replaced_but_for_what_is_not_ones_own(tmp_path):
    fill(tmp_path / "x", "old", "both")
    (tmp_path / "x" / "mine").mkdir()
    (tmp_path / "x" / "mine" / "notes").write_text("")
    fill(tmp_path / "x", "new", "both")
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == ["both", "mine", "new"]
    assert names(tmp_path / "x" / "mine") == ["notes"]


def test_a_block_that_raises_leaves_what_was_there(tmp_path):
    fill(tmp_path / "x", "old")
    with pytest.raises(KeyError), new_folder(tmp_path / "x", owns) as temporary:
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


def test_all_of_it_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_is_told_of(tmp_path, monkeypatch):
    noted, fsync, rename = [], os.fsync, Path.rename

    def synced(descriptor):
        noted.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def renamed(path, target):
        noted.append(f"{path.name} -> {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    fill(tmp_path / "x", "a", "b")
    assert sorted(noted[:2]) == ["a", "b"] and noted[2:] == [".x.tmp", ".x.tmp -> x", tmp_path.name]


def test_a_leftover_does_not_stand_in_the_way(tmp_path):
    for name in (".x.tmp", ".x.old.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("")
    fill(tmp_path / "x", "a")
    fill(tmp_path / "x", "b")
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == ["b"]


def test_a_folder_is_discarded_but_for_what_is_not_ones_own(tmp_path):
    fill(tmp_path / "x", "a", "b")
    fill(tmp_path / "y", "a")
    (tmp_path / "y" / "mine").write_text("1")
    assert discard(tmp_path / "x", owns) == []
    assert discard(tmp_path / "y", owns) == [tmp_path / "y" / "mine"]
    assert names(tmp_path) == ["y"]
    assert names(tmp_path / "y") == ["mine"]


def test_a_folder_is_discarded_where_an_earlier_removal_was_cut_short(tmp_path):
    """What is one's own of the leftover goes, too, and the rest is kept in the folder's place."""
    leftover = tmp_path / ".x.old.tmp"
    fill(tmp_path / "x", "a")
    leftover.mkdir()
    (leftover / "half").write_text("")
    assert discard(tmp_path / "x", owns) == []
    assert names(tmp_path) == []
    fill(tmp_path / "x", "a")
    leftover.mkdir()
    (leftover / "mine").write_text("1")
    assert discard(tmp_path / "x", owns) == [tmp_path / "x" / "mine"]
    assert names(tmp_path) == ["x"] and names(tmp_path / "x") == ["mine"]


def test_a_name_that_is_taken_is_not_written_over(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text(name)
    assert retire(tmp_path / "old", owns, tmp_path / "new") == [tmp_path / "old" / "mine"]
    assert [(tmp_path / name / "mine").read_text() for name in ("old", "new")] == ["old", "new"]


def test_files_that_a_network_file_system_keeps_for_readers_go_when_these_are_done(tmp_path):
    fill(tmp_path / "x", "a", ".nfs0001")
    (tmp_path / "x" / ".nfs0002").write_text("")
    assert discard(tmp_path / "x", lambda name: name == "a") == []
    assert names(tmp_path) == [".x.old.tmp"]
    for path in (tmp_path / ".x.old.tmp").iterdir():
        path.unlink()
    assert retire(tmp_path / ".x.old.tmp", owns, tmp_path / "x") == []
    assert names(tmp_path) == []


def test_links_are_not_followed(tmp_path):
    fill(tmp_path / "far", "precious")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    for work in (lambda: fill(tmp_path / "link", "new"), lambda: retire(tmp_path / "link", owns, tmp_path)):
        with pytest.raises(NotRegular) as caught:
            work()
        said = caught.value.errno, caught.value.strerror, caught.value.filename
        assert said == (errno.ELOOP, "a link", str(tmp_path / "link"))
    assert names(tmp_path / "far") == ["precious"]
    (tmp_path / "far" / "link").symlink_to(tmp_path / "far" / "precious")
    (tmp_path / "target").write_text("1")
    (tmp_path / "far" / "other").symlink_to(tmp_path / "target")
    retire(tmp_path / "far", owns, tmp_path)
    assert (tmp_path / "target").read_text() == "1"


def test_temporary_names_say_which_folder_is_written_or_removed():
    assert folder_of(".step-5.tmp") == folder_of(".step-5.old.tmp") == "step-5"
    for name in ("step-5.tmp", ".step-5", ".draft.tmp.txt", ".tmp"):
        assert folder_of(name) is None


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ELOOP, "link the run folder"),
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "-o"),
        (errno.EACCES, "-o"),
        (errno.EIO, None),
    ],
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
        with full, writing(mount / "x"), new_folder(mount / "x", owns) as temporary:
            (temporary / "big").write_bytes(bytes(100_000))
        assert names(mount) == ["x"]
        assert names(mount / "x") == ["old"]
    finally:
        subprocess.run(["umount", mount], check=True)
