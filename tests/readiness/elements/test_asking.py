"""What Python asks of a tensor beside operations, and whom that is told."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pixkit.readiness.elements.asking import ask

pytestmark = pytest.mark.quick


class Listening:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def escape(self, tensor, name):
        self.told.append(f"{name} of {list(tensor.shape)} escapes")

    def expose(self, name):
        self.told.append(f"{name} is exposed")

    def keep(self, tensor, moves):
        self.told.append(f"{list(tensor.shape)} is kept" + ", and moves" * moves)

    def unmarked(self, func, args, kwargs):
        self.told.append("unmarked")
        return func(*args, **kwargs)


def asked(func, *args, **kwargs):
    listening = Listening()
    return ask(listening, func, args, kwargs), listening.told


X = torch.arange(4.0)
CALLS = [
    *((func, (X,), [f"{func.__name__} of [4] escapes", "[4] is kept"])
      for func in (torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__)),
    *((func, (X,), [f"{func.__name__} is exposed"])
      for func in (torch.Tensor.data_ptr, torch.Tensor.untyped_storage)),
    (torch.Tensor.__repr__, (X,), ["__repr__ of [4] escapes"]),
    (torch.Tensor.__format__, (X, ""), ["__format__ of [4] escapes"]),
    (torch.Tensor.apply_, (X.clone(), abs), ["apply_ of [4] escapes"]),
    (torch.Tensor.map_, (X.clone(), X, max), ["map_ of [4] escapes"]),
    (torch.tensor_split, (X, torch.tensor([1, 2])), ["tensor_split of [2] escapes"]),
    (torch.tensor_split, (X, 2), []),
    (torch.tensor, ([X[0], X[1], 2.0],), ["tensor of [] escapes"] * 2),
    (torch.as_tensor, ((X[0], [X[1]])[1],), ["as_tensor of [] escapes"]),
    (torch.as_tensor, (X,), []),
    (torch.Tensor.new_tensor, (X, [X[0]]), ["new_tensor of [] escapes"]),
    (torch.Tensor.new, (X, torch.Size([2, 0])), []),
    (F.one_hot, (torch.tensor([0, 1]), 3), ["unmarked"]),
    (torch.Tensor.data.__set__, (X.clone(), X[:2]), ["[4] is kept, and moves"]),
    (torch.Tensor.grad.__set__, (X.clone(), X), []),
    (torch.Tensor.requires_grad.__set__, (X.clone(), False), []),
    (torch.Tensor.data.__get__, (X,), []),
    (torch.Tensor.__deepcopy__, (X, {}), []),
    (torch.relu, (X,), []),
    (F.scaled_dot_product_attention, (X.view(1, 2, 2),) * 3, []),
]  # fmt: skip


@pytest.mark.parametrize(("func", "args", "told"), CALLS)
def test_who_is_told_what(func, args, told):
    found, heard = asked(func, *args)
    assert heard == told
    if func.__name__ in ("__repr__", "__format__"):
        assert found == "tensor(..., size=(4,), dtype=torch.float32)"
    elif "storage" not in func.__name__ and "map" not in func.__name__:
        expected = func(*args)
        pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        assert all(np.array_equal(one, other) for one, other in pairs)


def test_numbers_lie_in_the_tensors_memory_if_it_has_all_of_it():
    whole, part = torch.zeros(4), torch.zeros(5)[1:]
    for tensor in (whole, part):
        array, _ = asked(torch.Tensor.numpy, tensor)
        array[0] = 7
        assert bool(tensor[0] == 7) is (tensor is whole)
