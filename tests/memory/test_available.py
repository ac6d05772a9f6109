"""How much memory can still be had, from fake trees of the system's files."""

import sys

import pytest
import torch

from pixkit.memory import Room, available, in_words, resident
from pixkit.memory.heap import glibc

CPU = torch.device("cpu")
GIB = 1 << 30
V2 = "25 1 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"


@pytest.fixture
def system(tmp_path):
    """Write the files of a system, whose machine has 8 GiB free of 16."""

    def write(cgroup="", mounts="", **files):
        texts = {
            "proc/self/cgroup": cgroup,
            "proc/self/mountinfo": mounts,
            "proc/meminfo": f"MemTotal: {16 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {8 * GIB // 1024} kB\n",
            **files,
        }
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return available(CPU, tmp_path)

    return write


def group(folder, limit, used, stat="", *, version=2, high="max"):
    """The files of a control group."""
    names = (
        {"memory.max": limit, "memory.high": high, "memory.current": used}
        if version == 2
        else {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used}
    )
    return {f"{folder}/{name}": str(value) for name, value in {**names, "memory.stat": stat}.items()}


def test_a_machine_without_groups_has_what_it_says_is_available(system):
    room = system()
    assert (room.free, room.size) == (8 * GIB, 16 * GIB)
    assert str(room) == "8 GiB, free of the 16 GiB of the machine"


@pytest.mark.parametrize("line", ["MemTotal: 1 kB", "MemAvailable: 1 kB", "MemTotal: x kB"])
def test_of_a_machine_that_tells_half_all_is_taken_to_be_free(system, line):
    room = system(**{"proc/meminfo": line})
    assert 1 << 28 < room.free == room.size < 1 << 50


def test_the_lower_of_two_limits_bounds(system):
    for limits in ((4, 2), (2, 4)):
        files = group("sys/fs/cgroup/job", limits[0] * GIB, GIB, high=limits[1] * GIB)
        assert system("0::/job", V2, **files).size == 2 * GIB


def test_a_group_that_is_not_seen_does_not_bound(system):
    """What lies where its folder would be, if the mount point were the root or a path led out of it."""
    files = group("sys/fs/cgroup/docker/abc", GIB, 0) | group("sys/fs/other", GIB, 0) | group("sys/fs/cgroup/b", GIB, 0)
    for own, shown in (("/docker/abc", "/elsewhere"), ("/../other", "/"), ("/ab", "/a")):
        assert system(f"0::{own}", V2.replace(" / /sys", f" {shown} /sys"), **files).name == "the machine"


def test_the_own_group_bounds(system):
    room = system("0::/job", V2, **group("sys/fs/cgroup/job", 4 * GIB, GIB))
    assert (room.free, room.size) == (3 * GIB, 4 * GIB)
    assert room.name.endswith("sys/fs/cgroup/job")


def test_a_groups_name_may_have_colons(system):
    assert system("0::/job:a:b", V2, **group("sys/fs/cgroup/job:a:b", 4 * GIB, GIB)).size == 4 * GIB


def test_a_group_around_it_bounds(system):
    files = group("sys/fs/cgroup/user/job", "max", GIB) | group("sys/fs/cgroup/user", 2 * GIB, GIB)
    assert system("0::/user/job", V2, **files).free == GIB


def test_the_tightest_bounds_wherever_it_is(system):
    files = group("sys/fs/cgroup/a/b", 3 * GIB, 0) | group("sys/fs/cgroup/a", 7 * GIB, 6 * GIB)
    assert system("0::/a/b", V2, **files).free == GIB


def test_what_slows_down_bounds_like_what_kills(system):
    assert system("0::/job", V2, **group("sys/fs/cgroup/job", "max", GIB, high=3 * GIB)).free == 2 * GIB


def test_pages_of_files_that_were_read_are_free(system):
    stat = f"anon {GIB}\nfile {3 * GIB}\ninactive_file {GIB}\nactive_file {GIB // 2}"
    assert system("0::/job", V2, **group("sys/fs/cgroup/job", 4 * GIB, 4 * GIB, stat)).free == GIB * 3 // 2


def test_a_group_above_its_limit_has_nothing_free(system):
    assert system("0::/job", V2, **group("sys/fs/cgroup/job", GIB, 2 * GIB)).free == 0


def test_version_1_bounds_and_so_do_its_groups_around(system):
    stat = f"inactive_file 7\ntotal_inactive_file {GIB // 2}\ntotal_active_file 0"
    files = group("sys/fs/cgroup/memory/a/b", 9223372036854771712, GIB, version=1)
    files |= group("sys/fs/cgroup/memory/a", 2 * GIB, GIB, stat, version=1)
    cgroup = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/"
    assert system(cgroup, V1, **files).free == GIB * 3 // 2


def test_version_1_without_a_limit_bounds_nothing(system):
    files = group("sys/fs/cgroup/memory/a", 9223372036854771712, GIB, version=1)
    assert system("4:memory:/a", V1, **files).name == "the machine"


def test_a_group_of_other_controllers_bounds_nothing(system):
    mounts = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"
    files = group("sys/fs/cgroup/cpu/a", GIB, 0, version=1)
    assert system("1:cpu:/a", mounts, **files).name == "the machine"


def test_both_versions_may_be_mounted(system):
    files = group("sys/fs/cgroup/memory/a", 2 * GIB, 0, version=1) | group("sys/fs/cgroup/unified/b", GIB, 0)
    mounts = f"{V1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    assert system("4:memory:/a\n0::/b", mounts, **files).free == GIB


@pytest.mark.parametrize(
    ("own", "shown"),
    [("/docker/abc", "/docker/abc"), ("/", "/"), ("/docker/abc", "/elsewhere"), ("/../other", "/"), ("/ab", "/a")],
)
def test_a_container_sees_its_group_at_the_mount_point(system, own, shown):
    mounts = V2.replace(" / /sys", f" {shown} /sys")
    assert system(f"0::{own}", mounts, **group("sys/fs/cgroup", 2 * GIB, GIB)).free == GIB


def test_a_container_sees_groups_below_its_own(system):
    mounts = V2.replace(" / /sys", " /docker/abc /sys")
    files = group("sys/fs/cgroup/inner", 2 * GIB, 0) | group("sys/fs/cgroup", GIB, 0)
    assert system("0::/docker/abc/inner", mounts, **files).free == GIB
    assert system("0::/docker/abc/inner", mounts, **group("sys/fs/cgroup", "max", 0)).free == 2 * GIB


def test_mount_points_with_spaces_are_found(system):
    mounts = V2.replace("/sys/fs/cgroup", "/sys/my\\040groups")
    assert system("0::/job", mounts, **group("sys/my groups/job", GIB, 0)).free == GIB


@pytest.mark.parametrize(
    "mounts", ["x - cgroup2", "25 1 0:23 /", "25 1 0:23 / /sys/fs/cgroup - ", "25 1 0:23 - cgroup2"]
)
def test_odd_mounts_bound_nothing_and_the_least_that_tells_does(system, mounts):
    files = group("sys/fs/cgroup", GIB, 0)
    assert system("0::/", mounts, **files).name == "the machine"
    assert system("0::/", "25 1 0:23 / /sys/fs/cgroup - cgroup2", **files).free == GIB


@pytest.mark.parametrize("cgroup", ["nonsense", "4:memory:/", "7::/", ""])
def test_who_is_in_no_group_is_not_bound_by_one(system, cgroup):
    assert system(cgroup, V2, **group("sys/fs/cgroup", GIB, 0)).name == "the machine"


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_tells_one_thing_alone_bounds_nothing(system, version):
    mounts, cgroup = ((V1, "4:memory:/a"), (V2, "0::/a"))[version - 1]
    folder = "sys/fs/cgroup/memory/a" if version == 1 else "sys/fs/cgroup/a"
    for name, text in group(folder, GIB, 0, version=version).items():
        if not name.endswith("stat"):
            others = dict.fromkeys(group(folder, 0, 0, version=version), "max")
            assert system(cgroup, mounts, **{**others, name: text}).name == "the machine"


def test_of_groups_that_leave_as_much_the_own_is_named(system):
    files = group("sys/fs/cgroup/a/b", GIB, 0) | group("sys/fs/cgroup/a", GIB, 0)
    assert system("0::/a/b", V2, **files).name.endswith("sys/fs/cgroup/a/b")


def test_odd_lines_of_what_a_group_counts_are_passed_over(system):
    stat = f"nonsense\n\ninactive_file\nactive_file x\ninactive_file {GIB}"
    assert system("0::/job", V2, **group("sys/fs/cgroup/job", 2 * GIB, 2 * GIB, stat)).free == GIB


def test_a_gpu_has_what_no_process_uses_and_what_torch_keeps(monkeypatch):
    for name, value in {"mem_get_info": (100, 1000), "memory_reserved": 70, "memory_allocated": 30}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert available(torch.device("cuda")) == Room("the GPU", 140, 1000)


@pytest.mark.parametrize("text", ["", "nonsense", "0", "0::", "::::", "25 1 0:23 - cgroup2", " - ", "x - cgroup"])
def test_odd_files_bound_nothing(system, text):
    assert system(text, text, **{"sys/fs/cgroup/memory.max": text}).name == "the machine"


def test_files_that_are_missing_bound_nothing(tmp_path):
    room = available(CPU, tmp_path)
    assert room.free == room.size > 1 << 28
    assert resident(tmp_path) is None


@pytest.mark.parametrize(("stated", "share"), [("4", 4), ("1", 1), ("0", 1), ("two", 1)])
def test_what_a_launcher_has_started_on_a_machine_shares_its_memory(system, tmp_path, stated, share):
    system()
    whole, room = (available(CPU, tmp_path, found) for found in ({}, {"LOCAL_WORLD_SIZE": stated}))
    assert (room.free, room.size) == (whole.free // share, whole.size // share)
    assert room.name == whole.name + (" for each of 4 processes" if share == 4 else "")


def test_what_the_system_says_of_the_process_is_resident(system, tmp_path):
    system(**{"proc/self/status": "VmSize: 9 kB\nVmRSS: 5 kB"})
    assert resident(tmp_path) == 5 * 1024


def test_what_was_freed_is_given_back_before_anything_is_measured(monkeypatch, tmp_path):
    trimmed = []
    monkeypatch.setitem(available.__globals__, "trim", lambda: trimmed.append(1))
    available(CPU, tmp_path)
    assert len(trimmed) == 1
    resident(tmp_path)
    assert len(trimmed) == 2


def test_this_system_tells():
    room = available(CPU)
    assert 0 < room.free <= room.size < 1 << 50
    if sys.platform == "linux":
        assert 1 << 24 < resident() < 1 << 40
    else:
        assert resident() is None


@pytest.mark.skipif(not glibc(), reason="about glibc's allocator")
def test_what_was_freed_is_not_resident():
    """glibc keeps it: here below a tensor that is alive, on the top of the heap."""
    before = resident()
    many = [torch.ones(1 << 14) for _ in range(1024)]
    last = torch.ones(1 << 14)
    assert resident() - before > 60 << 20
    del many
    assert resident() - before < 16 << 20
    assert last.sum() == 1 << 14


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_tells():
    room = available(torch.device("cuda"))
    assert 0 < room.free <= room.size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 bytes"),
        (512, "512 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (2048, "2 KiB"),
        (3 << 20, "3 MiB"),
        (1 << 30, "1 GiB"),
        (5 << 40, "5 TiB"),
        (5 << 53, "40960 TiB"),
    ],
)
def test_bytes_in_words(size, text):
    assert in_words(size) == text
