"""A catalogue that was kept is taken as long as nothing has changed that it depends on, and never fails anybody."""

import importlib
import json
import os
import stat
import sys
import tempfile
import zlib

import pytest

from pixkit.catalogue import state, store, watch

HELD = {"components": [], "commands": [], "plugins": [], "remarks": ["one"], "recipe": {"schema": {"é": [1, None]}}}


READING = """
import os, pathlib
data = pathlib.Path(__file__).parent / "data"
text = [path.read_text() for path in data.iterdir()]
for name in (data / "absent.txt", "beside.txt"):
    try:
        open(name)
    except OSError:
        pass
open(data / "written.log", "a").close()
open(data / "written.log").close()
os.environ.setdefault("CATALOGUED_THING", "mine")
if os.path.exists("/proc/self/stat"):
    open("/proc/self/stat").close()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on Python's path with a distribution and its plugin, imported, of which a catalogue was kept."""
    place = tmp_path / "site"
    info = place / "thing-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: thing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pixkit]\nthing = catalogued_thing\n")
    package = place / "catalogued_thing"
    (package / "data").mkdir(parents=True)
    (package / "data" / "words.txt").touch()
    (package / "__init__.py").write_text("from catalogued_thing import part\ntry:\n    import absent_thing\n"
                                         "except ImportError:\n    pass\n")  # fmt: skip
    (package / "reading.py").write_text(READING)
    (place / "outset_thing.py").write_text("import os\nos.environ.get('OUTSET_THING')\n")
    (place / "helping_thing.py").write_text("import os\nos.getenv('HELPING_THING')\n")
    (package / "part.py").write_text(
        "import helping_thing\ntry:\n    from catalogued_thing import absent\nexcept ImportError:\n    pass\n"
    )
    for broken in (package / "broken.py", place / "broken_thing.py"):
        broken.write_text("raise RuntimeError('always')\n")
    (tmp_path / "earlier-place").mkdir()  # not the name of a module: a helper of other tests is called before
    monkeypatch.setattr(sys, "path", [str(tmp_path / "earlier-place"), str(place), *sys.path])
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CATALOGUED_THING", "")  # so that it is taken away in the end
    monkeypatch.delenv("CATALOGUED_THING")
    for path in place.rglob("*"):
        os.utime(path, (1e9, 1e9))  # what was written just now might be edited once more
    importlib.invalidate_caches()
    with watch.watching() as watched:
        importlib.import_module("outset_thing")
        importlib.import_module("catalogued_thing.reading")
        for broken in ("catalogued_thing.broken", "broken_thing"):
            with pytest.raises(RuntimeError, match="always"):
                importlib.import_module(broken)
    store.keep(HELD, watched)
    monkeypatch.delenv("CATALOGUED_THING")  # which the plugin has set: the next process has it no longer
    yield place
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_thing")]:
        del sys.modules[name]


def files(tmp_path):
    return sorted((tmp_path / "cache" / "catalogue").glob("*.json"))


@pytest.mark.usefixtures("place")
def test_it_is_found_as_it_was_kept_wherever_one_stands(tmp_path, monkeypatch):
    assert store.find() == HELD
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path, str(tmp_path / "nowhere")])
    assert store.find() == HELD
    monkeypatch.setenv("PIXKIT_TRACEBACK", "1")
    assert store.find() == HELD


def later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


CHANGES = {
    "a plugin's file, edited": lambda place: (place / "catalogued_thing" / "__init__.py").write_text("# other"),
    "a file that it imports, edited to the same length": lambda place: later(place / "catalogued_thing" / "part.py"),
    "a file that failed, edited": lambda place: later(place / "catalogued_thing" / "broken.py"),
    "a module of its own that failed, edited": lambda place: later(place / "broken_thing.py"),
    "a file, removed": lambda place: (place / "catalogued_thing" / "part.py").unlink(),
    "a file, made unreadable": lambda place: (place / "catalogued_thing" / "part.py").chmod(0),
    "a part, which was looked for in vain": lambda place: (place / "catalogued_thing" / "absent.py").touch(),
    "a module, which was looked for in vain": lambda place: (place / "absent_thing.py").touch(),
    "another module of that name, before it": lambda place: (
        place.parent / "earlier-place" / "catalogued_thing"
    ).mkdir(),
    "a distribution, installed": lambda place: (place / "new-1.dist-info").mkdir(),
    "one in another folder": lambda place: (place.parent / "earlier-place" / "new.egg-info").touch(),
    "a file that leads to other folders, made": lambda place: (place / "other.pth").touch(),
    "a file that it read, edited": lambda place: later(place / "catalogued_thing" / "data" / "words.txt"),
    "a file that it tried to read, made": lambda place: (place / "catalogued_thing" / "data" / "absent.txt").touch(),
    "a file in a folder that it listed": lambda place: (place / "catalogued_thing" / "data" / "more.txt").touch(),
    "one, upgraded": lambda place: (place / "thing-1.0.dist-info").rename(place / "thing-1.1.dist-info"),
    "one, removed": lambda place: (place / "thing-1.0.dist-info").rename(place / "gone"),
    "its entry points, edited": lambda place: (place / "thing-1.0.dist-info" / "entry_points.txt").write_text("[x]"),
    "its metadata, edited": lambda place: (place / "thing-1.0.dist-info" / "METADATA").write_text("Name: other"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_may_change_what_there_is_changes_the_key(place, change):
    assert store.find() == HELD
    CHANGES[change](place)
    assert store.find() is None


def test_what_a_plugin_reads_where_one_stands_is_looked_for_there(place, monkeypatch):
    monkeypatch.chdir(place)
    assert store.find() == HELD
    (place / "beside.txt").touch()
    assert store.find() is None


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("variable", ["CATALOGUED_THING", "HELPING_THING", "OUTSET_THING"])
def test_variables_that_a_plugin_asks_for_change_the_key(monkeypatch, variable):
    """Or what it imports does; not those that were asked for before plugins were loaded."""
    monkeypatch.setenv(variable, "other")
    assert store.find() == (HELD if variable == "OUTSET_THING" else None)


def test_what_was_opened_to_be_written_or_belongs_to_the_system_is_no_source(tmp_path):
    """Nor are folders of Python's path, which are looked at anyway."""
    seen, here = watch.Watch(), str(tmp_path)
    flags = {"read": os.O_RDONLY, "updated": os.O_RDWR, "noted": os.O_WRONLY, "made": os.O_CREAT}
    for name, how in flags.items():
        seen.audit("open", (os.fsencode(tmp_path / name), None, how))
    for path in ("/proc/thing", f"{here}/thing-1.dist-info/METADATA"):
        seen.audit("open", (path, "r", os.O_RDONLY))
    seen.audit("open", (3, "r", os.O_RDONLY))
    seen.audit("import", (f"{here}/imported", None, os.O_RDONLY))
    seen.audit("os.scandir", (None,))
    for path in (here, "/sys/thing", f"{here}/thing-1.dist-info/thing", next(each for each in sys.path if each)):
        seen.audit("os.listdir", (path,))
    assert seen._listed >= {".", here}
    basis = seen.basis()
    assert [path for path in basis.files if path.startswith((here, "/proc"))] == [f"{here}/read"]
    assert [path for path in basis.folders if path != "."] == [here]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("variable", state.SWITCHES)
def test_switches_have_catalogues_of_their_own(tmp_path, monkeypatch, variable):
    before = os.environ.get(variable)
    monkeypatch.setenv(variable, "thing")
    assert store.find() is None
    store.keep({"other": 1}, watch.Watch())
    assert store.find() == {"other": 1}
    monkeypatch.delenv(variable) if before is None else monkeypatch.setenv(variable, before)
    assert store.find() == HELD
    assert len(files(tmp_path)) == 2


def sealed(content):
    body = json.dumps(content).encode()
    return b"%08x\n" % zlib.crc32(body) + body


DAMAGES = {
    "empty": lambda text: b"",
    "cut short": lambda text: text[:-1],
    "another byte": lambda text: text.replace(b'"one"', b'"two"'),
    "no JSON": lambda text: b"%08x\n{" % zlib.crc32(b"{"),
    "a list": lambda text: sealed([1]),
    "without its parts": lambda text: sealed({"environment": state.environment()}),
    "of another environment": lambda text: sealed({**json.loads(text[9:]), "environment": []}),
    "nested without end": lambda text: b"%08x\n" % zlib.crc32(b"[" * 100_000) + b"[" * 100_000,
}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_counts_as_absent_and_is_made_anew(tmp_path, damage):
    (path,) = files(tmp_path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert store.find() is None
    store.keep(HELD, watch.Watch())
    assert store.find() == HELD


INSTEAD = {"a folder": os.mkdir, "a pipe": os.mkfifo, "a link": lambda path: os.symlink("elsewhere", path)}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("instead", INSTEAD.values(), ids=INSTEAD)
def test_what_is_no_file_is_neither_read_nor_replaced(tmp_path, instead):
    (path,) = files(tmp_path)
    path.unlink()
    instead(path)
    assert store.find() is None
    store.keep(HELD, watch.Watch())
    assert not stat.S_ISREG(path.lstat().st_mode)
    assert store.find() == HELD, "among the temporary files"


@pytest.mark.usefixtures("place")
def test_where_the_cache_cannot_be_written_it_is_kept_among_the_temporary_files_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    assert store.find() is None
    store.keep(HELD, watch.Watch())
    assert store.find() == HELD
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    store.keep(HELD, watch.Watch())
    assert store.find() is None


@pytest.mark.usefixtures("place")
def test_a_disk_that_is_full_is_no_error(tmp_path, monkeypatch):
    for path in files(tmp_path):
        path.unlink()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.keep(HELD, watch.Watch())
    assert store.find() is None
    assert not [*tmp_path.glob("**/*.json")]


@pytest.mark.usefixtures("place")
def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path):
    (tmp_path / "cache" / "catalogue").chmod(0o777)
    assert store.find() is None


def test_a_file_that_changes_while_it_is_imported_is_not_kept(place):
    with watch.watching() as watched:
        (place / "catalogued_thing" / "part.py").write_text("# edited, before or after the import")
    store.keep({"new": 1}, watched)
    assert store.find() is None


def test_names_of_the_environment_are_asked_for_as_before_once_nothing_is_watched():
    before = os.environ.encodekey
    with watch.watching():
        assert os.environ.encodekey is not before
    assert os.environ.encodekey is before


def test_however_often_is_watched_python_calls_no_more_than_it_did(monkeypatch):
    with watch.watching():
        pass
    hooks = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    with watch.watching():
        pass
    assert hooks == []


@pytest.mark.usefixtures("place")
def test_those_that_were_not_used_for_longest_make_room(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "catalogue"
    (ours,) = files(tmp_path)
    for number in range(store.MOST + 3):
        (folder / f"{number:08x}.json").touch()
        os.utime(folder / f"{number:08x}.json", (number, number))
    (folder / ".x.1.tmp.json").touch()
    (folder / ".y.1.tmp.json").touch()
    os.utime(folder / ".y.1.tmp.json", (1, 1))
    (folder / "somebody's.txt").touch()
    monkeypatch.setenv("PIXKIT_DISABLE_PLUGINS", "other")
    store.keep(HELD, watch.Watch())
    assert len([path for path in files(tmp_path) if not path.name.startswith(".")]) == store.MOST
    assert {path.name for path in folder.iterdir()} >= {ours.name, ".x.1.tmp.json", "somebody's.txt", "00000012.json"}
    assert not {"00000000.json", ".y.1.tmp.json"} & {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("place")
def test_one_that_is_used_is_noted_to_be_in_use(tmp_path):
    (path,) = files(tmp_path)
    os.utime(path, (1, 1))
    assert store.find() == HELD
    assert path.stat().st_mtime > 1


@pytest.mark.usefixtures("place")
def test_two_processes_that_make_one_at_once_are_both_right(tmp_path):
    for path in files(tmp_path):
        path.unlink()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(3):
                store.keep(HELD, watch.Watch())
                if store.find() != HELD:
                    os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    assert store.find() == HELD
    assert len(files(tmp_path)) == 1


def test_it_is_no_error_that_there_is_no_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getcwd", lambda: (_ for _ in ()).throw(FileNotFoundError(2, "No such file")))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setenv("PIXKIT_CACHE", "cache")
    store.keep(HELD, watch.Watch())
    assert store.find() is None
