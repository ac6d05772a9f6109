"""Make assignments to `parameter.data`, common in masked convolutions, visible to torch's exporter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.overrides import TorchFunctionMode

from pixkit.readiness.adoption.known import Known


class Assigned(TorchFunctionMode):
    """While active, `x.data` is a view of x without gradient, and `x.data = y` copies y into it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See torch.overrides."""
        data: Any = Tensor.data
        if func == data.__get__:
            return args[0].detach()
        if func == data.__set__:
            with torch.no_grad():
                args[0].copy_(args[1])
            return None
        return func(*args, **(kwargs or {}))


def written(program: ExportedProgram, values: list[Any]) -> list[str]:
    """Names of external tensors that a forward changes; parameters that keep their values do not count.

    Args:
        program: the exported program.
        values: what each of its outputs is rewritten to.
    """
    changed = []
    for spec, value in zip(program.graph_signature.output_specs, values, strict=True):
        if spec.kind is OutputKind.USER_OUTPUT:
            continue
        before = program.state_dict.get(str(spec.target)) if spec.kind is OutputKind.PARAMETER_MUTATION else None
        known = isinstance(value, Known) and value.written
        if before is None or not known or not torch.equal(before, value.value):
            changed.append(str(spec.target))
    return changed
