"""Whether an exported program is what runs when nothing is being exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from pixkit.readiness.adoption.separable import NotSeparable
from pixkit.readiness.elements.performed import parted, steps_of


def require_followed(program: ExportedProgram, module: nn.Module, inputs: Sequence[Tensor], who: str) -> None:
    """Require that a module does, operation by operation, what its export does: a forward may ask how it is run.

    Args:
        program: as exported; it writes to memory as the module does.
        module: the exported module.
        inputs: of the shapes that it was exported with.
        who: the class of the network.

    Raises:
        NotSeparable: naming the line at which they diverge.
    """
    apart = parted(module, inputs, steps_of(module, _Executed(program), inputs))
    if apart is not None:
        step, other = apart
        instead = "the same on different values" if other.op == step.op else other.op
        raise NotSeparable(
            "torch's export of the network differs from what runs",
            where=who,
            found=f"run normally it continues with {step.op} ({step.line}), exported with {instead}",
            expected="a forward that does the same for every caller and every kind of tensor",
        )


class _Executed:
    """An exported program, executed as it is."""

    def __init__(self, program: ExportedProgram) -> None:
        self.graph, self.signature = program.graph_module, program.graph_signature
        self.kept = program.constants | program.state_dict

    def __call__(self, *inputs: Tensor) -> list[Any]:
        """The module's outputs."""
        users, specs = iter(inputs), self.signature.input_specs
        args = [next(users) if spec.kind is InputKind.USER_INPUT else self.kept[str(spec.target)] for spec in specs]
        results = fx.Interpreter(self.graph).run(*args)
        own = [spec.kind is OutputKind.USER_OUTPUT for spec in self.signature.output_specs]
        return [result for result, asked in zip(results, own, strict=True) if asked]
