"""Plans of a network kept from one call to the next, the executors that run them, and refusals.

A stale plan would silently draw wrong images. So a kept one is used only if everything that it was made of is
unchanged: `Content` compares what can be inspected, and anything else that foreign code may read shows in the network's
output for an image, compared bit by bit. A refusal, which takes as long to find, is kept by the same rule.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Hashable

import torch
from torch import Tensor

from pixkit.errors import CausalityError, PixkitError
from pixkit.execution.choose import Chosen
from pixkit.execution.plan import Plan, Unplannable, make_plan
from pixkit.execution.reference import Executor
from pixkit.layers.modes import evaluating
from pixkit.memory.keep import Keep
from pixkit.network import Autoregressive
from pixkit.readiness.content import Content, Untold
from pixkit.readiness.law import require_law
from pixkit.readiness.settings import moded, settings
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.readiness.untraceable import require_called

EXECUTORS = 4
"""The number of executors kept for a plan, each for a batch size."""
LARGEST = 192 << 20
"""Bytes of memory that they may hold together. A larger executor is not kept: drawing with it takes far longer than
making it."""


REFUSALS = Untraceable, Unplannable, CausalityError
"""Errors that say that a network has no plan."""
PASSING = MemoryError, torch.OutOfMemoryError, RecursionError
"""Causes of a refusal that may be gone by the next call."""


class Found:
    """A finding about a network, and the means to tell whether it still holds.

    Attributes:
        content: the network's content when it was found; None if that cannot be determined.
    """

    def __init__(self, network: Autoregressive, content: Content | None) -> None:
        self.content = content
        self._settings = settings()
        self._seen = _features(network) if content is not None and content.foreign else []

    @property
    def nbytes(self) -> int:
        """The bytes of copies."""
        return 0 if self.content is None else self.content.nbytes

    def holds(self, network: Autoregressive, known: Tensor | None) -> bool:
        """Whether the finding still holds for this network with these known sub-pixels."""
        if self._settings != settings() or self.content is None or not self.content.holds(network):
            return False
        return not self.content.foreign or all(map(torch.equal, self._seen, _features(network)))


class Refused(Found):
    """Why a network has no plan, whatever is known.

    Attributes:
        error: the error, without references to the objects around it.
    """

    def __init__(self, network: Autoregressive, content: Content, error: PixkitError) -> None:
        super().__init__(network, content)
        self.error = copy.copy(error)


class Prepared(Found):
    """A plan of a network with known sub-pixels, and the executors kept to run it again.

    Attributes:
        plan: the plan.
        departure: the effect of rounded weights, once known, see `cached.py`.
    """

    def __init__(self, network: Autoregressive, known: Tensor | None, content: Content | None) -> None:
        trace = Trace(network)
        require_law(trace)
        self.plan: Plan = make_plan(trace, known)
        super().__init__(network, content)
        self._given = _given(known)
        self._waiting: OrderedDict[Hashable, Chosen] = OrderedDict()
        self._lock = threading.Lock()
        self.departure: str | None = None
        self._compared: dict[int, PixkitError | None] = {}

    @property
    def nbytes(self) -> int:
        """Roughly the bytes of copies and executors."""
        return super().nbytes + sum(chosen.executor.nbytes for chosen in [*self._waiting.values()])

    def holds(self, network: Autoregressive, known: Tensor | None) -> bool:
        """Whether a plan of this network would be this one."""
        return self._given == _given(known) and super().holds(network, known)

    def require_same(self, count: int) -> None:
        """Check, once for each number of images, that a rewritten network does the same with that many.

        Raises:
            Untraceable: if it behaves differently.
        """
        if count not in self._compared:
            try:
                self.plan.trace.require_same(count)
                self._compared[count] = None
            except Untraceable as error:
                if _passes(error):
                    raise
                self._compared[count] = copy.copy(error)
        refused = self._compared[count]
        if refused is not None:
            raise copy.copy(refused)  # as below

    def take(self, key: Hashable, context: Tensor | None) -> Chosen | None:
        """The executor kept for such a batch, ready for another one; no other caller gets it until it is given back.

        None if there is none, or if weights have changed since the plan was checked.
        """
        if self.content is None or not self.content.stands():
            return None
        with self._lock:
            chosen = self._waiting.pop(key, None)
        return chosen if chosen is not None and chosen.executor.renew(context) else None

    def lasts(self, chosen: Chosen) -> bool:
        """Whether an executor that has just been made may be kept for other batches.

        Not if weights have changed since the plan was checked, for example by a progress callback.
        """
        return fits(chosen.executor) and self.content is not None and self.content.stands()

    def give_back(self, key: Hashable, chosen: Chosen) -> None:
        """Keep an executor that has finished its batch for the next one like it."""
        with self._lock:
            self._waiting[key] = chosen
            waiting = self._waiting.values()
            while len(waiting) > EXECUTORS or sum(each.executor.nbytes for each in waiting) > LARGEST:
                self._waiting.popitem(last=False)


def fits(executor: Executor) -> bool:
    """Whether an executor is small enough to be kept."""
    return executor.nbytes <= LARGEST


def prepared(network: Autoregressive, known: Tensor | None) -> Prepared:
    """A plan of the network as it is now, kept from an earlier call or made, one thread at a time.

    Tracing hooks into the network's modules, which other threads that trace them would call.

    Raises:
        UsageError: if a lazy module has not yet found its shapes by a first call.
        Untraceable: if the network cannot be traced.
        Unplannable: if one of its layers has no `at`.
        CausalityError: if readiness does not prove it causal.
    """
    require_called(network, "network", "network(x)")
    with network.kept.making:
        found = _found(network, known)
    if isinstance(found, Refused):
        raise copy.copy(found.error)  # its traceback would grow with each call and keep frames alive
    return found


def _found(network: Autoregressive, known: Tensor | None) -> Prepared | Refused:
    if moded():
        return Prepared(network, known, None)
    entries = [entry for entry in network.kept.entries if isinstance(entry, Prepared | Refused)]
    for entry in entries:
        if entry.holds(network, known):
            network.kept.use(entry)
            return entry
    try:
        content = Content(network, [entry.content for entry in entries if entry.content is not None])
    except Untold:
        return Prepared(network, known, None)
    made: Prepared | Refused
    try:
        made = Prepared(_twin(network), known, content)
    except REFUSALS as error:
        if _passes(error):
            raise
        made = Refused(network, content, error)
    if made.holds(network, known):  # not if tracing or calling it has changed something
        network.kept.use(made)
    else:
        made.content = None
    return made


def _passes(error: BaseException | None) -> bool:
    """Whether an error or one of its causes may be gone by the next call."""
    while error is not None and not isinstance(error, PASSING):
        error = error.__cause__
    return error is not None


def _twin(network: Autoregressive) -> Autoregressive:
    """The same network as another object, since a finding kept for a network must not keep it alive."""
    twin = copy.copy(network)
    tables = {name: dict(vars(network)[name]) for name in ("_parameters", "_buffers", "_modules")}
    vars(twin).update(tables, kept=Keep())
    return twin


def _given(known: Tensor | None) -> bytes | None:
    return None if known is None else known.numpy(force=True).tobytes()


@torch.no_grad()
def _features(network: Autoregressive) -> list[Tensor]:
    """The network's output for an image, from features to parameters."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(network.spec.levels, (1, *network.spec.shape), generator=generator)
    with evaluating(network):
        x, context = x.to(network.reference.device), network.example_context(1)
        conditions = () if network.conditioner is None else (network.conditioner(context),)
        features = network.backbone(network.encoding(x), *conditions)
        return [features, network.projection(features), network(x, context)]
