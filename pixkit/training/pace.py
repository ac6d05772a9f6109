"""The order in which steps are made and reported: one by one, or some of them ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pixkit.recipe.schema import TrainConfig
from pixkit.training.ahead import Ahead
from pixkit.training.ema import Ema
from pixkit.training.step import NonFiniteStep, Stepper
from pixkit.training.watch import AT_ONCE


class Pace:
    """Makes the steps of a stepper, and updates the average of its weights after each.

    Attributes:
        stepping: whether a step is in progress, so that the weights may belong to no step.
        made: the step that the model's weights belong to, if known; otherwise, it is the last one reported.
    """

    def __init__(self, stepper: Stepper, ahead: Ahead | None) -> None:
        self.stepping = False
        self.made: int | None = None
        self._stepper = stepper
        self._ahead = ahead
        self._read: deque[dict[str, float]] = deque()

    @property
    def pending(self) -> int:
        """Steps that were launched but not reported: the weights are those of the last one."""
        return len(self._read) + (0 if self._ahead is None else len(self._ahead))

    def next(self, step: int, until: int, ema: Ema | None) -> dict[str, float]:
        """Make a step, or wait for it if it was launched; return what is logged of it.

        No step after `until` is launched, except `step` itself.

        Raises:
            NonFiniteStep: as the steppers do.
        """
        if self._read:
            return self._read.popleft()
        if self._ahead is None:
            self.stepping = True
            values = self._stepper.make(step)
            if ema is not None:
                ema.update(self._stepper.model, step)
            self.made = step
            self.stepping = False
            return values
        self._launch(self._ahead, step, max(step, until), ema)
        return self._wait(self._ahead)

    def rest(self) -> Iterator[dict[str, float]]:
        """The logged values of each step that was launched but not reported."""
        while self._read:
            yield self._read.popleft()
        while self._ahead:
            yield self._wait(self._ahead)

    def undo(self) -> bool:
        """After an error, bring the model back to its last whole step; return False if that is impossible."""
        if self.stepping and not self._stepper.undo():
            return False
        self.stepping = False
        return True

    def _launch(self, ahead: Ahead, step: int, until: int, ema: Ema | None) -> None:
        try:
            for number in range(step + len(ahead), min(step + ahead.lag, until) + 1):
                self.stepping = True
                ahead.launch(number)
                if ema is not None:
                    ema.update(self._stepper.model, number, ahead.flag)
                self.made = number
                self.stepping = False
        except AT_ONCE:
            raise
        except BaseException:
            # One of the steps before may not have been finite: that came first, so it is what is reported.
            if self.undo():
                while ahead:
                    self._read.append(self._wait(ahead))
            raise

    def _wait(self, ahead: Ahead) -> dict[str, float]:
        ahead.wait()  # may be interrupted without loss
        self.stepping = True  # one that is not finite is made again to find out why
        try:
            values = ahead.read()
        except NonFiniteStep:
            self.made = None  # neither it nor any later step updated anything
            raise
        self.stepping = False
        return values


def next_due(config: TrainConfig, step: int) -> int:
    """The first step, from this one on, after which scores, samples or a checkpoint are due."""
    return min(config.steps, *(-(-step // period) * period for period in _periods(config)))


def is_due(config: TrainConfig, step: int) -> bool:
    """Whether scores, samples or a checkpoint may be due after a step."""
    return step == config.steps or any(step % period == 0 for period in _periods(config))


def _periods(config: TrainConfig) -> tuple[int, int, int]:
    return config.eval_every, config.checkpoint_every, config.sample_every or config.eval_every
