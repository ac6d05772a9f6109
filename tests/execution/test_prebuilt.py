"""Kernels that a wheel brings: which is taken, which never, and how a wheel gets them."""

import importlib.util
import itertools
import os
import platform
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from pixkit.execution.native import compile as compiling
from pixkit.execution.native import prebuilt
from pixkit.execution.native.compile import NoCompiler, kernel
from pixkit.execution.native.prebuilt import LEVELS, find, levels, name

ROOT = Path(__file__).parents[2]
WHERE = (platform.system(), platform.machine()) == ("Linux", "x86_64")
SMALL = "#include <math.h>\nvoid run(double *x, long a, long b, long c, long d) { *x = pow(*x, LEVEL); }\n"
ALL = frozenset.union(*LEVELS.values())

pytestmark = pytest.mark.skipif(not WHERE, reason="wheels for one platform are for Linux on x86-64")


def test_a_level_is_had_with_all_below_it_and_only_whole():
    assert levels(ALL) == [*LEVELS] == ["x86-64-v4", "x86-64-v3", "x86-64-v2"]
    for position, needed in enumerate(LEVELS.values()):
        for flag in needed:
            assert levels(ALL - {flag}) == [*LEVELS][position + 1 :], flag
    assert levels(frozenset()) == []


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_the_levels_flags_are_the_compilers():
    """What gcc defines for a level, by the names that Linux has for the same; of two flags it has no name."""
    macros = {"abm": "LZCNT", "bmi1": "BMI", "cx16": "GCC_HAVE_SYNC_COMPARE_AND_SWAP_16", "pni": "SSE3"}
    for level, needed in LEVELS.items():
        command = ["gcc", f"-march={level}", "-dM", "-E", "-"]
        said = subprocess.run(command, input="", capture_output=True, text=True, check=True).stdout
        defined = set(re.findall(r"#define __(\w+?)(?:__)? 1\n", said))
        assert {macros.get(flag, flag.upper()) for flag in needed - {"lahf_lm", "xsave"}} <= defined, level


@pytest.fixture
def brought(monkeypatch, tmp_path):
    """Puts a library into the folder of a wheel, as one of a level, and forgets what was found before."""
    monkeypatch.setattr(prebuilt, "FOLDER", tmp_path / "kernels")
    monkeypatch.setattr(prebuilt, "processor", lambda: ALL - LEVELS["x86-64-v4"])
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    gcc = shutil.which("gcc", path=os.defpath) or pytest.skip("needs gcc")

    def add(level, number, real="float"):
        built = tmp_path / f"{number}.so"
        environment = {**os.environ, "PATH": os.defpath}
        source, command = SMALL.replace("LEVEL", str(number)), [gcc, "-shared", "-fPIC", "-xc", "-", "-lm"]
        subprocess.run([*command, "-o", built], input=source, text=True, check=True, env=environment)
        (tmp_path / "kernels").mkdir(exist_ok=True)
        return Path(shutil.copy(built, tmp_path / "kernels" / name(real, level, built.read_bytes())))

    compiling._brought.cache_clear()
    yield add
    compiling._brought.cache_clear()


def test_the_best_level_that_the_processor_has_needs_no_compiler(brought):
    with pytest.raises(NoCompiler, match="no C compiler"):
        kernel("float")
    compiling._brought.cache_clear()
    brought("x86-64-v2", 2), brought("x86-64-v4", 4), brought("x86-64-v3", 7, "double")
    best = brought("x86-64-v3", 3)
    assert find("float") == best
    assert kernel("float")._name == str(best)
    best.unlink()
    assert "-v2-" in find("float").name and find("double").name.startswith("double-x86-64-v3")


def test_one_that_is_not_whole_or_of_other_sources_is_never_loaded(brought, monkeypatch):
    path = brought("x86-64-v2", 2)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert find("float") is None
    path.write_bytes(content)
    assert find("float") == path
    monkeypatch.setattr(prebuilt, "contents", lambda source: ["another kernel"])
    assert find("float") is None


def test_one_that_cannot_be_loaded_is_passed_over(brought):
    brought("x86-64-v2", 2).unlink()
    wrong = prebuilt.FOLDER / name("float", "x86-64-v2", b"no library")
    wrong.write_bytes(b"no library")
    assert find("float") == wrong
    with pytest.raises(NoCompiler, match="no C compiler"):
        kernel("float")


def test_cc_is_asked_all_the_same(brought, monkeypatch):
    brought("x86-64-v2", 2)
    monkeypatch.setenv("CC", "/nonexistent")
    with pytest.raises(NoCompiler, match="could not build"):
        kernel("float")


@pytest.mark.parametrize("system", [("Darwin", "x86_64"), ("Linux", "aarch64")], ids=str)
def test_other_platforms_have_none(brought, monkeypatch, system):
    brought("x86-64-v2", 2)
    monkeypatch.setattr(platform, "system", lambda: system[0])
    monkeypatch.setattr(platform, "machine", lambda: system[1])
    assert find("float") is None


@pytest.fixture
def project(monkeypatch, tmp_path):
    """A project with a small kernel whose wheel is built by this one's hook."""
    native = tmp_path / "pixkit" / "execution" / "native"
    native.mkdir(parents=True)
    for file in ("prebuilt.py", "old_glibc.h"):
        shutil.copy(Path(prebuilt.__file__).with_name(file), native)
    (native / "kernel.c").write_text(SMALL.replace("LEVEL", "sizeof(REAL)"), encoding="utf-8")
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "small"\nversion = "1"\nrequires-python = ">=3.11"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["pixkit"]\n'
        "[tool.hatch.build.targets.wheel.hooks.custom]\n"
    )
    monkeypatch.setenv("PIXKIT_KERNELS", "1")
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


def wheel(project, version="standard"):
    """The name of the project's wheel, and what it holds."""
    from hatchling.builders.wheel import WheelBuilder

    (path,) = WheelBuilder(str(project)).build(directory=str(project / "dist"), versions=[version])
    with zipfile.ZipFile(path) as archive:
        return Path(path).name, {member: archive.read(member) for member in archive.namelist()}


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_a_wheel_for_this_platform_brings_a_kernel_for_every_level(project, monkeypatch):
    found, content = wheel(project)
    assert found == "small-1-py3-none-manylinux_2_17_x86_64.whl"
    assert b"Root-Is-Purelib: false" in content["small-1.dist-info/WHEEL"]
    kernels = {member.rsplit("/")[-1]: data for member, data in content.items() if member.endswith(".so")}
    monkeypatch.setattr(prebuilt, "SOURCE", project / "pixkit" / "execution" / "native" / "kernel.c")
    expected = {
        prebuilt.prefix(real, level) for real, level in itertools.product(("float", "double", "strict"), LEVELS)
    }
    assert {file.rsplit("-", 1)[0] for file in kernels} == expected and len(kernels) == 9
    for file, data in kernels.items():
        real, rest = file.split("-", 1)
        assert name(real, rest[: len("x86-64-v2")], data) == file


@pytest.mark.parametrize("value", ["0", None])
def test_else_it_is_for_all_platforms(project, monkeypatch, value):
    monkeypatch.delenv("PIXKIT_KERNELS") if value is None else monkeypatch.setenv("PIXKIT_KERNELS", value)
    found, content = wheel(project)
    assert found == "small-1-py3-none-any.whl" and not [member for member in content if member.endswith(".so")]


@pytest.mark.parametrize(
    ("source", "message"),
    [("int broken(", "kernel.c"), (SMALL.replace("LEVEL", "1").replace("pow", "fmin"), None), (None, "needs glibc 2.")],
    ids=["wrong source", "a function as old", "a function too new"],
)
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_what_cannot_be_built_is_said(project, source, message):
    native = project / "pixkit" / "execution" / "native"
    if source is None:
        (native / "old_glibc.h").write_text("")
    else:
        (native / "kernel.c").write_text(source)
    if message is None:
        assert "manylinux" in wheel(project)[0]
    else:
        with pytest.raises(RuntimeError, match=message):
            wheel(project)


def test_on_another_platform_it_says_where_they_are_built(project, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(RuntimeError, match="on Linux on x86_64, and this is Linux on aarch64"):
        wheel(project)


def test_the_hook_compiles_as_the_executor_does():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = module._loaded(Path(prebuilt.__file__))
    assert all(loaded.flags(real) == prebuilt.flags(real) for real in ("float", "double", "strict"))
    assert loaded.flags("strict") != loaded.flags("float") != loaded.flags("double")
