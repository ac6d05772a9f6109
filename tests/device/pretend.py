"""A device that is pretended: its tensors hold their values on the CPU, and refuse what those of a GPU refuse.

Tensors of several devices in one operation raise, as on CUDA, and every copy between devices and every value that the
host waits for is counted. `meta` and FakeTensorMode have no values, and take an index on the wrong device.

    with Pretending() as seen:
        network.to(DEVICE)
        ...
    seen.reads, seen.copies
"""

import functools
from contextlib import ExitStack

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class _Module:
    """What torch asks of `torch.pretended`."""

    def __getattr__(self, name):
        answers = {
            "is_initialized": True,
            "is_available": True,
            "current_device": 0,
            "_is_in_bad_fork": False,
            "manual_seed_all": None,
            "device_count": 1,
            "get_amp_supported_dtype": [torch.bfloat16],
        }
        if name not in answers:
            raise AttributeError(name)
        return lambda *args: answers[name]


# Torch's autograd starts a thread for every kind of device that is there at the first backward pass of a process, and
# a process with such threads cannot be forked. There is none yet.
torch.ones((), requires_grad=True).backward()
_setup_privateuseone_for_python_backend("pretended", backend_module=_Module())

# Autocast is entered and casts nothing: what it would cast to is tested on the CPU.
AUTOCAST = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
AUTOCAST.fallback(torch.library.fallthrough_kernel)

DEVICE = torch.device("pretended", 0)
CPU = torch.device("cpu")
READS = {
    *("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "nonzero_numpy", "masked_select", "unique_dim"),
    *("_unique2", "unique_consecutive", "unique_dim_consecutive", "repeat_interleave.Tensor", "bincount", "allclose"),
}
"""Operations whose result, or its size, the host waits for."""
COPIES = {"_to_copy", "copy_", "copy"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}


def _lstm_cell(gates, hidden, cell, bias=None, hidden_bias=None):
    """Torch's `_thnn_fused_lstm_cell`, which it has for GPUs alone."""
    gates = gates + hidden
    if bias is not None:
        gates = gates + bias + hidden_bias
    enter, forget, content, output = gates.chunk(4, 1)
    kept = torch.cat([enter.sigmoid(), forget.sigmoid(), content.tanh(), output.sigmoid()], 1)
    enter, forget, content, output = kept.chunk(4, 1)
    after = forget * cell + enter * content
    return output * after.tanh(), after, kept


def _lstm_cell_backward(grad_hidden, grad_cell, cell, after, kept, biased):
    """Torch's `_thnn_fused_lstm_cell_backward_impl`."""
    enter, forget, content, output = kept.chunk(4, 1)
    grad_hidden = torch.zeros_like(after) if grad_hidden is None else grad_hidden
    grad_after = grad_hidden * output * (1 - after.tanh() ** 2)
    grad_after = grad_after if grad_cell is None else grad_after + grad_cell
    parts = [
        grad_after * content * enter * (1 - enter),
        grad_after * cell * forget * (1 - forget),
        grad_after * enter * (1 - content**2),
        grad_hidden * after.tanh() * output * (1 - output),
    ]
    gates = torch.cat(parts, 1)
    return gates, grad_after * forget, gates.sum(0) if biased else None


def _gru_cell(gates, hidden_gates, hidden, bias=None, hidden_bias=None):
    """Torch's `_thnn_fused_gru_cell`."""
    if bias is not None:
        gates, hidden_gates = gates + bias, hidden_gates + hidden_bias
    (reset, update, content), (other, more, old) = gates.chunk(3, 1), hidden_gates.chunk(3, 1)
    reset, update = (reset + other).sigmoid(), (update + more).sigmoid()
    content = (content + reset * old).tanh()
    kept = torch.cat([reset, update, content, hidden, old], 1)
    return (hidden - content) * update + content, kept


def _gru_cell_backward(grad, kept, biased):
    """Torch's `_thnn_fused_gru_cell_backward`."""
    reset, update, content, hidden, old = kept.chunk(5, 1)
    inner = grad * (1 - update) * (1 - content**2)
    shared = [inner * old * reset * (1 - reset), grad * (hidden - content) * update * (1 - update)]
    gates, hidden_gates = torch.cat([*shared, inner], 1), torch.cat([*shared, inner * reset], 1)
    biases = (gates.sum(0), hidden_gates.sum(0)) if biased else (None, None)
    return gates, hidden_gates, grad * update, *biases


OWN = {
    "_thnn_fused_gru_cell": _gru_cell,
    "_thnn_fused_gru_cell_backward": _gru_cell_backward,
    "_fused_sdp_choice": lambda *args, **kwargs: 0,  # attention that is made of plain operations
    "_thnn_fused_lstm_cell": _lstm_cell,
    "_thnn_fused_lstm_cell_backward_impl": _lstm_cell_backward,
}
"""Operations that torch has for other devices than a CPU alone."""


class OnDevice(Tensor):
    """A tensor of the pretended device."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    held: Tensor

    @staticmethod
    def __new__(cls, held):
        return Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )

    def __init__(self, held):
        self.held = held

    def __repr__(self):
        return f"OnDevice({self.held!r})"

    def tolist(self):
        """As a GPU's tensor: by a copy. Torch has no `tolist` of subclasses."""
        return self.cpu().tolist()

    def untyped_storage(self):
        """Where the values are: tensors that share them share this."""
        return self.held.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, None)


MAKING = {Tensor.new_tensor, torch.tensor, torch.as_tensor, Tensor.__getitem__, Tensor.__setitem__}


class _Made(TorchFunctionMode):
    """Makes tensors of numbers on the CPU, those of an index too, and copies them: torch asks no mode when it does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func not in MAKING:
            return func(*args, **kwargs) if kwargs else func(*args)
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor and isinstance(args[0], OnDevice):
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **kwargs}).to(DEVICE)
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == DEVICE.type:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        return func(*args, **kwargs)


class Pretending(TorchDispatchMode):
    """While it is entered, tensors can be made on DEVICE and moved to it and from it.

    Attributes:
        reads: of each operation that made the host wait for a value, how often.
        copies: of each direction, "to" and "from" the device, how many tensors were copied.
        waits: how many of these copies wait for all that was launched before: those that are not `non_blocking`.
    """

    def __init__(self):
        super().__init__()
        self.clear()

    def clear(self):
        """Count from 0 again."""
        self.reads, self.copies, self.waits = {}, {}, 0

    def __enter__(self):
        self._stack = ExitStack()
        self._stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        self._stack.enter_context(_Made())
        # Otherwise `module.to` makes new parameters, which are not shared any more, and `double` sets the `data` of old
        # ones, which says nothing to what holds the values. On a GPU they stay what they are; so do these, swapped.
        swapped = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        self._stack.callback(torch.__future__.set_swap_module_params_on_conversion, swapped)
        return super().__enter__()

    def __exit__(self, *error):
        with self._stack:
            return super().__exit__(*error)

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # nothing is compiled meanwhile, and torch's way to see to it takes as long as the operation

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self)


class _Operation:
    """What there is to know of one, once: an image is drawn by thousands of them."""

    def __init__(self, func):
        self.name = func._schema.name.removeprefix("aten::")
        self.own = OWN.get(self.name, func)
        self.mutable = func._schema.is_mutable
        self.reshapes = torch.Tag.inplace_view in func.tags
        self.copies, self.indexes = self.name in COPIES, self.name in INDEXING
        self.reads = self.name in READS or f"{self.name}.{func._overloadname}" in READS
        filling = self.name.startswith(("masked_fill", "fill", "index_put", "where"))
        self.scalars = torch.Tag.pointwise in func.tags or filling


_known = functools.cache(_Operation)


def _held(tensor):
    return tensor.held


def _run(func, args, kwargs, seen):
    """One operation: on the values held, if its tensors are where they may be."""
    tensors = _tensors([*args, *kwargs.values()] if kwargs else args)
    ours = [tensor for tensor in tensors if type(tensor) is OnDevice]
    asked = kwargs.get("device")
    there = bool(ours) if asked is None else torch.device(asked).type == DEVICE.type
    if not ours and not there:
        return func(*args, **kwargs)
    what = _known(func)
    if len(ours) < len(tensors) and ours:
        _check(what, args, tensors)
    if seen is not None:
        _count(seen, what, args, kwargs, there)
    held_args = [_changed(OnDevice, _held, value) for value in args]
    held_kwargs = {key: _changed(OnDevice, _held, value) for key, value in kwargs.items()}
    if asked is not None:
        held_kwargs["device"] = CPU
    out = what.own(*held_args, **held_kwargs)
    if what.reshapes:
        with no_dispatch():  # the shape of what holds them, too
            return func(*args, **kwargs)
    if what.name == "_to_copy" and out is held_args[0]:
        out = out.clone()
    if what.mutable and isinstance(args[0] if args else None, Tensor) and not isinstance(args[0], OnDevice):
        return args[0]  # written from the device
    known = {id(tensor.held): tensor for tensor in ours}
    return _changed(Tensor, lambda one: _wrapped(one, known), out) if there else out


def _tensors(values):
    """All tensors among an operation's arguments; torch's pytree takes longer for that than the operation itself."""
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _changed(kind, change, value):
    """The same with those of one kind changed."""
    if isinstance(value, kind):
        return change(value)
    return type(value)([_changed(kind, change, one) for one in value]) if isinstance(value, list | tuple) else value


def _wrapped(tensor, known):
    same = known.get(id(tensor))
    return OnDevice(tensor) if same is None else same


def _check(what, args, tensors):
    """Raise what CUDA would, of tensors that are not all on the device."""
    apart = [tensor for tensor in tensors if not isinstance(tensor, OnDevice)]
    if what.copies:
        return
    if what.indexes:
        indices = [index for index in args[1] if index is not None]
        if not isinstance(args[0], OnDevice) and any(isinstance(index, OnDevice) for index in indices):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        apart = [tensor for tensor in apart if all(tensor is not index for index in indices)]
    written = what.mutable and isinstance(args[0], Tensor) and not isinstance(args[0], OnDevice)
    if any(written or not (what.scalars and tensor.ndim == 0) for tensor in apart):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu! "
            f"({what.name})"
        )


def _count(seen, what, args, kwargs, there):
    name = what.name
    if what.reads:
        seen.reads[name] = seen.reads.get(name, 0) + 1
    if what.copies:
        source = args[1] if name != "_to_copy" else args[0]
        target = there if name == "_to_copy" else isinstance(args[0], OnDevice)
        if isinstance(source, OnDevice) != target:
            seen.copies["to" if target else "from"] = seen.copies.get("to" if target else "from", 0) + 1
            seen.waits += not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
    if what.indexes:
        for index in args[1]:
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                seen.reads["nonzero of an index"] = seen.reads.get("nonzero of an index", 0) + 1
            if index is not None and not isinstance(index, OnDevice) and isinstance(args[0], OnDevice):
                seen.copies["to"] = seen.copies.get("to", 0) + 1
                seen.waits += 1
