"""Attribution of errors: errors of components, which may be a plugin's, name them and the rule that they break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pixkit.components.attempt import with_line
from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.errors import PixkitError, PluginError
from pixkit.memory.guard import exhausted

_TORCHS_OWN = frozenset(vars(nn.Module()))
TRACE = "PIXKIT_TRACEBACK=1, or the error's `__cause__`, for the whole trace"


@dataclass(frozen=True)
class Blamed:
    """A component as named in errors: `who` begins the sentence, `where` says who provides it."""

    who: str
    where: str

    @classmethod
    def of_entry(cls, entry: Entry) -> Blamed:
        """A registered component."""
        return cls(str(entry), entry.distribution)

    @classmethod
    def of(cls, kind: str, built: Any) -> Blamed:
        """An instance: its class tells who registered it; a class that is not registered is named itself."""
        own = type(built)
        for entry in registry():
            if entry.kind == kind and entry.cls is own:
                return cls.of_entry(entry)
        return cls(f"the {kind}", f"{own.__module__}.{own.__qualname__}")

    def error(self, rule: str, found: str, expected: str, hint: str | None = None) -> PluginError:
        """The error for breaking a rule."""
        return PluginError(f"{self.who} {rule}", where=self.where, found=found, expected=expected, hint=hint)

    @contextmanager
    def at(self, what: str, expected: str) -> Iterator[None]:
        """Turn an exception in the component's own code into a PluginError; `what` says what failed ("to draw").

        Errors raised by pixkit, and those of the operating system and its memory, are left unchanged.
        """
        try:
            yield
        except (PixkitError, OSError):
            raise
        except Exception as error:
            if exhausted(error):
                raise
            raise self.error(f"fails {what}", with_line(error), expected, _hint(error)) from error


def built(component: ComponentSpec, *args: Any) -> Any:
    """Construct a component: ``cls(config, *args)``.

    Raises:
        PluginError: if its constructor fails, or does not call torch's.
        PixkitError, OSError: if the constructor raises one of these.
    """
    blamed = Blamed.of_entry(component.entry)
    with blamed.at("to be constructed", f"{component.cls.__name__}(config{', ...' if args else ''})"):
        made = component.build(*args)
    if isinstance(made, nn.Module) and "_modules" not in vars(made):
        call = "super().__init__(config, ...), the constructor's first line"
        raise blamed.error("is not yet a torch module", "a constructor that does not call its base's", call)
    return made


def require_registered(module: nn.Module, blamed: Blamed) -> None:
    """Raise PluginError if a module has something to train that torch does not know, and so would not train or save."""
    known = {id(each) for each in (*module.modules(), *module.parameters())}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in _TORCHS_OWN:
                continue
            unknown = next((one for one in _learning(value, []) if id(one) not in known), None)
            if unknown is not None:
                found, instead = _unregistered(value, unknown)
                raise blamed.error(
                    "holds a part that torch does not know: it would not be trained, saved or moved to a GPU",
                    f"self.{'.'.join(filter(None, (path, name)))}, {found}",
                    instead,
                    "if it is not to be trained, call requires_grad_(False) on it",
                )


def _learning(value: Any, within: list[Any]) -> Iterator[nn.Module | Tensor]:
    """Yield the trainable contents of an attribute: a tensor, or modules and tensors in lists and dicts, at any depth.

    A module that is not in such a container is known to torch, unless its author made sure that it is not.
    """
    if isinstance(value, Tensor):
        if value.requires_grad and value.is_leaf:
            yield value
    elif isinstance(value, nn.Module):
        if within and any(each.requires_grad for each in value.parameters()):
            yield value
    elif isinstance(value, dict | list | tuple) and not any(value is one for one in within):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _learning(one, [*within, value])


def _unregistered(value: Any, unknown: nn.Module | Tensor) -> tuple[str, str]:
    """Describe an attribute that is or contains something unknown to torch, and say how to register it."""
    if value is unknown:
        return "a tensor that requires a gradient", "nn.Parameter(...) of it"
    proper = f"nn.{'Module' if isinstance(unknown, nn.Module) else 'Parameter'}"
    proper += "Dict" if isinstance(value, dict) else "List"
    items = list(value.values() if isinstance(value, dict) else value)
    if any(unknown is one for one in items):
        return f"a {type(value).__name__} of {type(unknown).__name__}", f"{proper}(...) of it"
    return f"a {type(value).__name__} with a {type(unknown).__name__} deep in it", f"{proper}(...), and so inside it"


def _hint(error: Exception) -> str:
    text = str(error)
    if "device" in text and ("same" in text or "expected" in text):
        return "register tensors that are not parameters as buffers: self.register_buffer(name, tensor)"
    return TRACE
