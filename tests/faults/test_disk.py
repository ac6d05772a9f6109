"""Disks that are full or cannot be written: a clean stop with exit code 2, and nothing lost."""

import os
import subprocess

import pytest
from forks import TINY, Runs, same, sound


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MB in memory."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    (folder / "tiny.yaml").write_text(TINY)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_disk_that_fills_up_while_a_build_runs(nursery, workplace, disk):
    """Every checkpoint is kept, until one does not fit; with more room the run goes on to the same end."""
    keep = ("train.keep=1000", "train.steps=60")
    whole, _ = Runs(nursery, workplace, "kept", *keep).finish()
    (disk / "ballast").write_bytes(bytes(600_000))
    runs = Runs(nursery, disk, "run", *keep)
    command = runs.start()
    assert command.wait() == 2, command.err
    assert "cannot be written" in command.err
    assert "No space left" in command.err
    assert "Traceback" not in command.err
    saved = sound(runs.path)
    assert 0 < saved < 60
    assert not (runs.path / "build.lock").exists()
    assert not [path for path in runs.path.rglob("*") if ".tmp" in path.name]
    remount(disk, "size=20m")
    same(runs.finish()[0], whole)


def test_a_disk_that_is_full_from_the_start(nursery, disk):
    room = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
    command = nursery.start(disk.parent, "build", disk / "tiny.yaml", "-o", disk / "run")
    assert command.wait() == 2, command.err
    assert "No space left" in command.err
    assert not [*(disk / "run").glob("*")]


def test_a_disk_that_cannot_be_written(nursery, disk):
    runs = Runs(nursery, disk, "run")
    runs.finish()
    remount(disk, "ro")
    before = contents(runs.path)
    for arguments in (["run", "--resume", "train.steps=9"], ["tiny.yaml", "-o", "run", "--overwrite"], ["tiny.yaml"]):
        command = nursery.start(disk.parent, "build", *absolute(disk, arguments))
        assert command.wait() == 2, command.err
        assert "cannot be written" in command.err
        assert "Read-only file system" in command.err
    assert contents(runs.path) == before
    assert nursery.start(disk.parent, "eval", runs.path).wait() == 0


def absolute(disk, arguments):
    """Build with paths on the disk; where none is named for the run, in a new folder there."""
    found = [str(disk / text) if text in ("run", "tiny.yaml") else text for text in arguments]
    return found if len(found) > 1 else [*found, "-o", str(disk / "new")]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere; it has a test of its own")
def test_a_folder_that_may_not_be_written(nursery, workplace):
    runs = Runs(nursery, workplace, "closed")
    runs.finish()
    before = contents(runs.path)
    runs.path.chmod(0o500)
    try:
        command = nursery.start(workplace, "build", runs.path, "--resume", "train.steps=9")
        assert command.wait() == 2
        assert "Permission denied" in command.err
    finally:
        runs.path.chmod(0o700)
    assert contents(runs.path) == before
