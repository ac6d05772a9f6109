"""safetensors files written a piece at a time."""

import ctypes
import hashlib
import io
import os

import pytest
import torch
from safetensors.torch import save as format_tensors

from pixkit.runs import checkpoint, tensorfile

TYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
NAMES = ("", "\u00e9\u4e2d\U0001f600", 'quo"te\\', "tab\tline\n\x01\x7f", "a" * 101, "z", "A")
WHOLE = torch.arange(24.0).reshape(4, 6)
MANY = {
    "of every type": {
        f"{place}.{kind}": (torch.arange(12) % 3).to(kind).reshape(3, 4) for place in "ba" for kind in TYPES
    },
    "views": {"base": WHOLE, "turned": WHOLE.T, "part": WHOLE[1:3, 2:4], "twin": WHOLE, "row": WHOLE[:1].expand(5, 6)},
    "channels last": {"kernel": torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)},
    "shapes": {
        "none": torch.zeros(0, 2),
        "nothing": torch.zeros(0),
        "one": torch.tensor(2.5),
        "deep": torch.ones(1, 5),
    },
    "names": dict.fromkeys(NAMES, torch.ones(2)),
    "no tensors": {},
    "parameters": {"weight": torch.nn.Parameter(torch.randn(3, 3))},
}


@pytest.mark.parametrize("piece", [1, 5, tensorfile.PIECE])
@pytest.mark.parametrize("name", MANY)
def test_the_bytes_are_those_that_safetensors_writes(monkeypatch, name, piece):
    monkeypatch.setattr(tensorfile, "PIECE", piece)
    file = io.BytesIO()
    digest, size = tensorfile.write_tensors(file, MANY[name])
    whole = {key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in MANY[name].items()}
    assert file.getvalue() == format_tensors(whole)
    assert digest == hashlib.sha256(file.getvalue()).hexdigest()
    assert size == len(file.getvalue())


def test_values_that_are_not_finite_are_found_in_any_piece(monkeypatch):
    monkeypatch.setattr(tensorfile, "PIECE", 4)
    for place in range(9):
        value = torch.zeros(3, 3)
        value.view(-1)[place] = torch.nan
        assert checkpoint.non_finite({"good": torch.ones(9), "bad": value}) == ["bad"]


def peak_above(work):
    """Bytes of resident memory that some work takes for a while, beyond what is there before."""
    reset = "/proc/self/clear_refs"
    if not os.access(reset, os.W_OK):
        pytest.skip("needs Linux's record of the peak")

    def resident(key):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))

    # What earlier work freed is given back, or this work would take it and seem to need nothing.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    before = resident("VmRSS")
    with open(reset, "w") as file:
        file.write("5")
    work()
    return resident("VmHWM") - before


def test_saving_takes_no_second_copy_of_the_model(tmp_path, no_waiting_for_the_disk):
    """96 MiB in one tensor, which a clone would hold once more, and safetensors' bytes again."""
    tensors = {"weight": torch.ones(24 << 20)}
    assert peak_above(tensors["weight"].clone) > 90 << 20

    def save():
        checkpoint.save(tmp_path / "c", {"model": tensors}, step=1, model="toy", state={}, metrics={})

    assert peak_above(save) < 48 << 20
