import errno
import hashlib
import http.client
import io
import os
import socket
import threading
import urllib.error
import urllib.request

import pytest

from pixkit import locks
from pixkit.data import download
from pixkit.data.download import Remote, fetch
from pixkit.errors import DataError

CONTENT = bytes(range(256)) * 4096
"""A mebibyte: several pieces of a download."""


def remote(server, *mirrors, content=CONTENT, name="file.bin"):
    urls = mirrors or (server.url + name,)
    return Remote(name, hashlib.md5(content).hexdigest(), len(content), urls)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "set"


def get(what, folder, progress=None):
    return fetch(what, folder, [what.name], progress)


def test_a_file_is_downloaded_with_progress_and_then_left_alone(server, folder):
    server.files["file.bin"] = CONTENT
    told = []
    path = get(remote(server), folder, lambda *what: told.append(what))
    assert path == folder / "file.bin" and path.read_bytes() == CONTENT
    assert told[-1] == ("file.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert len(told) > 2
    assert not list(folder.glob("*.part"))
    get(remote(server), folder)
    assert len(server.requests) == 1


def test_a_partial_file_is_resumed(server, folder):
    server.files["file.bin"] = CONTENT
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(CONTENT[:1000])
    assert get(remote(server), folder).read_bytes() == CONTENT
    assert server.requests == [("file.bin", "bytes=1000-")]


def test_a_partial_file_that_is_whole_needs_no_server(server, folder):
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(CONTENT)
    assert get(remote(server), folder).read_bytes() == CONTENT
    assert server.requests == []


def test_a_dropped_connection_is_taken_up_where_it_broke(server, folder):
    server.files["file.bin"] = CONTENT
    server.drops = [300_000, 300_000]
    assert get(remote(server), folder).read_bytes() == CONTENT
    assert server.requests == [("file.bin", None), ("file.bin", "bytes=300000-"), ("file.bin", "bytes=600000-")]


def test_a_connection_that_keeps_dropping_is_given_up_and_the_part_kept(server, folder):
    server.files["file.bin"] = CONTENT
    server.drops = [100_000, 0, 50_000, 0]
    for kept in (100_000, 150_000):
        with pytest.raises(DataError, match="could not be downloaded") as caught:
            get(remote(server), folder)
        assert "broke off" in caught.value.found
        assert (folder / "file.bin.part").read_bytes() == CONTENT[:kept]
        assert not (folder / "file.bin").exists()
    assert get(remote(server), folder).read_bytes() == CONTENT


def test_attempts_are_counted(server, folder):
    server.files["file.bin"] = CONTENT
    server.drops = [10] * 20
    with pytest.raises(DataError, match="could not be downloaded"):
        get(remote(server), folder)
    assert len(server.requests) == download.ATTEMPTS


def test_a_server_that_cannot_resume_sends_the_whole(server, folder):
    server.files["file.bin"] = CONTENT
    server.ranges = False
    server.drops = [300_000]
    assert get(remote(server), folder).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_what_a_server_sends_anew_replaces_the_part(server, folder):
    server.files["file.bin"] = CONTENT
    server.ranges, server.drops = False, [1000]
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(bytes(300_000))
    with pytest.raises(DataError, match="could not be downloaded"):
        get(remote(server), folder)
    assert (folder / "file.bin.part").read_bytes() == CONTENT[:1000]


def test_all_that_came_is_on_the_disk_before_it_is_called_so(server, folder, monkeypatch):
    server.files["file.bin"] = CONTENT[:100]
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    get(remote(server, content=CONTENT[:100]), folder)
    assert 100 in sizes


def test_a_server_that_resumes_elsewhere_is_not_believed(server, folder):
    server.files["file.bin"] = CONTENT
    server.shift = 1
    server.drops = [300_000]
    with pytest.raises(DataError) as caught:
        get(remote(server), folder)
    assert "did not continue at the requested offset" in caught.value.found


def test_without_an_announced_length_the_size_still_counts(server, folder):
    server.announce = False
    server.files["file.bin"] = CONTENT
    assert get(remote(server), folder).read_bytes() == CONTENT
    server.files["short.bin"] = CONTENT[:-1]
    with pytest.raises(DataError, match="could not"):
        get(remote(server, name="short.bin"), folder)
    server.files["long.bin"] = CONTENT + bytes(2**22)
    with pytest.raises(DataError) as caught:
        get(remote(server, name="long.bin"), folder)
    assert "checksum" in caught.value.found
    assert not (folder / "long.bin.part").exists()


def test_a_wrong_checksum_is_refused_and_nothing_of_it_kept(server, folder):
    server.files["file.bin"] = bytes(len(CONTENT))
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        get(remote(server), folder)
    assert "wrong checksum" in caught.value.found
    assert hashlib.md5(CONTENT).hexdigest() in caught.value.expected
    assert [path.name for path in folder.iterdir()] == ["file.bin.lock"]


def test_a_file_of_another_size_is_refused_before_it_is_read(server, folder):
    server.files["file.bin"] = b"<html>moved</html>"
    with pytest.raises(DataError) as caught:
        get(remote(server), folder)
    assert f"18 bytes, not {len(CONTENT)}" in caught.value.found
    assert not (folder / "file.bin.part").exists()


@pytest.mark.parametrize("rest", [1000, len(CONTENT) + 5])
def test_a_damaged_partial_file_is_begun_again(server, folder, rest):
    server.files["file.bin"] = CONTENT
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(b"x" * rest)
    assert get(remote(server), folder).read_bytes() == CONTENT
    assert server.requests[-1] == ("file.bin", None)


def test_the_next_mirror_goes_on_where_the_first_broke_off(server, folder):
    server.files["good.bin"] = CONTENT
    server.files["bad.bin"] = CONTENT
    server.drops = [200_000, 0]
    what = remote(server, server.url + "none.bin", server.url + "bad.bin", server.url + "good.bin")
    assert get(what, folder).read_bytes() == CONTENT
    assert [name for name, _ in server.requests] == ["none.bin", "bad.bin", "bad.bin", "good.bin"]
    assert server.requests[-1] == ("good.bin", "bytes=200000-")


def test_without_a_network_every_mirror_is_named(server, folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
    what = remote(server, closed, "http://host.invalid/file.bin")
    with pytest.raises(DataError) as caught:
        fetch(what, folder, ["file.bin", "other.bin"])
    error = caught.value
    assert closed in error.found and "host.invalid" in error.found
    assert error.where == str(folder)
    assert "file.bin, other.bin" in error.hint and "data.root" in error.hint
    assert error.exit_code == 3


class Reply(io.BytesIO):
    """What a server answers; it fails after its bytes."""

    status, headers = 200, {}

    def __init__(self, content, error):
        super().__init__(content)
        self.error = error
        self.reads = 0

    def read(self, size):
        self.reads += 1
        if piece := super().read(size):
            return piece
        raise self.error


FAILURES = [
    (OSError(), "OSError"),
    (OSError("plain words"), "plain words"),
    (urllib.error.URLError("refused"), "refused"),
    (http.client.BadStatusLine("odd"), "odd"),
    (http.client.HTTPException(), "HTTPException"),
    (urllib.error.HTTPError("", 503, "Busy", {}, None), "HTTP 503 Busy"),
]


@pytest.mark.parametrize(("error", "text"), FAILURES, ids=[text for _, text in FAILURES])
def test_what_fails_on_the_way_is_told(folder, monkeypatch, error, text):
    asked = []

    def urlopen(request, timeout):
        asked.append((request.full_url, request.header_items(), timeout))
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    what = Remote("file.bin", "", 9, ("http://one/file.bin", "http://two/file.bin"))
    with pytest.raises(DataError) as caught:
        get(what, folder)
    assert caught.value.found == f"http://one/file.bin: {text}; http://two/file.bin: {text}"
    headers = [("User-agent", "pixkit"), ("Accept-encoding", "identity")]
    assert asked == [(url, headers, download.TIMEOUT) for url in what.mirrors]
    if not isinstance(error, urllib.error.HTTPError):
        monkeypatch.setattr(urllib.request, "urlopen", lambda *given, **options: Reply(b"123", error))
        with pytest.raises(DataError) as caught:
            get(what, folder)
        broken = str(error) or text
        assert caught.value.found == f"http://one/file.bin: {broken}; http://two/file.bin: {broken}"
        assert (folder / "file.bin.part").read_bytes() == b"123"


def test_more_than_was_announced_is_not_waited_for(folder, monkeypatch):
    sent = Reply(bytes(10) + CONTENT, AssertionError("it was read to its end"))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *given, **options: sent)
    monkeypatch.setattr(download, "CHUNK", 10)
    with pytest.raises(DataError) as caught:
        get(Remote("file.bin", "", 19, ("http://one/file.bin",)), folder)
    assert "wrong checksum" in caught.value.found and sent.reads == 2


def test_a_folder_that_cannot_be_made_is_a_data_error(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written") as caught:
        get(remote(server), tmp_path / "file" / "cache")
    assert "PIXKIT_CACHE" in caught.value.hint


def test_nothing_is_written_through_a_link(server, folder, tmp_path):
    server.files["file.bin"] = CONTENT
    folder.mkdir(parents=True)
    (tmp_path / "precious").write_text("mine")
    for name in ("file.bin.lock", "file.bin.part"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / "precious")
        with pytest.raises(DataError, match="cannot be written") as caught:
            get(remote(server), folder)
        assert caught.value.found == "a link"
        (folder / name).unlink()
        assert (tmp_path / "precious").read_text() == "mine"


@pytest.fixture
def no_system_locks(monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks, "LOOK", 0.01)


@pytest.mark.parametrize("kind", ["system", "lease"])
def test_two_at_once_download_once(server, folder, request, kind):
    if kind == "lease":
        request.getfixturevalue("no_system_locks")
    server.files["file.bin"] = CONTENT
    server.barrier = threading.Barrier(2, timeout=0.5)  # only two requests at a time could pass it unbroken
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(get(remote(server), folder))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert [path.read_bytes() == CONTENT for path in paths] == [True, True]
    assert not list(folder.glob("*.lease"))


def test_a_download_that_was_killed_does_not_keep_the_next_waiting(server, folder, no_system_locks):
    server.files["file.bin"] = CONTENT
    folder.mkdir(parents=True)
    pid = os.fork()
    if pid == 0:
        lease = locks.Lease(folder / "file.bin.lease")
        lease.wait()
        os._exit(0)
    os.waitpid(pid, 0)
    assert (folder / "file.bin.lease").exists()
    assert get(remote(server), folder).read_bytes() == CONTENT
    assert not (folder / "file.bin.lease").exists()
