"""Opening files that nobody vouches for, and files of one's own; the rest of writing is tested in tests/runs."""

import errno
import os

import pytest

from pixkit.errors import RunError
from pixkit.files import (
    NotRegular,
    TooLarge,
    file_of,
    if_it_fails,
    in_the_end,
    is_file,
    is_folder,
    is_there,
    kind_at,
    looking_at,
    open_own,
    open_regular,
    replacing,
    sync_folder,
    write_text,
    writing,
)
from pixkit.runs.folders import new_folder
from pixkit.runs.metrics import MetricsLog
from pixkit.runs.run import Run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    return path


def test_a_regular_file_is_read_also_through_a_link(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file)
    for path in (file, str(file), link):
        with open_regular(path, most=5) as opened:
            assert opened.read() == b"12345"
    with pytest.raises(NotRegular, match="a link") as caught:
        open_regular(link, links=False)
    assert caught.value.errno == errno.ELOOP, "as the system calls it"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, what in ((pipe, "a pipe or a device"), ("/dev/zero", "a pipe or a device"), (tmp_path, "a folder")):
        with pytest.raises(NotRegular, match=what) as caught:
            open_regular(path)
        assert caught.value.errno == errno.EINVAL
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_a_file_that_becomes_a_pipe_is_refused(file, monkeypatch):
    real = os.open
    opened = []

    def swap(path, flags):
        os.unlink(path)
        os.mkfifo(path)
        opened.append(real(path, flags))
        return opened[-1]

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(NotRegular):
        open_regular(file)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_size_is_judged_before_the_file_is_opened(file, monkeypatch):
    monkeypatch.setattr(os, "open", lambda *given: pytest.fail("it was opened"))
    with pytest.raises(TooLarge, match="5 bytes"):
        open_regular(file, most=4)


WRITE = os.O_WRONLY | os.O_CREAT


def test_a_file_of_ones_own_is_made_and_opened_again(tmp_path):
    for text in (b"123", b"45"):
        descriptor = open_own(tmp_path / "own", WRITE | os.O_APPEND)
        os.write(descriptor, text)
        os.close(descriptor)
    assert (tmp_path / "own").read_bytes() == b"12345"


def test_nothing_is_written_through_a_link_or_a_pipe(file, tmp_path):
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    kinds = {"link": "a link", "dangling": "a link", "pipe": "a pipe or a device", "folder": "a folder"}
    for name, kind in kinds.items():
        with pytest.raises(NotRegular, match=kind):
            open_own(tmp_path / name, WRITE)
    assert not (tmp_path / "nowhere").exists()


def test_a_file_with_a_second_name_as_backups_give_it_is_made_anew_to_be_written(file, tmp_path):
    backup = tmp_path / "backup"
    os.link(file, backup)
    os.close(open_own(file, WRITE, shared=True))
    assert file.samefile(backup), "it is only locked"
    descriptor = open_own(file, WRITE | os.O_APPEND)
    os.write(descriptor, b"6")
    os.close(descriptor)
    assert (file.read_bytes(), backup.read_bytes()) == (b"123456", b"12345")
    assert sorted(os.listdir(tmp_path)) == sorted([file.name, "backup"])


@pytest.mark.parametrize(("kind", "number"), [("link", errno.ELOOP), ("pipe", errno.ENXIO), ("second", errno.EMLINK)])
def test_a_file_of_ones_own_that_becomes_something_else_is_refused(file, tmp_path, monkeypatch, kind, number):
    own = tmp_path / "own"
    own.write_bytes(b"")
    real = os.open

    def swap(*given):
        own.unlink()
        {"link": own.symlink_to, "pipe": lambda _: os.mkfifo(own), "second": own.hardlink_to}[kind](file)
        return real(*given)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(OSError, check=lambda error: error.errno == number):
        open_own(own, WRITE)
    assert file.read_bytes() == b"12345"


@pytest.mark.parametrize(
    ("name", "of"),
    [
        (".last.123.tmp", "last"),
        (".build.7.tmp.lock", "build.lock"),
        (".recipe.lock.12.tmp.yaml", "recipe.lock.yaml"),
        (".best.1.tmp.png", "best.png"),
        ("last.123.tmp", None),
        (".step-5.tmp", None),
        (".draft.tmp.txt", None),
        (".tmp", None),
        (".hidden", None),
    ],
)
def test_temporary_names_say_which_file_is_written(name, of):
    assert file_of(name) == of


@pytest.mark.parametrize("name", ["last", "best.png", "recipe.lock.yaml", "a.b.c", "x y.txt"])
def test_a_file_is_written_under_its_temporary_name(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("")
        assert file_of(temporary.name) == name
    assert os.listdir(tmp_path) == [name]


def test_a_link_is_not_replaced_and_nothing_is_written_through_it(file, tmp_path):
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(NotRegular, match="a link"):
        write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert file.read_bytes() == b"12345"


def test_what_a_killed_process_of_the_same_number_left_is_not_written_into(file, tmp_path):
    with replacing(tmp_path / "own") as temporary:
        pass_on = temporary.name
        temporary.write_text("")
    (tmp_path / pass_on).symlink_to(file)
    write_text(tmp_path / "own", "new")
    assert (tmp_path / "own").read_text() == "new"
    assert file.read_bytes() == b"12345"


@pytest.fixture
def failing_disk(monkeypatch):
    """From the first fsync on, which finds the disk full, nothing can be removed, renamed or closed either."""
    real = {name: getattr(os, name) for name in ("unlink", "rename", "rmdir", "close")}
    full = []

    def fsync(descriptor):
        full.append(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(name):
        def call(*arguments, **options):
            if name == "close":
                real[name](*arguments, **options)
            if full:
                raise OSError(errno.EIO, "Input/output error")
            return None if name == "close" else real[name](*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", fsync)
    for name in real:
        monkeypatch.setattr(os, name, broken(name))
    return full


def write_a_folder(path):
    with new_folder(path, lambda name: True) as temporary:
        (temporary / "file").write_text("x")


def write_a_log(path):
    with MetricsLog(path, 0, 0) as log:
        log.add({"step": 1})
        log.sync()


def write_and_fail_otherwise(path):
    with MetricsLog(path, 0, 0) as log:
        log._file.write("x")
        os.close(log._file.fileno())  # what is left in the buffer cannot be written
        raise KeyboardInterrupt


@pytest.mark.parametrize("write", [lambda path: write_text(path, "x"), lambda path: sync_folder(path.parent),
                                   write_a_folder], ids=["file", "rename", "folder"])  # fmt: skip
def test_the_first_error_of_a_failing_disk_is_the_one_that_is_told(tmp_path, failing_disk, write):
    with pytest.raises(RunError, match="No space left on device") as caught, writing(tmp_path / "file"):
        write(tmp_path / "file")
    assert failing_disk and caught.value.exit_code == 2 and "free some space" in caught.value.hint


def test_the_first_error_of_a_log_is_the_one_that_is_told(tmp_path):
    write_text(tmp_path / "log", "")
    with pytest.raises(KeyboardInterrupt):
        write_and_fail_otherwise(tmp_path / "log")


def test_a_claim_that_fails_says_what_failed_first(tmp_path, failing_disk):
    with pytest.raises(RunError, match="No space left on device"), Run.claim(tmp_path / "run"):
        pass
    assert failing_disk
    failing_disk.clear()
    with pytest.raises(ZeroDivisionError), in_the_end(lambda: os.rmdir(tmp_path / "absent")):
        raise ZeroDivisionError


def test_the_kind_of_what_is_at_a_path(tmp_path, file):
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "lost").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    assert [kind_at(path) for path in (tmp_path, file, tmp_path / "link")] == ["a folder", "a file", "a link"]
    assert kind_at(tmp_path / "link", links=True) == "a file"
    assert is_file(tmp_path / "link") and is_folder(tmp_path) and not is_folder(file) and not is_file(tmp_path)
    assert kind_at(tmp_path / "lost") == "a link"
    for nothing in ("lost", "loop", "none", "none/none", "x" * 5000, "a\0b", f"{file.name}/none"):
        assert not is_there(tmp_path / nothing)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_what_the_system_cannot_tell_is_not_taken_for_nothing(file, monkeypatch, number):
    def failing(path, **options):
        raise OSError(number, os.strerror(number), os.fspath(path))

    for ask in (kind_at, is_there, is_file, is_folder):
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", failing)
            with pytest.raises(OSError, match=os.strerror(number)):
                ask(file)


@pytest.mark.parametrize("name", ["run/file", "run", None, "other", 3])
def test_what_cannot_be_looked_at_in_a_folder_is_told_by_its_path(tmp_path, name):
    path = tmp_path / name if isinstance(name, str) else name
    error = OSError(errno.EIO, os.strerror(errno.EIO), str(path) if isinstance(name, str) else name)
    inside = isinstance(name, str) and name.startswith("run")
    with pytest.raises(RunError if inside else OSError) as caught, looking_at(tmp_path / "run"):
        raise error
    if inside:
        assert (caught.value.where, caught.value.found) == (str(path), os.strerror(errno.EIO))
    else:
        assert caught.value is error


@pytest.fixture
def synced(monkeypatch):
    """What is synced, by its name at that time, and renamed, in order."""
    done, real = [], {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def fsync(descriptor):
        done.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        real["fsync"](descriptor)

    def renamed(name):
        def call(source, target, **options):
            done.append((name, os.path.basename(target)))
            real[name](source, target, **options)

        return call

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, renamed(name))
    return done


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not name open files")
def test_what_is_written_is_on_the_disk_before_it_has_its_name_and_its_name_is_after(tmp_path, synced):
    before = len(os.listdir("/proc/self/fd"))
    write_text(tmp_path / "deep" / "deeper" / "own.txt", "new", lambda: synced.append("before"))
    assert synced == [("sync", f".own.{os.getpid()}.tmp.txt"), "before", ("replace", "own.txt"), ("sync", "deeper")]
    synced.clear()
    with new_folder(tmp_path / "whole", lambda name: True, lambda: synced.append("before")) as temporary:
        for name in "ab":
            (temporary / name).write_text(name)
    files, *rest = [set(synced[:2]), *synced[2:]]
    assert files == {("sync", "a"), ("sync", "b")}
    assert rest == [("sync", ".whole.tmp"), "before", ("rename", "whole"), ("sync", tmp_path.name)]
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_made_may_be_read_and_written_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0)
    try:
        os.close(open_own(tmp_path / "own", WRITE))
    finally:
        os.umask(before)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o666


def test_tidying_is_done_once_and_only_if_that_is_asked_for():
    done = []
    for context in (in_the_end, if_it_fails):
        with context(lambda: done.append("tidy")):
            done.append("work")
    assert done == ["work", "tidy", "work"]
    for context in (in_the_end, if_it_fails):
        with pytest.raises(KeyError), context(lambda: done.append("again")):
            raise KeyError
    assert done[3:] == ["again", "again"]
    with pytest.raises(OSError, match="full"), in_the_end(lambda: fail(OSError("full"))):
        pass
    with pytest.raises(ValueError, match="not the disk"), if_it_fails(lambda: fail(ValueError("not the disk"))):
        raise KeyError


def fail(error):
    raise error
