"""Whether what torch has exported is what is run when nobody exports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from pixkit.readiness.adoption.separable import NotSeparable
from pixkit.readiness.elements.performed import parted, steps_of


def require_followed(program: ExportedProgram, module: nn.Module, inputs: Sequence[Tensor], who: str) -> None:
    """A module does what its exported program does, operation by operation: a forward may ask how it is run.

    Args:
        program: as it was exported, in which memory is written as the module writes it.
        module: what was exported.
        inputs: of the shapes that it was exported with.
        who: the class of the network.

    Raises:
        NotSeparable: naming the line at which they part.
    """
    apart = parted(module, inputs, steps_of(module, _Executed(program), inputs))
    if apart is not None:
        step, other = apart
        instead = "the same of something else" if other.op == step.op else other.op
        raise NotSeparable(
            "what torch exports of the network is not what is run",
            where=who,
            found=f"run by itself it goes on with {step.op} ({step.line}), exported with {instead}",
            expected="a forward that does the same, whoever calls it with whatever kind of tensors",
        )


class _Executed:
    """An exported program, executed as it is."""

    def __init__(self, program: ExportedProgram) -> None:
        self.graph, self.signature = program.graph_module, program.graph_signature
        self.kept = program.constants | program.state_dict

    def __call__(self, *inputs: Tensor) -> list[Any]:
        """What its module gives."""
        users, specs = iter(inputs), self.signature.input_specs
        args = [next(users) if spec.kind is InputKind.USER_INPUT else self.kept[str(spec.target)] for spec in specs]
        results = fx.Interpreter(self.graph).run(*args)
        own = [spec.kind is OutputKind.USER_OUTPUT for spec in self.signature.output_specs]
        return [result for result, asked in zip(results, own, strict=True) if asked]
