import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixkit.cli.live import Live
from pixkit.cli.main import main
from pixkit.components.plugins import plugins as pixkit_plugins

ROOT = Path(__file__).resolve().parents[2]

TINY = """\
# A tiny network on the embedded digits.
pixkit: 1
name: tiny
data: {source: digits, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 6, layers: 1, first_kernel: 3, output_layers: 1}
train: {steps: 6, batch_size: 8, eval_every: 3, checkpoint_every: 3, sample_every: 6, eval_images: 16}
sample: {count: 2}
"""
VARIABLES = ("NO_COLOR", "FORCE_COLOR", "PIXKIT_TRACEBACK", "PIXKIT_DISABLE_PLUGINS")


class Outcome:
    """What a command left behind."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def pixkit(capsys, monkeypatch):
    """Run `pixkit ARGUMENTS...` in this process."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def spawn():
    """Start `pixkit ARGUMENTS...` in a process of its own; what is left of it is killed in the end."""
    started = []

    def call(*arguments, code="from pixkit.cli.main import run; run()", **options):
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **options.pop("env", {})}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=environment,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory with tiny.yaml in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A run of tiny.yaml, built once; look at it only."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    assert main(["build", "-q", str(folder / "tiny.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one plugin, of which `source` is the module; undone after the test."""
    pixkit_plugins.cache_clear()

    def call(name, source):
        folder = tmp_path / "site"
        info = folder / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[pixkit]\n{name} = {name}_module\n", encoding="utf-8")
        (folder / f"{name}_module.py").write_text(f"import pixkit\npixkit_api_version = 1\n{source}", encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder))

    yield call
    pixkit_plugins.cache_clear()
    for module in [name for name in sys.modules if name.endswith("_module") and "." not in name]:
        del sys.modules[module]


@pytest.fixture(scope="session")
def catalogue_data():
    """The catalogue of this process as plain data, as it comes out of a file."""
    return json.loads(json.dumps(Live(pixkit_plugins()).plain()))
