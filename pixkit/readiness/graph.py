"""The graph of a network, by torch.fx: its operations, none of them run."""

from __future__ import annotations

import threading
from typing import Any

from torch import fx, nn

from pixkit.errors import quoted
from pixkit.layers.base import MixingLayer, PointwiseLayer
from pixkit.network import Autoregressive
from pixkit.readiness.changeable import Changeable
from pixkit.readiness.elements.arrays import raw_arrays
from pixkit.readiness.untraceable import (
    Untraceable,
    require_evaluation,
    require_own_call,
    untraceable,
)

TRACING = threading.Lock()
"""Torch.fx patches nn.Module itself while tracing: one thread at a time."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, MixingLayer | PointwiseLayer) or super().is_leaf_module(m, module_qualified_name)

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Torch.fx patches attribute access for all modules; leave those of other threads alone."""
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace a call, checking that the module is in evaluation mode like the network; not calls of other threads."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        require_evaluation(m, self.path_of_module(m))
        return super().call_module(m, forward, args, kwargs)


class _Graph(fx.GraphModule):
    """A graph that runs operation by operation, so torch need not generate and compile its code."""

    def recompile(self) -> Any:
        """Do nothing."""


def traced(network: Autoregressive) -> fx.GraphModule:
    """The graph of a network's forward, whose nodes are torch's operations and whole layers of pixkit.

    Raises:
        Untraceable: if its forward cannot be traced, or would do something else when called as usual.
    """
    require_own_call(network)
    attributes = set(vars(network))
    try:
        with TRACING, Changeable() as changeable, raw_arrays(network, changeable.raw):
            graph = _Graph(network, _Tracer().trace(network))
        changeable.require_none(type(network.backbone).__name__)
        return graph
    except Untraceable:
        raise
    except Exception as error:  # a foreign forward may raise anything on proxies
        raise untraceable(type(network.backbone).__name__, quoted(error)) from error
    finally:
        for name in set(vars(network)) - attributes:  # torch.fx leaves tensors made by forward on the root
            delattr(network, name)
