"""Results are the same bits by C and numpy, on all processors, whatever the compiler and the process are set to."""

import ctypes
import itertools
import math
import platform
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixkit.codec import arithmetic, strict
from pixkit.codec.arithmetic import WrongArithmetic, computed, require, require_unflushed
from pixkit.codec.elementary import ELEMENTS, UNARY
from pixkit.codec.freezing import FAMILIES, HEADS
from pixkit.codec.portable import KINDS, PortableWalk
from pixkit.codec.sound import check
from pixkit.codec.strict import StrictWalk
from pixkit.codec.trial import trial, trials_of_heads
from pixkit.errors import DataError
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


def test_the_text_of_the_format_has_every_instruction_and_head():
    text = Path(arithmetic.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[A-Za-z_]+", text))
    assert {*KINDS, *HEADS[:2], *FAMILIES.values()} <= words


def test_softplus_is_the_number_itself_only_beyond_its_threshold():
    at, beyond = (UNARY["SOFTPLUS"](x, np.float32(2), np.float32(3)) for x in np.float32([1.5, 1.75]))
    assert (at, beyond) == (pytest.approx(math.log1p(math.exp(3)) / 2), 1.75)


@pytest.mark.needs_compiler
@pytest.mark.parametrize("scale", [2.0**-70, 2.0**-9, 4.0, 5.0, 16.0, 2.0**60])
def test_numbers_of_every_size_give_the_same_bits_by_c_and_numpy(scale):
    def grown(operation):
        if operation.kind not in ("LINEAR", "EMBED") or operation.weight is None:
            return operation
        bias = None if operation.bias is None else operation.bias * np.float32(scale)
        return replace(operation, weight=operation.weight * np.float32(scale), bias=bias)

    program = trial()
    program = replace(program, operations=tuple(map(grown, program.operations)))
    rows = []
    for kind in (PortableWalk, StrictWalk):
        walk = kind(program, 2)
        with np.errstate(all="ignore"):
            for step in range(len(program.steps) - 1):
                walk.advance(step)
        rows.append(np.stack([walk.row(site) for site in range(program.sites.size)]))
    nan = np.isnan(rows[0])
    assert nan.mean() < 0.5 and np.array_equal(nan, np.isnan(rows[1]))
    numbers = [row[~nan].view(np.int32) for row in rows]
    assert np.array_equal(*numbers) and np.unique(numbers[0]).size > 100


BOUNDS = (0.0, 0.75, 0.93, 2.0, 8 / 3, 3.0, -3.0, 4.0, 30.0, 88.0, -87.0, -100.0)
"""Where an operation's expression changes, or is cut off; the trial clamps to 0.75..2."""


@pytest.mark.needs_compiler
@pytest.mark.parametrize("turn", [0, 1, -1])
def test_bits_are_the_same_by_c_and_numpy_on_both_sides_of_every_bound_and_for_both_zeros(turn):
    """Each operation of `trial` reads `sums`, and those of two operands the neighbour in this list from `stem`."""
    beside = [np.nextafter(np.float32(bound), np.float32(end)) for bound in BOUNDS for end in (-np.inf, np.inf)]
    numbers = np.float32([-0.0, *BOUNDS, *beside, 1, -1, 0.5])
    program = trial()
    embed, sums, *others = program.operations
    entries = np.roll(numbers, turn).reshape(-1, 2).T[:, None].repeat(embed.weight.shape[1], 1)
    operations = (
        replace(embed, weight=entries),
        replace(sums, table=np.full_like(sums.table, -1), bias=np.resize(numbers, sums.bias.shape)),
    )
    rows = []
    for kind in (PortableWalk, StrictWalk):
        walk = kind(replace(program, operations=(*operations, *others)), 2)
        with np.errstate(all="ignore"):
            walk.advance(0)
        rows.append(np.stack([walk.row(site) for site in range(program.sites.size)]))
    nan = np.isnan(rows[0])
    assert nan.mean() < 0.1 and np.array_equal(nan, np.isnan(rows[1]))
    assert np.array_equal(*(row[~nan].view(np.int32) for row in rows))
    assert np.signbit(rows[0][rows[0] == 0]).any()


def test_programs_whose_operands_are_a_map_short_are_refused_or_do_not_need_it():
    program = trial()
    refused, alike = set(), ELEMENTS - {"ADD", "ADDCMUL", "RELU"}
    for number, operation in enumerate(program.operations):
        fields = ("out", "in0", "in1", "in2", *(("keys", "values") if operation.kind == "ATTEND" else ()))
        tried = operation.kind not in alike and (operation.kind != "COPY" or operation.first)  # the others are alike
        for field in fields if tried else ():
            place = program.places[getattr(operation, field)]
            row = program.memories[place.memory].row
            short = replace(place, first=row - place.maps + 1, maps=place.maps - 1)
            changed = replace(operation, **{field: len(program.places)})
            operations = (*program.operations[:number], changed, *program.operations[number + 1 :])
            forged = replace(program, places=(*program.places, short), operations=operations)
            try:
                check(forged, "a trial")
            except DataError:
                refused.add((operation.kind, field))
            else:  # numpy has no numbers to read or write there, where they are needed
                PortableWalk(forged, 1).advance(0)
    kinds = {kind for kind, field in refused if field == "out"}
    assert kinds >= {"ADD", "ATTEND", "CONSTANT", "EMBED", "GATHER", "LINEAR", "REARRANGE", "RELU"}
    assert {field for kind, field in refused if kind == "ATTEND"} == {"out", "in0", "in1", "in2", "keys", "values"}


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
