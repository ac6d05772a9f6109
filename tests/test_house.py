"""The house: texts for developers against the tree, CI's constraints against pyproject.toml, what is distributed."""

import importlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_style import PARTS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXTS = ("pixkit/README.md", "tests/README.md", "CONTRIBUTING.md", "plugins/README.md")
TOP = "pixkit|plugins|tests|recipes|\\.ci"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def code_words(text):
    """What stands in backticks, and the words of indented and fenced blocks."""
    fenced = re.findall(r"```.*?```", text, re.DOTALL)
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}.*$", rest, re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", rest) + [word for block in [*fenced, *indented] for word in block.split()]


@pytest.mark.parametrize("name", TEXTS)
def test_every_path_in_a_text_for_developers_exists(name):
    """From the top, or from the folder that the text is about."""
    paths = set()
    for word in code_words(read(name)):
        paths |= set(re.findall(rf"(?<![\w/.])(?:{TOP})/[\w./-]*\w[\w./-]*", word))
        if re.fullmatch(r"[\w-][\w./-]*(/|\.(py|md|toml|txt|ya?ml|c|h))", word):
            paths.add(word)
    paths |= {target for target in re.findall(r"\]\(([^)#]+)\)", read(name)) if "://" not in target}
    ours = {"pixkit_waves.py", "pyproject.toml", "recipe.yaml"} if name == "plugins/README.md" else set()
    missing = [p for p in paths - ours if not ((ROOT / p).exists() or ((ROOT / name).parent / p).exists())]
    assert not sorted(missing)


@pytest.mark.parametrize("name", TEXTS)
def test_every_dotted_name_in_a_text_for_developers_exists(name):
    dotted = {word for word in code_words(read(name)) if re.fullmatch(r"pixkit(\.\w+)+", word)}
    assert not [word for word in dotted if not resolves(word)]


def resolves(dotted):
    """Whether a dotted name leads to something, through modules and what they hold."""
    module, *rest = dotted.split(".")
    value = importlib.import_module(module)
    try:
        for part in rest:
            module = f"{module}.{part}"
            value = getattr(value, part, None) or importlib.import_module(module)
    except ImportError:
        return False
    return True


def test_every_class_and_table_that_the_architecture_names_is_in_the_code():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "pixkit").rglob("*.py"))
    conftest = read("tests/conftest.py")
    for name in ("pixkit/README.md", "tests/README.md", "CONTRIBUTING.md"):
        named = [word for word in code_words(read(name)) if re.fullmatch(r"[A-Z]\w+(\.[a-z]\w+)?", word)]
        parts = {part for word in named if not word.endswith(".md") for part in word.split(".")}
        assert not [part for part in parts if not re.search(rf"\b(class |def )?{part}\b", code + conftest)], name


def test_the_order_of_imports_is_written_down_as_it_is_tested():
    (block,) = re.findall(r"and nothing else:\n\n((?: {4}.*\n)+)", read("pixkit/README.md"))
    assert block.split() == [part for part in PARTS if part != "__main__"]


def test_the_oldest_constraints_are_the_bounds_of_the_project():
    bounds = dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(PROJECT["dependencies"]), re.MULTILINE))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)", read(".ci/oldest.txt"), re.MULTILINE))
    bounds |= dict(
        re.findall(r"^(pytest-timeout)>=([\d.]+)", "\n".join(PROJECT["optional-dependencies"]["test"]), re.M)
    )
    assert pinned.keys() == bounds.keys() - {"torch"}
    for name, version in pinned.items():
        assert re.fullmatch(re.escape(bounds[name]) + r"(\.0)*", version), name
    (most,) = re.findall(r"^torch<([\d.]+)$", read(".ci/torch.txt"), re.MULTILINE)
    assert numbers(bounds["torch"]) < numbers(most) and "\n-c torch.txt\n" in read(".ci/oldest.txt")


def numbers(version):
    return tuple(map(int, version.split(".")))


def test_ci_runs_the_commands_that_the_texts_name():
    script = read(".ci/run")
    for command in ("ruff check", "ruff format --check", "mypy", "pytest -n 2 -m quick", "pytest -n 2 --dist"):
        assert f"-m {command}" in script
    assert "python .ci/site/build.py" in read("CONTRIBUTING.md") and '"$main" .ci/site/build.py "' in script
    last = script.rstrip().rpartition("\n")[2]
    assert re.search(r"-m pytest -n 2 --dist worksteal --durations=\d+\b[^|&;]*$", last), (
        "its slowest tests, and its closing line"
    )
    for command in ("ruff check", "ruff format", "mypy", "pytest -n 2 -m quick"):
        assert command in read("CONTRIBUTING.md") and command in read("tests/README.md")


def test_every_test_has_a_time_limit(request):
    pytest.importorskip("pytest_timeout")
    limit = request.node.get_closest_marker("timeout")
    assert limit.args[0] >= 300 and limit.kwargs == {"method": "thread"}


def test_an_endless_test_fails_and_says_where_it_was(tmp_path):
    pytest.importorskip("pytest_timeout")
    conftest = read("tests/conftest.py")
    assert conftest.count("LIMIT, LONG_LIMIT = 300, 7200\n") == 1
    short = conftest.replace("LIMIT, LONG_LIMIT = 300, 7200\n", "LIMIT, LONG_LIMIT = 1, 1\n")
    (tmp_path / "conftest.py").write_text(short, encoding="utf-8")
    endless = "def test_spins():\n    number = 0\n    while True:\n        number += 1\n"
    (tmp_path / "test_one.py").write_text(endless, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stdout + ended.stderr and "in test_spins\n" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (("passed", "passed", "passed"), ["call"]),
        (("passed", "failed", "passed"), ["call"]),
        (("passed", "passed", "failed"), ["call", "teardown"]),
        (("failed", None, "passed"), ["setup"]),
        (("skipped", None, "passed"), ["setup"]),
    ],
)
def test_a_worker_tells_of_every_test_and_of_fixtures_that_fail(request, monkeypatch, outcomes, told):
    conftest = request.config.pluginmanager.getplugin(str(ROOT / "tests" / "conftest.py"))
    reports = [
        SimpleNamespace(when=when, passed=outcome == "passed", duration=0.0)
        for when, outcome in zip(("setup", "call", "teardown"), outcomes, strict=True)
        if outcome
    ]
    monkeypatch.setattr(conftest, "runtestprotocol", lambda item, log, nextitem: reports)
    sent = []
    ihook = SimpleNamespace(pytest_runtest_logreport=lambda report: sent.append(report.when))
    item = SimpleNamespace(config=SimpleNamespace(workerinput={}, stash={}), ihook=ihook)
    assert conftest.pytest_runtest_protocol(item, None) and sent == told
    item.config = SimpleNamespace()
    assert conftest.pytest_runtest_protocol(item, None) is None, "without workers pytest does it all"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What the wheel and the source distribution hold."""
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    folder = str(tmp_path_factory.mktemp("dist"))
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    (source,) = SdistBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    with zipfile.ZipFile(wheel) as archive, tarfile.open(source) as tar:
        return Path(wheel).name, set(archive.namelist()), {name.split("/", 1)[-1] for name in tar.getnames()}


def files(*folders):
    """Every file of these folders that is not a by-product."""
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".so"):
                yield path.relative_to(ROOT).as_posix()


def test_the_wheel_holds_the_package_its_kernels_and_its_recipes(built):
    name, wheel, _ = built
    assert name.startswith(f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}-py3-none-any")
    assert not set(files("pixkit")) - wheel
    assert {"pixkit/README.md", "pixkit/py.typed", "pixkit/execution/native/kernel.c"} <= wheel
    assert {"pixkit/docs/concepts.md", "pixkit/_recipes/README.md", "pixkit/_plugins/README.md"} <= wheel
    assert not {path.removeprefix("plugins/") for path in files("plugins/pixkit_plugins")} - wheel
    assert not {path.replace("recipes/", "pixkit/_recipes/", 1) for path in files("recipes")} - wheel
    assert not [path for path in wheel if path.startswith(("tests", "plugins"))]


def test_the_source_distribution_holds_what_the_tests_need(built):
    _, _, source = built
    assert not set(files("pixkit", "plugins", "recipes", "tests", ".ci")) - source
    assert {"pyproject.toml", "hatch_build.py", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= source


def is_module(name):
    place = ROOT / "pixkit" / name.replace(".", "/")
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def test_the_table_of_moves_leads_to_modules_that_are_there():
    (table,) = re.findall(r"\| 0\.1 \| now \|\n\| --- \| --- \|\n((?:\|.*\n)+)", read("CHANGELOG.md"))
    rows = table.splitlines()
    assert rows
    for row in rows:
        _, former, now, _ = re.split(r"(?<!\\)\|", row)
        for name in re.findall(r"`([\w.]+)`", now):
            assert is_module(name.removeprefix("pixkit.")), f"{former} -> {name}"


def test_findings_can_be_run_as_they_lie():
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    begun = [path.name for path in scripts if path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")]
    assert [path.name for path in scripts if os.access(path, os.X_OK)] == begun == [path.name for path in scripts]


def test_no_two_test_files_have_one_name():
    """pytest imports them by that name alone: of two in one session the second is not collected."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_every_module_of_0_1_is_there_or_in_the_table_of_moves():
    moved = re.findall(r"^\| `([\w.]+)` \| `", read("CHANGELOG.md"), re.MULTILINE)
    former = read("tests/legacy/modules-0.1.txt").split()
    assert len(former) > 180 and set(moved) <= set(former)
    for name in set(former) - set(moved):
        assert is_module(name), name
