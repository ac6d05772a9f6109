"""Compilers and caches of all kinds: what is compiled is kept whole, and what is not is said."""

import os
import shutil
import signal
import stat
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from pixkit.execution.native import compile as compiling
from pixkit.execution.native import keep, prebuilt
from pixkit.execution.native.compile import NoCompiler, kernel

pytestmark = pytest.mark.skipif(os.name != "posix", reason="compiled code is for Linux and macOS")
SMALL = "#define LAYERS(ROW)\nvoid run(const void *program, long a, long b, long c, long d, long e, long f) {}\n"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A kernel that takes no time to compile, and a cache and temporary files of this test's own."""
    for name in ("source", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "kernel.c").write_text(SMALL, encoding="utf-8")
    monkeypatch.setattr(compiling, "SOURCE", tmp_path / "source" / "kernel.c")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    compiling._found.cache_clear()
    yield tmp_path
    compiling._found.cache_clear()


def another_process():
    """What this one found out is forgotten."""
    compiling._found.cache_clear()


def kept(folder):
    """The files of a cache folder, hidden ones too."""
    return sorted((folder / "native").iterdir())


def compiler(folder, script):
    """A command for CC: a script whose last argument but one names the file to make."""
    path = folder / "my compiler"
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/log\nfor word; do out=$last; last=$word; done\n{script}\n')
    path.chmod(0o755)
    return f"'{path}'"


def asked(folder):
    """The arguments of each time that the compiler was asked."""
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def loads(turn):
    """Whether this process has the kernel."""
    return bool(kernel("float"))


@pytest.fixture
def silence():
    """No warning is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.needs_compiler
def test_what_was_compiled_is_found_by_other_processes(small, monkeypatch, silence):
    kernel("float")
    (library,) = kept(small / "cache")
    assert stat.S_IMODE(library.parent.stat().st_mode) == 0o700
    another_process()
    monkeypatch.setattr(compiling, "_run", None)
    kernel("float").run(None, 0, 0, 0, 0, 1, 0)
    assert kept(small / "cache") == [library] and not list((small / "temporary").iterdir())


@pytest.mark.needs_compiler
def test_of_processes_that_start_together_one_compiles(small, monkeypatch, silence):
    monkeypatch.setenv("CC", compiler(small, 'sleep 0.2\nexec cc "$@"'))
    with ProcessPoolExecutor(3, get_context("fork")) as pool:
        assert list(pool.map(loads, range(3))) == [True] * 3
    assert len(asked(small)) == 1 == len(kept(small / "cache"))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("damage", ["empty", "half", "one byte", "link", "folder", "pipe"])
def test_a_library_that_is_not_whole_is_built_anew(small, damage, silence):
    """It is never loaded: whatever maps a file that is too short may crash."""
    kernel("float")
    (library,) = kept(small / "cache")
    whole = library.read_bytes()
    library.unlink()
    if damage in ("empty", "half", "one byte"):
        library.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "one byte": whole[:-1] + b"\1"}[damage])
    elif damage == "link":
        shutil.copy(compiling.SOURCE, small / "elsewhere")
        library.symlink_to(small / "elsewhere")
    elif damage == "pipe":
        os.mkfifo(library)
    else:
        library = library.with_name(library.name.replace("kernel-", "kernel-0"))
        library.mkdir()
    another_process()
    kernel("float").run(None, 0, 0, 0, 0, 1, 0)
    found = [path for path in kept(small / "cache") if path.is_file()]
    assert [path.read_bytes() for path in found] == [whole] and not found[0].is_symlink()


def unusable(place, folder):
    """Make the cache one in which nothing can be kept."""
    native = folder / "cache" / "native"
    if place == "below a file":
        (folder / "cache").touch()
        return os.strerror(17)
    if place == "a file":
        (folder / "cache").mkdir()
        native.touch()
        return os.strerror(17)
    native.mkdir(parents=True)
    native.chmod(0o777 if place == "everybody's" else 0o700)
    if place == "another user's":
        os.chown(native, 54321, 54321)
    return "others can write there"


PLACES = [
    "below a file",
    "a file",
    "everybody's",
    pytest.param(
        "another user's", marks=pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
    ),
]


@pytest.mark.needs_compiler
@pytest.mark.parametrize("place", PLACES)
def test_where_the_cache_will_not_do_it_is_kept_among_the_temporary_files(small, place):
    """With a word about it when it is compiled, and none when it is found there."""
    why = unusable(place, small)
    folder = small / "temporary" / f"pixkit-{os.getuid()}"
    with pytest.warns(RuntimeWarning, match="cannot be kept in") as caught:
        kernel("float").run(None, 0, 0, 0, 0, 1, 0)
    (told,) = [str(warning.message) for warning in caught]
    assert f"{small}/cache/native: {why}" in told
    assert f"it is kept in {folder}/native, and PIXKIT_CACHE sets another folder" in told
    assert len(kept(folder)) == 1 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    another_process()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel("float").run(None, 0, 0, 0, 0, 1, 0)


@pytest.mark.needs_compiler
def test_it_is_on_the_disk_before_it_has_its_name(small, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, real=real: (done.append(name), real(*given))[1])
    kernel("float")
    assert done == ["fsync", "replace", "fsync"]  # the file, and the folder that names it


def test_of_a_small_file_all_is_on_the_disk_and_of_one_that_gets_no_name_nothing_is_left(small, monkeypatch):
    verdict, folder, sizes = small / "verdict", small / "cache" / "native", []
    verdict.write_bytes(b"passed")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
        target = keep.keep(verdict, folder, "key", ".tried")
    assert sizes[0] == 6 and target.read_bytes() == b"passed" and kept(small / "cache") == [target]

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        keep.keep(verdict, folder, "other", ".tried")
    assert kept(small / "cache") == [target]


@pytest.mark.needs_compiler
@pytest.mark.parametrize("trap", ["a link", "everybody's", "everybody's above"])
def test_a_folder_that_others_prepared_is_not_trusted(small, trap):
    """Among the temporary files anybody can make one of that name; the kernel works for this process all the same."""
    unusable("a file", small)
    folder = small / "temporary" / f"pixkit-{os.getuid()}"
    (small / "theirs" / "native").mkdir(parents=True, mode=0o700)
    if trap == "a link":
        folder.symlink_to(small / "theirs")
    else:
        (folder / "native").mkdir(parents=True)
        (folder / "native").chmod(0o777 if trap == "everybody's" else 0o700)
        folder.chmod(0o777 if trap == "everybody's above" else 0o700)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="every process that draws images has to compile it"):
            kernel("float").run(None, 0, 0, 0, 0, 1, 0)
        another_process()
    assert kept(folder) == []


@pytest.mark.needs_compiler
def test_a_kernel_that_is_there_needs_no_temporary_files(small, monkeypatch, silence):
    kernel("float")
    another_process()

    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    kernel("float").run(None, 0, 0, 0, 0, 1, 0)
    another_process()
    with pytest.raises(NoCompiler, match="no place to build the kernel"):
        kernel("double")


@pytest.mark.needs_compiler
def test_what_an_interrupted_process_left_is_no_matter(small, silence):
    (small / "cache" / "native").mkdir(parents=True, mode=0o700)
    (small / "cache" / "native" / ".kernel-0-0.1.ab.tmp").write_bytes(b"half")
    (small / "cache" / "native" / "kernel-f0f58b59aa40c45652b60919.so").write_bytes(b"")  # as 0.1 called them
    kernel("float").run(None, 0, 0, 0, 0, 1, 0)
    assert len([*(small / "cache" / "native").glob("kernel-*-*.so")]) == 1


def test_a_compiler_that_fails_is_asked_once(small, monkeypatch):
    monkeypatch.setenv("CC", compiler(small, "exit 3"))
    for _ in range(3):
        with pytest.raises(NoCompiler, match="could not build the kernel") as error:
            kernel("float")
        assert error.value.found == "it ended with code 3"
    assert len(asked(small)) == 1
    monkeypatch.setenv("CC", compiler(small, "exit 4") + " -other")
    with pytest.raises(NoCompiler, match="ended with code 4"):
        kernel("float")


def test_its_first_errors_are_shown(small, monkeypatch):
    said = ["k.c:1: warning: odd", "k.c:2: warning: odd", "k.c:4: error: none", "k.c:5: error: b", "k.c:6: error: c"]
    monkeypatch.setenv("CC", compiler(small, "\n".join([*(f"echo '{line}' >&2" for line in said), "exit 1"])))
    with pytest.raises(NoCompiler) as error:
        kernel("float")
    assert error.value.found == "k.c:4: error: none; k.c:5: error: b"


def test_a_line_without_end_is_cut(small, monkeypatch):
    monkeypatch.setenv("CC", compiler(small, "printf 'error: %0300d' 0 >&2; exit 1"))
    with pytest.raises(NoCompiler) as error:
        kernel("float")
    assert error.value.found == "error: ".ljust(200, "0")


@pytest.mark.needs_compiler
def test_the_errors_of_a_real_compiler_are_shown(small):
    compiling.SOURCE.write_text("int broken(", encoding="utf-8")
    with pytest.raises(NoCompiler, match=r"kernel\.c:1:\d+: error: "):
        kernel("float")


@pytest.mark.needs_compiler
def test_cc_may_have_arguments(small, monkeypatch):
    real = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    monkeypatch.setenv("CC", f"env {compiler(small, f'shift; exec {real} {chr(34)}$@{chr(34)}')} 'a b' -DONE=1")
    kernel("float").run(None, 0, 0, 0, 0, 1, 0)
    (arguments,) = asked(small)
    assert arguments.startswith(f"a b -DONE=1 {prebuilt.FLAGS[0]} ")


@pytest.mark.parametrize(
    ("there", "found"),
    [("cc gcc clang", "cc"), ("gcc clang", "gcc"), ("clang", "clang"), ("clang cc", "cc"), ("cc gcc", "cc")],
)
def test_without_cc_it_is_the_first_compiler_that_there_is(monkeypatch, there, found):
    monkeypatch.delenv("CC", raising=False)
    places = {name: f"/bin/{name}" for name in there.split()}
    monkeypatch.setattr(compiling.shutil, "which", places.get)
    assert compiling._compiler() == (f"/bin/{found}",)


@pytest.mark.parametrize(("machine", "system", "native"), [
    ("x86_64", "Linux", True), ("x86_64", "Darwin", True), ("aarch64", "Linux", True), ("arm64", "Darwin", False),
    ("aarch64", "Darwin", False),
])  # fmt: skip
def test_it_is_compiled_for_this_processor_but_where_compilers_do_not_know_that(
    small, monkeypatch, machine, system, native
):
    """Those of Apple take no -march=native."""
    monkeypatch.setattr(compiling.platform, "machine", lambda: machine)
    monkeypatch.setattr(compiling.platform, "system", lambda: system)
    monkeypatch.setenv("CC", compiler(small, "exit 1"))
    with pytest.raises(NoCompiler):
        kernel("double")
    (arguments,) = asked(small)
    flags = [*prebuilt.flags("double"), *["-march=native"] * native]
    assert arguments.startswith(" ".join([*flags, str(compiling.SOURCE), "-o "])) and arguments.endswith(" -lm")


def test_what_is_kept_is_for_a_processor_of_the_same_model_and_flags(monkeypatch):
    said = "processor\t: 0\nmodel name\t: A\nflags\t\t: a b\nprocessor\t: 1\nmodel name\t: B\nflags\t\t: c\n"
    monkeypatch.setattr(compiling.Path, "read_text", lambda path, **options: said)
    assert compiling._processor() == "model name\t: Aflags\t\t: a b"

    def missing(path, **options):
        raise FileNotFoundError(2, "No such file")

    monkeypatch.setattr(compiling.Path, "read_text", missing)
    monkeypatch.setattr(compiling.platform, "processor", lambda: "a processor")
    assert compiling._processor() == "a processor"


def test_what_is_larger_than_a_kernel_is_none_of_ours(small, monkeypatch):
    library = keep.keep(Path(__file__), small / "cache" / "native", "key")
    size = library.stat().st_size
    for largest, found in ((size, library), (size - 1, None)):
        monkeypatch.setattr(keep, "LARGEST", largest)
        assert keep.find(library.parent, "key") == found
    assert keep.find(library.parent, "other") is None


@pytest.mark.parametrize(
    ("stated", "message"),
    [("gcc '", "CC is not a command"), ("/nonexistent -O2", "could not build"), ("true", "it made no file")],
)
def test_a_cc_that_is_none_is_said(small, monkeypatch, stated, message):
    monkeypatch.setenv("CC", stated)
    with pytest.raises(NoCompiler, match=message):
        kernel("float")


def test_an_empty_file_is_none(small, monkeypatch):
    monkeypatch.setenv("CC", compiler(small, ': > "$out"'))
    with pytest.raises(NoCompiler, match="it made no file"):
        kernel("float")


def test_no_compiler_at_all_is_said(small, monkeypatch):
    monkeypatch.setenv("PATH", str(small))
    monkeypatch.setenv("CC", " ")
    with pytest.raises(NoCompiler, match="no C compiler"):
        kernel("float")


@pytest.mark.needs_compiler
@pytest.mark.parametrize("made", ["for another machine", "no library", "without the kernel"])
def test_what_cannot_be_loaded_is_said_as_such(small, monkeypatch, made):
    kernel("float")
    (library,) = kept(small / "cache")
    content = bytearray(library.read_bytes())
    if made == "for another machine":
        content[4] = 3 - content[4]  # 32 bits for 64
        content[18:20] = b"\x28\x00"  # ARM
    elif made == "no library":
        content = b"nothing of the kind"
    else:
        content = content.replace(b"\0run\0", b"\0ran\0")
    (small / "made").write_bytes(content)
    monkeypatch.setenv("CC", compiler(small, f'cp {small}/made "$out"'))
    for _ in range(2):
        with pytest.raises(NoCompiler, match="the C compiler's output cannot be loaded here") as error:
            kernel("float")
        assert "set CC to a compiler" in error.value.hint and error.value.where.endswith("my compiler'")
    assert len(asked(small)) == 1


def running(pid):
    """Whether a process is there, and not one that merely has not been waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("end", ["time", "interrupt"])
def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(small, monkeypatch, end):
    monkeypatch.setenv("CC", compiler(small, f"sleep 600 & echo $! > {small}/pid; wait"))
    if end == "time":
        monkeypatch.setattr(compiling, "TIMEOUT", 1.0)
        with pytest.raises(NoCompiler, match="it did not end in 1 seconds"):
            kernel("float")
    else:
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            kernel("float")
        signal.signal(signal.SIGALRM, before)
    child = int((small / "pid").read_text())
    limit = time.monotonic() + 60
    while running(child) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not running(child)
