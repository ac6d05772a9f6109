"""Real distributions: each folder of dists/ is built into a wheel by hand, installed by pip, put on the path."""

import base64
import functools
import hashlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

RECIPE = """\
pixkit: 1
name: door
data: {source: digits, limit_train: 32, limit_test: 16}
model:
  type: autoregressive
  ordering: {type: column_at_once}
  backbone: {type: neighbours, width: 8}
  head: {type: scaled, scale: 1.5}
train: {steps: 4, batch_size: 8, eval_every: 2, checkpoint_every: 2, eval_images: 8}
sample: {count: 2}
"""


def build_wheel(project, target):
    """A wheel of a project that has one module and entry points, as PEP 427 writes it."""
    stated = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stem = f"{stated['name'].replace('-', '_')}-{stated['version']}"
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
        for group, found in stated["entry-points"].items()
    )
    requires = "".join(f"Requires-Dist: {name}\n" for name in stated["dependencies"])
    files = {path.name: path.read_bytes() for path in project.glob("*.py")}
    files[f"{stem}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {stated['name']}\nVersion: {stated['version']}\n{requires}".encode()
    )
    files[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{stem}.dist-info/entry_points.txt"] = points.encode()
    rows = [f"{name},sha256={digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{stem}.dist-info/RECORD"] = "\n".join([*rows, f"{stem}.dist-info/RECORD,,", ""]).encode()
    path = target / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def digest(data):
    """A hash as RECORD writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


PIP = """
import json, sys
from pip._internal.cli.main import main
options = "--quiet --no-deps --no-index --no-compile --disable-pip-version-check --target".split()
sys.exit(any(main(["install", *options, folder, wheel]) for folder, wheel in json.loads(sys.argv[1])))
"""
"""Each into a folder of its own, by one process: pip takes longer to start than to install a module."""


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The folders in which distributions of dists/ are installed; each is installed once a session."""
    folder = tmp_path_factory.mktemp("doors")
    found = {}

    def _installed(*names):
        fresh = [name for name in names if name not in found]
        found.update({name: folder / name for name in fresh})
        wheels = [[str(found[name]), str(build_wheel(HERE / "dists" / name, folder))] for name in fresh]
        if wheels:
            subprocess.run([sys.executable, "-c", PIP, json.dumps(wheels)], check=True)
        return [found[name] for name in names]

    return _installed


SESSION = """
import contextlib, io, json, sys
from pixkit.cli.main import main
found = []
for call in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(call)
    found.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""


class Outcome(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


class Warm:
    """Forks processes from one that has torch in memory, which takes seconds to load; see warm.py."""

    def __init__(self, folder):
        self._folder = folder
        paths = [str(ROOT), str(ROOT / "plugins")]
        self._process = subprocess.Popen(
            [sys.executable, HERE / "warm.py"],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(self, code, arguments, folder, path, variables):
        """What `subprocess.run` gives of `python -c CODE ARGUMENTS...`."""
        files = {name: str(self._folder / name) for name in ("out", "err")}
        stated = {"code": code, "arguments": arguments, "folder": str(folder), "path": path, "variables": variables}
        self._process.stdin.write(json.dumps({**stated, **files}) + "\n")
        self._process.stdin.flush()
        ended = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, ended, *(Path(name).read_text() for name in files.values()))

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Door:
    """Runs Python with some of the distributions installed beside pixkit."""

    def __init__(self, folders, cwd, warm):
        self.folders, self.cwd, self._warm = folders, cwd, warm

    def python(self, code, *arguments, anew=False, **variables):
        """`python -c CODE ARGUMENTS...`; with `anew` in a process that has nothing in memory."""
        drop = ("PIXKIT_DISABLE_PLUGINS", "PIXKIT_TRACEBACK", "FORCE_COLOR")
        inherited = {name: value for name, value in os.environ.items() if name not in drop}
        folders, words = [*map(str, self.folders)], [*map(str, arguments)]
        path = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), *folders])
        environment = {**inherited, **variables, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        if not anew and os.name == "posix":
            return self._warm().run(code, words, self.cwd, folders, environment)
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, cwd=self.cwd, env=environment, capture_output=True, text=True, check=False)

    def pixkit(self, *calls, **options):
        """Run `pixkit ARGUMENTS` for each of the calls, one after the other in one process; what came of each."""
        result = self.python(SESSION, json.dumps([[str(word) for word in call] for call in calls]), **options)
        assert result.returncode == 0, result.stderr
        return [Outcome(*found) for found in json.loads(result.stdout)]

    def write(self, name, *changes):
        """The recipe as a file, with changes (old, new) where given."""
        (self.cwd / name).write_text(RECIPE.replace(*changes) if changes else RECIPE, encoding="utf-8")


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """A function that gives Warm, which is started when it is first asked for."""
    started = functools.cache(lambda: Warm(tmp_path_factory.mktemp("warm")))
    yield started
    if started.cache_info().currsize:
        started().close()


@pytest.fixture(scope="session")
def open_door(installed, warm):
    """open_door(cwd, "good", ...) is a Door with those distributions, in a working directory with a recipe."""

    def _open_door(cwd, *names):
        opened = Door(installed(*names), cwd, warm)
        opened.write("door.yaml")
        return opened

    return _open_door


@pytest.fixture
def door(open_door, tmp_path):
    """open_door in a directory of this test."""
    return functools.partial(open_door, tmp_path)


@pytest.fixture
def door_of(warm):
    """door_of(cwd, FOLDER...) is a Door with what lies in these folders."""
    return lambda cwd, *folders: Door(folders, cwd, warm)


@pytest.fixture
def unpacked(tmp_path):
    """unpacked(project) is a folder with the wheel of a project, as pip would lay it out there."""

    def unpack(project):
        with zipfile.ZipFile(build_wheel(project, tmp_path)) as archive:
            archive.extractall(tmp_path / "site")
        return tmp_path / "site"

    return unpack
