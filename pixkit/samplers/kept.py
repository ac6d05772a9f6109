"""Plans that are kept of a network from one call to the next, and the executors that run them; and refusals.

A plan that no longer holds would draw wrong images, and nobody would notice. So a kept one is used only where
everything that it was made of is as it was: `Content` says that of what can be looked at, and what code from elsewhere
may read besides shows in what the network computes of an image, bit by bit. The reason why there is no plan,
which takes as long to find, is kept by the same rule.
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
"""Executors that are kept of a plan, each for a batch size."""
LARGEST = 192 << 20
"""Bytes of memory that those hold together; above that an executor is not kept: what it then draws takes far longer
than making it."""


REFUSALS = Untraceable, Unplannable, CausalityError
"""What is raised of a network of which there is no plan."""
PASSING = MemoryError, torch.OutOfMemoryError, RecursionError
"""Causes of a refusal that may be gone at the next call."""


class Found:
    """What was found out about a network, and what tells whether it still holds.

    Attributes:
        content: what the network was made of; None if that cannot be told.
    """

    def __init__(self, network: Autoregressive, content: Content | None) -> None:
        self.content = content
        self._settings = settings()
        self._seen = _features(network) if content is not None and content.foreign else []

    @property
    def nbytes(self) -> int:
        """Of copies."""
        return 0 if self.content is None else self.content.nbytes

    def holds(self, network: Autoregressive, known: Tensor | None) -> bool:
        """Whether the same would be found of this network, with these sub-pixels known."""
        if self._settings != settings() or self.content is None or not self.content.holds(network):
            return False
        return not self.content.foreign or all(map(torch.equal, self._seen, _features(network)))


class Refused(Found):
    """Why there is no plan of a network, whatever is known.

    Attributes:
        error: what was raised, without the objects that it was raised among.
    """

    def __init__(self, network: Autoregressive, content: Content, error: PixkitError) -> None:
        super().__init__(network, content)
        self.error = copy.copy(error)


class Prepared(Found):
    """A plan of a network in its ordering, with known sub-pixels, and executors that wait to run it again.

    Attributes:
        plan: the plan.
        departure: what rounded weights change, once it is known: see `cached.py`.
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
        """Of copies and executors, about."""
        return super().nbytes + sum(chosen.executor.nbytes for chosen in [*self._waiting.values()])

    def holds(self, network: Autoregressive, known: Tensor | None) -> bool:
        """Whether a plan of this network would be this one."""
        return self._given == _given(known) and super().holds(network, known)

    def require_same(self, count: int) -> None:
        """A network that was rewritten does with so many images what it does with others; asked once for each number.

        Raises:
            Untraceable: if it does something else.
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
        """The executor that waits for such a batch, ready for another one; nobody else has it until it is given back.

        None if none waits, or if weights have changed since the plan was looked at.
        """
        if self.content is None or not self.content.stands():
            return None
        with self._lock:
            chosen = self._waiting.pop(key, None)
        return chosen if chosen is not None and chosen.executor.renew(context) else None

    def lasts(self, chosen: Chosen) -> bool:
        """Whether an executor that has just been made may wait for other batches.

        Not if weights have changed since the plan was looked at, as by who is told of the progress of batches before.
        """
        return fits(chosen.executor) and self.content is not None and self.content.stands()

    def give_back(self, key: Hashable, chosen: Chosen) -> None:
        """Let an executor that has drawn all that it was to draw wait for the next batch like it."""
        with self._lock:
            self._waiting[key] = chosen
            waiting = self._waiting.values()
            while len(waiting) > EXECUTORS or sum(each.executor.nbytes for each in waiting) > LARGEST:
                self._waiting.popitem(last=False)


def fits(executor: Executor) -> bool:
    """Whether an executor is small enough to be kept."""
    return executor.nbytes <= LARGEST


def prepared(network: Autoregressive, known: Tensor | None) -> Prepared:
    """A plan of the network as it is now, kept from an earlier call or made, by one thread at a time.

    Tracing listens to the network's modules, which other threads that trace them would call.

    Raises:
        UsageError: if the network has not been called yet, by which a lazy module finds its shapes.
        Untraceable: if the network cannot be traced.
        Unplannable: if a layer of it has no `at`.
        CausalityError: if readiness does not prove it causal.
    """
    require_called(network, "network", "network(x)")
    with network.kept.making:
        found = _found(network, known)
    if isinstance(found, Refused):
        raise copy.copy(found.error)  # a traceback would grow with each call, and keep what it leads through
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
    if made.holds(network, known):  # not if tracing it, or two calls, have changed something
        network.kept.use(made)
    else:
        made.content = None
    return made


def _passes(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, is of its moment."""
    while error is not None and not isinstance(error, PASSING):
        error = error.__cause__
    return error is not None


def _twin(network: Autoregressive) -> Autoregressive:
    """The same network as another object: one that is kept of a network must not keep that alive."""
    twin = copy.copy(network)
    tables = {name: dict(vars(network)[name]) for name in ("_parameters", "_buffers", "_modules")}
    vars(twin).update(tables, kept=Keep())
    return twin


def _given(known: Tensor | None) -> bytes | None:
    return None if known is None else known.numpy(force=True).tobytes()


@torch.no_grad()
def _features(network: Autoregressive) -> list[Tensor]:
    """What the network makes of an image."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(network.spec.levels, (1, *network.spec.shape), generator=generator)
    with evaluating(network):
        x, context = x.to(network.reference.device), network.example_context(1)
        conditions = () if network.conditioner is None else (network.conditioner(context),)
        features = network.backbone(network.encoding(x), *conditions)
        return [features, network.projection(features), network(x, context)]
