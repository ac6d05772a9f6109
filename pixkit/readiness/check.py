"""Is a network causal? Proof by readiness first, a numerical look besides."""

from __future__ import annotations

import warnings

from pixkit.errors import CausalityError
from pixkit.network import Autoregressive
from pixkit.readiness.law import require_law
from pixkit.readiness.probe import probe
from pixkit.readiness.trace import Trace, Untraceable


def verify(network: Autoregressive) -> Trace | None:
    """Prove a network causal; return its trace, or None where only the numerical probe speaks for it.

    Readiness is careful: what it cannot follow it takes to mix everything. So a network that fails the law, or that
    cannot be traced, is refused only if the probe sees it leak; else a warning says that nothing is proved.

    Raises:
        CausalityError: if the network leaks, naming the path and the layer to blame where it could be traced.
    """
    try:
        trace = Trace(network)
        require_law(trace)
    except (Untraceable, CausalityError) as error:
        try:
            probe(network, probes=network.spec.dims if network.spec.dims <= 128 else 64)
        except CausalityError as seen:
            raise (error if isinstance(error, CausalityError) else seen) from seen
        warnings.warn(f"no proof that the network is causal, though no leak was seen: {error}", RuntimeWarning, 2)
        return None
    probe(network)
    return trace
