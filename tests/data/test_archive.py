import gzip
import io
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixkit.data import archive
from pixkit.data.archive import MEMBERS, SLACK, Bounded, leads_out, members
from pixkit.errors import DataError

WANTED = {"set/a.bin": "a", "set/b.bin": "b"}
LARGEST = 1000


def entry(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


A, B = entry("set/a.bin", b"first" * 50), entry("set/b.bin", b"second")


def pack(*entries, form=tarfile.PAX_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@pytest.fixture
def read(tmp_path):
    def reading(content, wanted=WANTED):
        path = tmp_path / "set.tar.gz"
        path.write_bytes(content)
        before = sorted(tmp_path.iterdir())
        try:
            return members(path, wanted, LARGEST)
        finally:
            assert sorted(tmp_path.iterdir()) == before, "something was unpacked"

    return reading


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_wanted_files_are_read_and_others_passed_over(read, form):
    other = entry("set/readme.html", b"hello")
    assert read(pack(entry("set", kind=tarfile.DIRTYPE), A, other, B, form=form)) == {
        "a": b"first" * 50,
        "b": b"second",
    }


def test_a_leading_dot_is_no_other_name(read):
    assert set(read(pack(entry("./set/a.bin", b"1"), B))) == {"a", "b"}


@pytest.mark.parametrize(
    "bad",
    [
        entry("../set/c.bin", b"x"),
        entry("set/../../c.bin", b"x"),
        entry("/etc/c.bin", b"x"),
        entry("set\\..\\c.bin", b"x"),
        entry("set/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("set/hard", kind=tarfile.LNKTYPE, link="set/a.bin"),
        entry("set/device", kind=tarfile.CHRTYPE),
        entry("set/pipe", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda bad: bad[0].name,
)
@pytest.mark.parametrize("first", [True, False])
def test_links_devices_and_paths_that_lead_out_are_refused(read, bad, first):
    with pytest.raises(DataError, match="refused") as caught:
        read(pack(bad, A, B) if first else pack(A, B, bad))
    assert bad[0].name.lstrip("/") in caught.value.found


def test_a_wanted_name_that_is_a_link_is_refused(read):
    with pytest.raises(DataError, match="refused"):
        read(pack(entry("set/a.bin", kind=tarfile.SYMTYPE, link="b.bin"), B))


def test_a_missing_file_is_named(read):
    with pytest.raises(DataError, match="missing") as caught:
        read(pack(A))
    assert caught.value.expected == "set/b.bin"
    with pytest.raises(DataError, match="missing"):
        read(pack(entry("set/a.bin", kind=tarfile.DIRTYPE), B))


@pytest.mark.parametrize(
    ("names", "outside"),
    [
        (["", ".", "/", "/a", "..", "../a", "a/../b", "a/..", "a\\b", "..\\a", "a\0b"], True),
        (["a", "a/b", "./a", "a/.", "..a", "a..", "a/b..c", ".a"], False),
    ],
)
def test_names_that_lead_out(names, outside):
    assert [name for name in names if leads_out(name) == outside] == names


def test_the_last_byte_and_the_last_entry_that_an_archive_may_have(read):
    assert len(read(pack(entry("set/a.bin", bytes(LARGEST)), B))["a"]) == LARGEST
    others = [entry(f"set/{number}", b"") for number in range(MEMBERS - 2)]
    assert set(read(pack(A, B, *others))) == {"a", "b"}
    with pytest.raises(DataError, match="refused") as caught:
        read(pack(A, B, *others, entry("set/more")))
    assert caught.value.found == f"more than {MEMBERS} entries"
    assert io.BufferedReader(Bounded(io.BytesIO(bytes(9)), 9), 4).read() == bytes(9)
    with pytest.raises(tarfile.ReadError, match="far more"):
        io.BufferedReader(Bounded(io.BytesIO(bytes(10)), 9), 4).read()


def test_bounds_on_sizes_and_numbers(read):
    with pytest.raises(DataError, match="size"):
        read(pack(entry("set/a.bin", bytes(LARGEST + 1)), B))
    with pytest.raises(DataError, match="refused"):
        read(pack(*[entry(f"set/{number}", b"") for number in range(MEMBERS + 1)]))
    with pytest.raises(DataError, match="damaged") as caught:
        read(pack(entry("set/zeros", bytes(SLACK + 10_000)), A, B))
    assert "far more" in caught.value.found


@pytest.mark.parametrize("size", [1, 127, 128, 129, 250])
def test_files_are_read_some_at_a_time(read, monkeypatch, size):
    monkeypatch.setattr(archive, "CHUNK", 64)
    content = bytes(1 + number % 250 for number in range(size))
    assert read(pack(entry("set/a.bin", content), B)) == {"a": content, "b": b"second"}


def test_as_much_is_unpacked_as_all_wanted_files_may_hold(read, monkeypatch):
    monkeypatch.setattr(archive, "SLACK", 40_000)
    many = {f"set/{number}": str(number) for number in range(40)}
    assert len(read(pack(*[entry(name, bytes(LARGEST)) for name in many]), many)) == 40


def test_a_long_header_that_unpacks_without_end_is_refused(read):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    with pytest.raises(DataError, match="damaged"):
        read(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * SLACK)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no archive", mtime=0),
        pack(A, B)[:-30],
        pack(A, B)[:40],
        gzip.compress(b"\xff" * 2000, mtime=0),
    ],
)
def test_damaged_archives_are_refused(read, content):
    with pytest.raises(DataError) as caught:
        read(content)
    assert caught.value.exit_code == 3 and "set.tar.gz" in caught.value.where


def test_no_archive_at_all(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        members(tmp_path / "none.tar.gz", WANTED, LARGEST)


PLAIN = gzip.decompress(pack(A, B, entry("set/" + "n" * 150, b"x")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_archives_are_read_or_refused(read, data):
    """Damage under the compression, most of it in the headers."""
    content = bytearray(PLAIN)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 2559))] = data.draw(st.sampled_from([0, 0x20, 0x2F, 0x30, 0x37, 0x80, 0xFF]))
    if data.draw(st.booleans()):
        for start in range(0, 3072, 512):  # checksums that fit, or few faults would be reached
            block = content[start : start + 512]
            block[148:156] = b" " * 8
            content[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    try:
        found = read(gzip.compress(bytes(content), 1, mtime=0))
    except DataError:
        return
    assert set(found) == {"a", "b"}
