"""The bytes of tensors."""

import pytest
import torch

from pixkit.bits import bytes_of

WAYS = {
    "one value, repeated": torch.tensor(1.5).expand(1),
    "no axes": torch.tensor(-0.0),
    "a column, turned": torch.arange(2.0).reshape(1, 2).T,
    "turned": torch.arange(6, dtype=torch.int16).reshape(2, 3).T,
    "steps": torch.arange(9, dtype=torch.float64)[1::3],
    "none": torch.empty(2, 0, dtype=torch.int64),
    "bool": torch.tensor([[True], [False]]),
    "conjugate": torch.tensor([1 + 2j, 3 - 4j]).conj(),
    "trained": torch.tensor([float("nan"), -1.0], requires_grad=True),
}


@pytest.mark.parametrize("tensor", WAYS.values(), ids=WAYS)
def test_the_bytes_are_those_of_numpy(tensor):
    found = bytes_of(tensor)
    assert (found.dtype, found.ndim) == (torch.uint8, 1)
    assert bytes(found.tolist()) == tensor.detach().resolve_conj().numpy().tobytes()
