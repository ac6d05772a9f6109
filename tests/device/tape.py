"""What a CUDA graph does, on the pretended device: what was launched while a function was recorded is launched again.

Operations of the device alone are recorded, with the memory that they read and write. What the host computes meanwhile
is not: numbers and CPU tensors stay as they were. As under CUDA, recording runs nothing, which is to say that whatever
it wrote to is afterwards as it was before, and it forbids what waits for the device or copies to it.
"""

import torch
from pretend import OnDevice
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pixkit.training.capture.probe import COPIES, READS


def record(body):
    """A recorder (`pixkit.training.capture.graphs.Recorder`)."""
    state = torch.random.get_rng_state()
    with Tape() as tape:
        body()
    tape.rewind()
    torch.random.set_rng_state(state)
    return tape.replay


class Tape(TorchDispatchMode):
    """The operations."""

    def __init__(self):
        super().__init__()
        self.launched, self.before, self.own = [], {}, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnDevice)]
        name = func._schema.name.removeprefix("aten::")
        if given and name in READS:
            raise RuntimeError(f"operation not permitted when stream is capturing ({name})")
        if func._schema.is_mutable:
            for number, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    value = args[number] if number < len(args) else kwargs.get(argument.name)
                    self._keep(value)
        if "batch_norm" in name:  # writes to running statistics, which its schema does not say
            self._keep(given)
        out = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, OnDevice)]
        if name in COPIES and bool(made) != bool(given) and not func._schema.is_mutable:
            raise RuntimeError(f"operation not permitted when stream is capturing ({name})")
        if name == "copy_" and isinstance(args[0], OnDevice) != isinstance(args[1], OnDevice):
            raise RuntimeError(f"operation not permitted when stream is capturing ({name})")
        if given or made:
            known = {place(tensor) for tensor in given}
            fresh = [one for one in made if place(one) not in known]
            self.own |= {place(one) for one in fresh}
            if func._schema.is_mutable or fresh:
                self.launched.append((func, args, kwargs, fresh))
        return out

    def _keep(self, value):
        for tensor in tree_leaves(value):
            if isinstance(tensor, OnDevice) and place(tensor) not in self.own | set(self.before):
                self.before[place(tensor)] = tensor, tensor.held.detach().clone()

    def rewind(self):
        for tensor, value in self.before.values():
            tensor.held.detach().copy_(value)

    def replay(self):
        with torch.no_grad():
            for func, args, kwargs, fresh in self.launched:
                out = func(*args, **kwargs)
                if fresh and not func._schema.is_mutable:
                    known = {place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnDevice)}
                    again = [one for one in tree_leaves(out) if isinstance(one, Tensor) and place(one) not in known]
                    for old, new in zip(fresh, again, strict=True):
                        old.held.copy_(new.held)


def place(tensor):
    """Where its values are."""
    return tensor.held.untyped_storage().data_ptr()
