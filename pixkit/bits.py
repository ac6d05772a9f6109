"""The bytes of tensors: what is compared and hashed where numbers will not do."""

import torch
from torch import Tensor


def bytes_of(tensor: Tensor) -> Tensor:
    """The bytes of a tensor's values in the order of its axes, uint8 [bytes], on its device; not always a copy.

    As numbers, NaN differs from itself and -0 does not differ from 0. Torch calls a tensor of one row contiguous
    whatever the distance to the next row would be, and refuses bytes of it then.

    Args:
        tensor: dense, of any type and shape.

    Example:
        >>> bytes_of(torch.tensor(1.0).expand(1)).tolist()
        [0, 0, 128, 63]
    """
    values = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
    if values.stride() != (1,):
        values = values.clone(memory_format=torch.contiguous_format)
    return values.view(torch.uint8)
