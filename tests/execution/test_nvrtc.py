"""NVRTC: the kernel compiles for every GPU that it is for, without one; what there is not, and what fails, is said."""

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from families import LONG

from pixkit.errors import message
from pixkit.execution.cuda import kernels, nvrtc
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.native import compile as compiling
from pixkit.execution.native.keep import places

ELF = b"\x7fELF"


@pytest.fixture(scope="module")
def library():
    try:
        return nvrtc.nvrtc()
    except NoKernel:
        pytest.skip("there is no NVRTC: pip install nvidia-cuda-nvrtc")


@pytest.mark.long
@pytest.mark.parametrize(
    ("real", "arch"),
    [("float", 80), ("double", 999), *([("double", 90), ("float", 90), ("float", 100)] if LONG else [])],
)
def test_the_kernel_compiles(library, real, arch):
    """For A100, which has least; as PTX, which takes a third of the time; in the long set for H100 and B200."""
    assert nvrtc.build(library, real, arch).startswith(ELF if arch < 999 else b"//")


def test_for_a_gpu_that_is_newer_than_the_compiler_there_is_ptx(library, tmp_path):
    source = tmp_path / "persistent.cu"
    source.write_text('extern "C" __global__ void walk(REAL *x) { *x = SCRATCH; }', encoding="utf-8")
    newest = nvrtc.supported(library)[-1]
    assert f".target sm_{newest}".encode() in nvrtc.build(library, "float", 999, source)
    with pytest.raises(NoKernel, match="NVRTC does not support this GPU"):
        nvrtc.build(library, "float", 1, source)


def test_what_the_compiler_says_is_told(library, tmp_path):
    source = tmp_path / "persistent.cu"
    source.write_text("int broken(", encoding="utf-8")
    with pytest.raises(NoKernel) as caught:
        nvrtc.build(library, "float", 90, source)
    assert "NVRTC could not build the kernel; found: NVRTC_ERROR_COMPILATION; persistent.cu(1): error" in message(
        caught.value
    )


@pytest.fixture(scope="module")
def pretended(tmp_path_factory):
    """A library that compiles nothing and says what it was asked."""
    path = tmp_path_factory.mktemp("nvrtc") / "libpretended.so"
    source = Path(__file__).with_name("libnvrtc.c")
    subprocess.run([*compiling._compiler(), "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    return nvrtc.load(path)


@pytest.mark.needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is found so on Linux")
@pytest.mark.parametrize(("arch", "form", "option"), [
    (75, "machine code", "sm_75"), (90, "machine code", "sm_90"), (100, "machine code", "sm_100"),
    (89, "PTX", "compute_75"), (120, "PTX", "compute_100"),
])  # fmt: skip
def test_what_nvrtc_is_asked(pretended, tmp_path, arch, form, option):
    source = tmp_path / "own.cu"
    source.write_text("text", encoding="utf-8")
    assert nvrtc.supported(pretended) == [75, 90, 100] and nvrtc.release(pretended) == "99.3"
    assert nvrtc.build(pretended, "double", arch, source).decode().splitlines() == [
        form,
        "own.cu 4",
        *(f"{header.name} {len(header.read_bytes())}" for header in nvrtc.HEADERS),
        f"-arch={option}",
        *("-DREAL=double", "-DSCRATCH=40960", "-DMOST_LANES=256", "-std=c++17"),
    ]
    assert ctypes.c_int.in_dll(pretended, "alive").value == 0


@pytest.mark.needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is found so on Linux")
def test_what_nvrtc_refuses(pretended, tmp_path):
    source = tmp_path / "own.cu"
    source.write_text("broken", encoding="utf-8")
    with pytest.raises(NoKernel) as caught:
        nvrtc.build(pretended, "float", 90, source)
    assert caught.value.found == "NVRTC_ERROR_COMPILATION; a.cu(2): error: one; a.cu(3): error: two"
    assert ctypes.c_int.in_dll(pretended, "alive").value == 0
    with pytest.raises(NoKernel) as caught:
        nvrtc.build(pretended, "float", 74, source)
    assert (caught.value.found, caught.value.expected) == ("sm_74", "sm_75")


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """installed(*paths) is a machine that has these files, none of them NVRTC."""
    monkeypatch.setattr(nvrtc.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))
    monkeypatch.setattr(torch.version, "cuda", "99.0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    monkeypatch.delenv("CUDA_PATH", raising=False)
    nvrtc.load.cache_clear()

    def _installed(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text("no library")
        spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path / "nvidia")]})
        monkeypatch.setattr(nvrtc.importlib.util, "find_spec", lambda name: spec)
        return [str(path.relative_to(tmp_path)) for path in nvrtc.find_nvrtc()]

    return _installed


def test_the_library_of_torchs_cuda_comes_first(installed):
    paths = (
        "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
        "nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12",
        "nvidia/cu99/lib/libnvrtc.so.99",
        "nvidia/cu99/lib/libnvrtc-builtins.so.99.5",
        "torch/lib/libnvrtc-672ee683.so.11.2",
        "toolkit/lib64/libnvrtc.so.99",
        "toolkit/lib64/libnvrtc.so",
    )
    assert installed(*paths) == [paths[2], paths[5], paths[0]]
    with pytest.raises(NoKernel, match="there is no NVRTC"):
        nvrtc.nvrtc()


@pytest.mark.needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is found so on Linux")
def test_what_nvrtc_opens_by_its_name_alone_is_loaded_before(installed, tmp_path):
    """The wheels of CUDA 13.0 have no search path: the compiler would find its own library nowhere."""
    folder = tmp_path / "nvidia" / "cu99" / "lib"
    folder.mkdir(parents=True)
    for name, code in {
        "libnvrtc-builtins.so.99.0": "int builtins = 99;",
        "libnvrtc-builtins.alt.so.99.0": "int builtins = 0;",
        "libnvrtc.so.99": """
            #include <dlfcn.h>
            const char *nvrtcGetErrorString(int code) { return ""; }
            void nvrtcGetCUBIN(void) {}
            void nvrtcGetSupportedArchs(void) {}
            int nvrtcVersion(int *major, int *minor) {
                void *builtins = dlopen("libnvrtc-builtins.so.99.0", RTLD_LAZY);
                if (!builtins) return 7;
                *major = *(int *)dlsym(builtins, "builtins"), *minor = 0;
                return 0;
            }""",
    }.items():
        own = name if "builtins" in name else "libfake.so"  # so that no later test finds it by its name
        command = [*compiling._compiler(), "-shared", "-fPIC", f"-Wl,-soname,{own}", "-x", "c", "-"]
        subprocess.run([*command, "-o", str(folder / name), "-ldl"], input=code.encode(), check=True)
    installed()
    assert nvrtc.release(nvrtc.nvrtc()) == "99.0"


def test_one_that_only_the_system_finds_is_loaded_by_its_name(installed, monkeypatch):
    installed("nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
    asked = []
    real = SimpleNamespace(nvrtcGetErrorString=SimpleNamespace(), nvrtcGetCUBIN=None, nvrtcGetSupportedArchs=None)

    def opened(name):
        asked.append(name)
        if "/" in name:
            raise OSError("it is another machine's")
        return real

    monkeypatch.setattr(nvrtc.ctypes, "CDLL", opened)
    assert nvrtc.nvrtc() is real
    assert len(asked) == 2 and asked[1] == "libnvrtc.so.99"
    nvrtc.load.cache_clear()


def test_without_nvrtc_there_is_a_reason(installed, monkeypatch):
    installed()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    kernels._found.cache_clear()
    with pytest.raises(NoKernel, match="there is no NVRTC"):
        kernels.kernel("float", torch.device("cuda", 0))
    kernels._found.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="compiled code is kept on Linux and macOS")
def test_what_was_compiled_is_kept_for_each_kind_of_gpu(installed, monkeypatch, tmp_path):
    asked, releases = [], ["13.0"]

    def compiled(library, real, arch, source, added):
        asked.append((real, arch, *added))
        return b"code of %d" % arch

    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "nvrtc", lambda: type("Library", (), {"_name": "libnvrtc.so.13"}))
    monkeypatch.setattr(kernels, "build", compiled)
    monkeypatch.setattr(kernels, "release", lambda library: releases[0])
    for capability in ((9, 0), (9, 0), (10, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        code = kernels.image("float", torch.device("cuda", 0), places())
        assert code == b"code of %d" % (10 * capability[0])
    assert asked == [("float", 90), ("float", 100)]
    releases[0] = "13.1"
    kernels.image("float", torch.device("cuda", 0), places())
    assert len(asked) == 3
    for _ in range(2):
        kernels.image("float", torch.device("cuda", 0), places(), added=("-x",))
    assert asked[3:] == [("float", 100, "-x")]


def test_instructions_of_plugins_are_defined_before_the_source():
    plain = nvrtc.text_of(nvrtc.SOURCE)
    assert plain == nvrtc.SOURCE.read_bytes()
    text = nvrtc.text_of(nvrtc.SOURCE, ["x\n  * 2", "a == b ? x : z"])
    assert text == b"#define ADDED(EACH) EACH(ADDED_0, x * 2) EACH(ADDED_1, a == b ? x : z)\n" + plain
