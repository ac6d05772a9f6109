"""Check that a network is causal: first by a proof of readiness, then numerically."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from pixkit.errors import CausalityError
from pixkit.network import Autoregressive
from pixkit.precision import float32_products
from pixkit.readiness.law import Leak, find_leak, law_error
from pixkit.readiness.probe import probe
from pixkit.readiness.proof import Proof
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.readiness.whole import leak_error, line_of, prove_whole, tells_more

HIDE = "make each layer hide the pixels that are drawn later, as the layers in pixkit.layers do"


@dataclass(frozen=True)
class Finding:
    """The results of proof and probe.

    Attributes:
        trace: the traced network, or None if it cannot be traced or if its trace knows less than `proof`.
        leak: the path that breaks the law, if any.
        problem: why there is no proof, or None if there is one.
        probes: how many sub-pixels were swapped.
        seen: the leak that the probe saw, if any.
        proof: the result of following torch's own operations, or None if the trace was enough.
    """

    trace: Trace | None
    leak: Leak | None
    problem: CausalityError | Untraceable | None
    probes: int
    seen: CausalityError | None
    proof: Proof | None = None


@float32_products()
def find(network: Autoregressive) -> Finding:
    """Prove a network causal or find what breaks the law, and probe it numerically.

    The trace is conservative: it assumes that whatever it cannot follow mixes everything. So if a network fails the law
    or cannot be traced, torch's own operations are followed element by element, and it is probed more thoroughly.

    Raises:
        PluginError: if the backbone's features differ from what it declares.
    """
    network.check_width()
    trace, leak, problem = _prove(network)
    proof = None if problem is None else prove_whole(network)
    if proof is not None and proof.verdict == "proved":
        trace = leak = problem = None
    probes, together = effort(network.spec.dims, proved=problem is None)
    try:
        probe(network, probes=probes, together=together)
    except CausalityError as error:
        if trace is None and problem is not None:
            error.hint = f"{HIDE}; to learn which layer does not, provide {problem.expected} (found: {problem.found})"
        known = problem if trace is None or leak is None else law_error(trace, leak, seen=True)
        operations = () if trace is None else trace.operations.values()
        if proof is not None and tells_more(proof, None if leak is None else leak.blamed, operations):
            told = leak_error(network, proof, error)
            return Finding(trace, leak, told if trace is not None else problem, probes, told, proof)
        for each in filter(None, (error, known)):
            each.lines = (*each.lines, *line_of(proof))
        return Finding(trace, leak, known, probes, error, proof)
    seen = leak_error(network, proof) if proof is not None and proof.verdict == "leaks" else None
    if problem is not None and seen is None:
        problem.lines = (*problem.lines, *_more(proof))
    return Finding(trace, leak, problem, probes, seen, proof)


def effort(dims: int, *, proved: bool) -> tuple[int, int]:
    """How many of `dims` sub-pixels to swap, and how many at once."""
    if proved:
        return min(dims, 16), 4
    return (dims if dims <= 128 else 64), 1


def _more(proof: Proof | None) -> list[str]:
    """Report what following torch's operations adds, where it proved nothing and showed no leak."""
    return (
        []
        if proof is None
        else [f"  torch's operations, followed: {proof.verdict}", *map("  {}".format, proof.reasons), *line_of(proof)]
    )


def verify(network: Autoregressive) -> Trace | None:
    """Prove a network causal; return its trace, or None if only the numerical probe supports it.

    Without a proof, the network is refused only if the probe sees a leak; otherwise a warning says that nothing is
    proved.

    Raises:
        CausalityError: if the network leaks, naming the path and the layer to blame if it could be traced.
        PluginError: if the backbone's features differ from what it declares.
    """
    found = accepted(find(network))
    return found.trace if found.problem is None else None


def accepted(found: Finding) -> Finding:
    """Return the finding unless it shows a leak; warn if there is no proof, at the line that called the caller.

    Raises:
        CausalityError: if the network leaks.
    """
    if found.seen is not None:
        if isinstance(found.problem, CausalityError):
            raise found.problem from found.seen
        raise found.seen
    if found.problem is not None:
        if found.proof is not None and found.proof.verdict == "underflow":
            largest = f"the largest influence found with large inputs and weights is {found.proof.influence:.3g}"
            text = f"the network is causal only by underflow; {largest}: {found.problem}"
        else:
            text = f"the network is not proved causal, though no leak was seen: {found.problem}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return found


def _prove(network: Autoregressive) -> tuple[Trace | None, Leak | None, CausalityError | Untraceable | None]:
    try:
        trace = Trace(network)
    except Untraceable as error:
        return None, None, error
    leak = find_leak(trace)
    return trace, leak, None if leak is None else law_error(trace, leak)
