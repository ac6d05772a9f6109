"""Run the plan on a GPU with one captured CUDA graph for each shape of step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.plan import Instruction, Plan
from pixkit.execution.reference import Progress, ReferenceExecutor
from pixkit.layers.base import MixingLayer

Replay: TypeAlias = Callable[[], None]


class GraphExecutor(ReferenceExecutor):
    """The reference executor's work, captured once for each shape of step and replayed for every step like it.

    Two steps have the same shape if they run the same operations on equally many sites; a raster has a few dozen
    shapes. The sites are then inputs of the graph. Drawing is part of it, so that a step costs a few small copies and
    one launch.

    Raises:
        Unsupported: if a mixing layer is not `replayable`.
    """

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        for operation in plan.trace.operations.values():
            if isinstance(operation.module, MixingLayer) and not operation.module.replayable:
                raise Unsupported(f"no CUDA graph can replay {operation.label}")
        super().__init__(plan, batch, context)

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """See Executor."""
        graphs: dict[Any, tuple[list[Tensor], Replay]] = {}
        for step, instructions in enumerate(self.steps):
            inputs = [*(i.sites for i in instructions), *self.draws[step]]
            shape = (*((i.operation.name, i.group, i.stop - i.start) for i in instructions), len(self.draws[step][0]))
            if shape not in graphs:
                held = [part.clone() for part in inputs]
                body = self._body(instructions, held, uniforms, temperature)
                graphs[shape] = held, self._capture(body)
            held, replay = graphs[shape]
            for place, part in zip(held, inputs, strict=True):
                place.copy_(part)
            replay()
            if progress is not None:
                progress(step + 1, len(self.steps))

    def _body(
        self, instructions: list[Instruction], held: list[Tensor], uniforms: Tensor, temperature: float
    ) -> Replay:
        """One step, which reads its sites from `held`."""
        *places, sites, due = held
        work = list(zip(instructions, places, strict=True))

        def run() -> None:
            self.passing.clear()
            for instruction, place in work:
                self._execute(instruction, place)
            self.draw(sites, due, uniforms, temperature)

        return run

    def _capture(self, body: Replay) -> Replay:
        """Run the step once to warm up, on a separate stream as capture requires, then record it.

        Everything is on the network's device: recorded on another one, a step would run once and replay as a no-op.
        """
        with torch.cuda.device(self.pixels.device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                body()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                body()
        replay: Replay = graph.replay
        return replay
