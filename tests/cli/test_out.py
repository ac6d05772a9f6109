"""Where pictures cannot go is said before anything is drawn, and what is there stays as it was."""

import os
from pathlib import Path

import pytest

from pixkit import figures
from pixkit.cli.commands import complete, reconstruct, sample, upscale, verify
from pixkit.errors import RunError

root = pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")


@pytest.fixture
def places(workplace):
    """Names that no file can be written to, and words of why."""
    (workplace / "target.png").write_text("mine")
    (workplace / "link.png").symlink_to("target.png")
    (workplace / "nowhere.png").symlink_to("absent.png")
    os.mkfifo(workplace / "pipe.png")
    (workplace / "folder.png").mkdir()
    (workplace / "leads").symlink_to("absent")
    return {
        "link.png": "a link", "nowhere.png": "a link", "pipe.png": "a pipe or a device", "folder.png": "",
        f"{'n' * 260}.png": "too long", f"{'n' * 248}.png": "too long", f"{'n' * 260}/x.png": "too long",
        "target.png/x.png": "ot a ", "target.png/deep/x.png": "ot a ", "leads/x.png": "leads nowhere",
    }  # fmt: skip


@pytest.fixture
def nothing_drawn(monkeypatch):
    """The verbs, which must not be called."""

    def called(*arguments, **options):
        raise AssertionError("drawn, or loaded, before anybody looked where it goes")

    for module, names in ((sample, ["sample"]), (complete, ["complete_each"]), (upscale, ["upscale_each"]),
                          (reconstruct, ["reconstruct"]), (verify, ["verify", "find_examined"])):  # fmt: skip
        for name in names:
            monkeypatch.setattr(module, name, called)
        monkeypatch.setattr(module, "loaded_plugins", called)


def commands(run, out):
    return [
        ("sample", run, "-o", out), ("complete", run, "test:0", "--keep-top", 3, "-o", out),
        ("upscale", run, "test:0", "-o", out), ("reconstruct", run, "test:0", "-o", out),
        ("verify", run, "--field", out), ("verify", run, "--order", out),
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_what_cannot_be_written_is_found_before_anything_is_drawn(pixkit, built, places, nothing_drawn, workplace):
    before = sorted(workplace.rglob("*"))
    for out, words in places.items():
        for command in commands(built, out):
            outcome = pixkit(*command)
            assert outcome.code == 2 and words in outcome.err, (command, outcome.err)
            assert outcome.out == "" and "Traceback" not in outcome.err
    assert sorted(workplace.rglob("*")) == before
    assert Path("target.png").read_text() == "mine"


def test_folders_for_pictures_are_looked_at_as_well(pixkit, built, workplace, nothing_drawn):
    (workplace / "file").touch()
    (workplace / "leads").symlink_to("absent")
    said = {"file": "not an empty folder", "leads": "not an empty folder", "file/new": "cannot be written"}
    for out, words in {**said, "n" * 260: "cannot be written"}.items():
        outcome = pixkit("sample", built, "-o", out)
        assert outcome.code == 2 and words in outcome.err, outcome.err


def test_missing_folders_are_made_and_files_replaced(tmp_path):
    new = tmp_path / "a" / "b" / "c.png"
    assert figures.require_file(new) == new and not (tmp_path / "a").exists()
    old = tmp_path / "old.png"
    old.touch()
    assert figures.require_file(str(old)) == old
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    inside = tmp_path / "link" / "x.png"
    assert figures.require_file(inside) == inside, "a folder may be a link"
    assert figures.require_empty(tmp_path / "link") == tmp_path / "link"


@root
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    for require, name in ((figures.require_file, "x.png"), (figures.require_empty, "x")):
        with pytest.raises(RunError, match="cannot be written"):
            require(tmp_path / name)
    tmp_path.chmod(0o700)


def test_a_folder_that_the_system_says_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    for require, name in ((figures.require_file, "x.png"), (figures.require_empty, "new/folder")):
        with pytest.raises(RunError, match=f"the folder {tmp_path} cannot be written"):
            require(tmp_path / name)


def test_a_disk_that_fills_up_while_a_picture_is_written(pixkit, built, workplace, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    Path("x.png").write_text("before")
    outcome = pixkit("sample", built, "-n", 1, "-o", "x.png")
    assert outcome.code == 2 and "x.png: cannot be written\n  found: No space left on device" in outcome.err
    assert Path("x.png").read_text() == "before" and not list(workplace.glob(".*"))


def test_a_name_that_is_too_long_is_said_by_whoever_takes_it(pixkit, workplace):
    for command in (("build", "tiny.yaml", "-o"), ("ls", "runs"), ("show", "run"), ("eval",), ("verify",)):
        outcome = pixkit(*command, "n" * 260)
        assert outcome.code == 2 and "nnn: " in outcome.err, outcome.err
