"""The kernel's tests once more, with a kernel that is compiled with the address and undefined-behaviour sanitizers."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pixkit.execution.native import compile as compiling

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
pytestmark = [
    pytest.mark.long,
    pytest.mark.needs_compiler,
    pytest.mark.skipif(os.environ.get("PIXKIT_LONG") != "1", reason="the long set's: it takes minutes"),
    pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers are loaded before Python in Linux's way"),
]

FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
"""The first fault ends the process."""
TESTS = (
    "test_native.py",
    "test_native_threads.py",
    "test_native_draws.py",
    "test_native_layers.py",
    "test_elementwise.py",
    "test_families.py",
)
TRAINED = (
    "test_fused_trial.py",
    *(
        f"test_fused.py::{test}"
        for test in (
            "test_edges_and_layouts",
            "test_gates_of_few_maps_and_many_sites_and_the_other_way_round",
            "test_rms_norms_of_torchs_modules_are_taken_over",
        )
    ),
)
"""Those of the kernels of training."""
LANES = tuple(
    f"test_persistent.py::{test}"
    for test in (
        "test_a_recipe_is_drawn_as_by_the_reference_executor_in_every_order_of_lanes",
        "test_any_number_of_lanes_draws_the_same_images",
    )
)
"""Those of the kernel for GPUs, whose lanes the same compiler is asked for."""
PLANTED = {
    "a read beyond the end": (
        "const Buffer *planted = p->buffers + p->params;\n"
        "    volatile real beyond = planted->data[p->sites_total * planted->site];\n"
        "    (void)beyond;",
        "AddressSanitizer: heap-buffer-overflow",
    ),
    "a write before the beginning": ("p->pixels[-1] = 0;", "AddressSanitizer: heap-buffer-overflow"),
    "a sum that overflows": (
        "volatile i32 most = INT32_MAX;\n    most = most + 1;",
        "runtime error: signed integer overflow",
    ),
}
"""Faults of the kernel: what stands at the beginning of `run`, and what is said of it."""

# With sanitizers the kernel takes minutes to compile.
SESSION = """
import sys
from pathlib import Path
import pytest
from pixkit.execution.native import compile as compiling
compiling.SOURCE = Path(sys.argv[1])
compiling.TIMEOUT = 3600.0
usual = ["-x", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=3600"]
sys.exit(pytest.main([*usual, *sys.argv[2:]]))
"""


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """sanitized(source, *tests) runs tests in a process whose kernel comes from that source; what came of it."""
    folder = tmp_path_factory.mktemp("sanitized")
    compiler = compiling._compiler()
    probe = folder / "probe.c"
    probe.write_text("int one(void) { return 1; }\n")
    build = [*compiler, *FLAGS, "-shared", "-fPIC", str(probe), "-o", str(folder / "probe.so")]
    built = subprocess.run(build, capture_output=True, check=False)
    names = ("libasan.so", "libubsan.so") if not built.returncode else ()
    asked = [subprocess.check_output([*compiler, f"-print-file-name={name}"], text=True).strip() for name in names]
    libraries = [library for library in asked if os.path.isabs(library)]
    if len(libraries) < 2:
        pytest.skip(f"{shlex.join(compiler)} has no sanitizers")
    drop = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTHONPATH", "CC")
    environment = {name: value for name, value in os.environ.items() if name not in drop} | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        "CC": shlex.join([*compiler, *FLAGS]),
        "PIXKIT_CACHE": str(folder),
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }

    def _sanitized(source, *tests):
        command = [sys.executable, "-c", SESSION, str(source), *(str(HERE / test) for test in tests)]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return _sanitized


def test_the_kernel_touches_nothing_but_its_own_memory(sanitized):
    found = sanitized(compiling.SOURCE, *TESTS, *TRAINED, *LANES)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-8000:]
    summary = found.stdout.splitlines()[-1]
    assert " passed" in summary and "skipped" not in summary


@pytest.mark.parametrize("fault", PLANTED)
def test_a_fault_that_is_planted_in_the_kernel_is_found(sanitized, tmp_path, fault):
    """Else the test above might pass without a sanitizer at work."""
    source = shutil.copytree(compiling.SOURCE.parent, tmp_path / "native") / compiling.SOURCE.name
    head = "i64 run(const Program *p, i64 from, i64 to, i64 first, i64 last, i64 threads, i64 patience) {\n"
    before = source.read_text(encoding="utf-8")
    assert before.count(head) == 1
    planted, said = PLANTED[fault]
    source.write_text(before.replace(head, f"{head}    {planted}\n"), encoding="utf-8")
    found = sanitized(source, "test_native.py::test_batch_sizes[1-dtype0]")
    assert found.returncode != 0 and said in found.stderr, found.stdout[-4000:] + found.stderr[-4000:]
