"""The proof for any module in plain torch: its verdict, and what to blame where there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.bits import bytes_of
from pixkit.errors import UsageError, listed
from pixkit.readiness.asked import Output, Question, question
from pixkit.readiness.elements.marked import plainly
from pixkit.readiness.elements.marks import LATEST
from pixkit.readiness.elements.notes import RANDOM
from pixkit.readiness.elements.run import Given, Run
from pixkit.readiness.elements.untouched import untouched, values_kept
from pixkit.readiness.evidence import Watch
from pixkit.readiness.explaining import Explanation, explain, field_of, line_at, said_of
from pixkit.readiness.proof import Proof, Reliance, Verdict

HIDING = "no torch operation does it: values are passed on where torch does not see them"


# Any: what the module returns
def prove(
    module: Callable[..., Any],
    x: Tensor,
    steps: Tensor,
    *,
    out_steps: Tensor | None = None,
    strict: bool = True,
    fixed: Collection[str] = (),
    output: Output = None,
) -> Proof:
    """Prove that no output of a module depends on inputs that become known later, or find one that does.

        proof = pixkit.readiness.prove(gpt, tokens, steps, out_steps=steps[..., None], strict=False)
        assert proof.verdict == "proved", proof

    The module is run once, and readiness is propagated element by element through every torch operation that it calls.
    The claim holds for all finite inputs and all finite parameter values for which every intermediate result is finite
    as well: a zero hides numbers, but neither infinities nor NaN. Buffers, shapes and Python constants are fixed;
    values are examined only where they come from nothing but constants and buffers. Numbers and arrays that Python and
    numpy compute meanwhile count as constants: an array must hold the same values in two further calls and must not
    come from `numpy.empty`, because nothing sees what is written to it. A module that keeps state between calls is
    called again until the state no longer changes; nothing is proved of one that counts its calls. "leaks" is reported
    only if input elements were changed and an output that must not depend on them moved.

    The module runs without gradients (with them only if it takes gradients itself and fails without), on a contiguous
    copy of `x`, with the current `requires_grad` flags and number of threads. The claim does not cover code that asks
    for these and finds other values, nor other lengths of an axis of `x`, such as the batch.

    Args:
        module: called with `x` as its only argument, in its current mode, and left unchanged.
        x: an input of any shape and type.
        steps: non-negative integers: when each input element becomes known; must broadcast to the input's shape.
        out_steps: the same for output elements; defaults to `steps` if the output has the input's shape. For logits of
            each token, for example, ``steps[..., None]``.
        strict: whether an output element may depend only on input elements of earlier steps; otherwise also on those of
            its own step, as in a language model whose output at a token is about the next one.
        fixed: names of parameters to treat as constants.
        output: which tensor, if the module returns several: its key or index; defaults to the first.

    Raises:
        UsageError: if steps do not fit, a name is not a parameter's, or the module is lazy and was never called.
        Exception: whatever the module raises.
    """
    asked = question(module, x, steps, out_steps=out_steps, strict=strict, output=output)
    _require_parameters(module, fixed)
    with torch.inference_mode(False), torch.no_grad():
        run = Run.of(module, [Given(x, asked.steps)], fixed=fixed)
        return _judged(asked, run, fixed)


def _judged(asked: Question, run: Run, fixed: Collection[str]) -> Proof:
    failed = run.output is None
    given = asked.chosen(_called(asked) if failed else run.output)
    allowed = asked.allowed(given.shape)
    with plainly():
        ready = torch.full_like(allowed, LATEST) if failed else run.held(given).marks.ready.cpu()
    late = ready > allowed
    run.noted.extend(() if failed else run.unwritten(ready))
    reasons = [*said_of(run.noted), *_of_training(asked.module, run)]
    relies_on = tuple(_reliances(asked.module, run))
    if not bool(late.any()) and not run.noted:
        hidden = Watch(asked, allowed, torch.ones_like(late), tuple(fixed)).glanced()
        sound: Verdict = "proved" if hidden is None else "leaks"
        about = {"reasons": () if hidden is None else (HIDING,), "evidence": hidden, **_about(asked, run, given)}
        return Proof(sound, None, (), ready, allowed, relies_on, **about)
    with plainly():
        found = None if failed or not bool(late.any()) else explain(asked, run, run.held(given), allowed)
    watch = Watch(asked, allowed, late if bool(late.any()) else torch.ones_like(late), tuple(fixed))
    masked = None if found is None else found.mask
    evidence = watch.seen(None if found is None else found.pair, large=masked is None)
    verdict: Verdict = "unproved"
    if evidence is not None:
        verdict = "leaks"
    elif masked is not None and not run.noted:
        verdict = "underflow"
    elif found is not None and not run.noted:
        reasons.append("every operation is known, yet nothing moved: contributions may cancel out")
    blame = _blamed(run, found, verdict)
    return Proof(
        verdict,
        blame,
        () if found is None else found.path,
        ready,
        allowed,
        relies_on,
        (*(found.words if found is not None else ()), *reasons),
        evidence,
        watch.influence() if verdict == "underflow" else None,
        **_about(asked, run, given),
    )


def _blamed(run: Run, found: Explanation | None, verdict: Verdict) -> Any:
    if found is None:
        return line_at(run.noted[0].line, run.noted[0].op) if run.noted else None
    return found.mask if verdict == "underflow" else found.blame


def _called(asked: Question) -> Any:
    """Call the module normally and return its output."""
    with untouched(asked.module), values_kept(asked.module), torch.random.fork_rng(devices=[]):
        return asked.module(asked.x.clone())


def _about(asked: Question, run: Run, given: Tensor) -> dict[str, Any]:
    with plainly():
        fields = None if run.output is None else field_of(run, run.held(given).place, asked.steps.shape)
    return {"operations": len(run.tape), "_fields": fields, "_steps": asked.steps}


def _of_training(module: Any, run: Run) -> Iterator[str]:
    """Warn that the module is in training mode, if that matters: it drew random numbers or reads the batch."""
    parts = module.named_modules() if isinstance(module, nn.Module) else ()
    training = [(name, part) for name, part in parts if part.training]
    drawn = any(noted.kind == RANDOM for noted in run.noted)
    batch = [name for name, part in training if isinstance(part, nn.modules.batchnorm._NormBase)]
    if training and (drawn or batch):
        yield f"the module is in training mode ({', '.join(batch) or 'it draws random numbers'}): try module.eval()"


def _require_parameters(module: Any, names: Collection[str]) -> None:
    own = {name for name, _ in module.named_parameters()} if isinstance(module, nn.Module) else set()
    wrong = sorted(set([names] if isinstance(names, str) else names) - own)
    if isinstance(names, str) or wrong:
        raise UsageError(
            "the module has no such parameter",
            where="fixed",
            found=listed(wrong) or repr(names),
            expected=f"names from {listed(sorted(own))}",
        )


def _reliances(module: Any, run: Run) -> Iterator[Reliance]:
    own = dict(module.named_parameters()) | dict(module.named_buffers()) if isinstance(module, nn.Module) else {}
    tensors = {**run.constants, **own}
    for name in sorted(run.relies_on):
        values = tensors[name]
        digest = hashlib.sha256(bytes_of(values).cpu().numpy().tobytes())
        yield Reliance(name, tuple(values.shape), digest.hexdigest())
