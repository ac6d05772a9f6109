"""The errors that pixkit raises; each class carries the exit code of the command line."""

from __future__ import annotations


class PixkitError(Exception):
    """Base of every error that pixkit raises on purpose.

    Args:
        message: what is wrong, one sentence.
        where: the file, key or option at fault.
        found: what stands there.
        expected: what should stand there.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        rows = (("found", self.found), ("expected", self.expected), ("try", self.hint))
        return "\n".join([head, *(f"  {label}: {text}" for label, text in rows if text)])


class UsageError(PixkitError):
    """A command or a call was given arguments that do not fit."""

    exit_code = 2


class RecipeError(PixkitError):
    """A recipe, an override or a combination of components is wrong."""

    exit_code = 2


class RunError(PixkitError):
    """A run directory exists already, is locked, or cannot be written."""

    exit_code = 2


class DataError(PixkitError):
    """Images, labels or archives are missing, damaged or out of range."""

    exit_code = 3


class CheckpointError(PixkitError):
    """A checkpoint is missing, damaged, or not this model's."""

    exit_code = 3


class PluginError(PixkitError):
    """A plugin is missing, broken, or in conflict with another."""

    exit_code = 4


class CausalityError(PixkitError):
    """A network lets a sub-pixel see what has not been generated yet."""

    exit_code = 1


class NonFiniteError(PixkitError):
    """A loss or a gradient is not finite; nothing was updated with it."""

    exit_code = 5
