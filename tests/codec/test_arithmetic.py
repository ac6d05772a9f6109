"""Results are the same bits by C and numpy, on all processors, whatever the compiler and the process are set to."""

import ctypes
import itertools
import platform
import shutil
import subprocess

import numpy as np
import pytest
import torch

from pixkit.codec import arithmetic, strict
from pixkit.codec.arithmetic import WrongArithmetic, computed, require, require_unflushed
from pixkit.codec.elementary import ELEMENTS
from pixkit.codec.freezing import FAMILIES, HEADS
from pixkit.codec.portable import KINDS, PortableWalk
from pixkit.codec.sound import check
from pixkit.codec.strict import StrictWalk
from pixkit.codec.trial import trial, trials_of_heads
from pixkit.execution.native.layout import ELEMENTWISE
from pixkit.execution.native.prebuilt import SOURCE, flags

COMPILED = pytest.param(StrictWalk, marks=pytest.mark.needs_compiler)


@pytest.fixture
def flushing():
    """Subnormal numbers are zero in this process, as in many that train."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    yield
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("kind", [PortableWalk, COMPILED])
def test_a_stored_vector_is_reproduced(kind, monkeypatch):
    require(kind)
    require.cache_clear()
    monkeypatch.setattr(arithmetic, "DIGEST", "another")
    with pytest.raises(WrongArithmetic, match="arithmetic 1") as refused:
        require(kind)
    assert refused.value.exit_code == 4


def test_the_vector_has_all_instructions_and_heads_and_no_nan_whose_sign_is_the_processors():
    programs = [trial(), *trials_of_heads()]
    assert {operation.kind for operation in programs[0].operations} == KINDS
    assert ELEMENTS.issubset(itertools.chain.from_iterable(ELEMENTWISE.values()))
    assert {each.mixture.family if each.mixture else each.head for each in programs} == {*HEADS[:2], *FAMILIES.values()}
    for program in programs:
        check(program, "a trial")
    walk = PortableWalk(programs[0], 2)
    walk.advance(0)
    assert np.isfinite(walk.row(1)).all()


@pytest.mark.needs_compiler
def test_small_numbers_are_not_flushed_to_zero_where_the_process_flushes_them(flushing):
    assert computed(StrictWalk) == arithmetic.DIGEST
    assert torch.tensor(1e-40) * torch.ones(1) == 0  # as it was asked for before


def test_numpy_that_flushes_them_is_noticed_also_after_the_vector_was_computed(flushing):
    assert computed(PortableWalk) != arithmetic.DIGEST
    with pytest.raises(WrongArithmetic, match="flushed to zero"):
        require_unflushed()
    torch.set_flush_denormal(False)
    require_unflushed()


@pytest.mark.needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="a level of x86-64")
def test_a_processor_without_avx_gives_the_same_whatever_arithmetic_cc_asks_for(monkeypatch, tmp_path):
    built = tmp_path / "kernel.so"
    command = [shutil.which("cc") or shutil.which("gcc"), "-ffast-math", *flags("strict"), "-march=x86-64"]
    subprocess.run([*command, SOURCE, "-o", built, "-lm"], check=True)
    library = ctypes.CDLL(str(built))
    library.run.restype, library.run.argtypes = ctypes.c_int64, [ctypes.c_void_p, *[ctypes.c_int64] * 6]
    monkeypatch.setattr(strict, "kernel", lambda real: library)
    assert computed(StrictWalk) == arithmetic.DIGEST
