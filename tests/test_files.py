"""Opening files that nobody vouches for; writing is tested in tests/runs."""

import os

import pytest

from pixkit.files import NotRegular, TooLarge, open_regular


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
    with pytest.raises(NotRegular, match="a link"):
        open_regular(link, links=False)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, what in ((pipe, "a pipe or a device"), ("/dev/zero", "a pipe or a device"), (tmp_path, "a folder")):
        with pytest.raises(NotRegular, match=what):
            open_regular(path)
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
