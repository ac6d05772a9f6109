"""A plugin in one file: a module outside any distribution, imported from its path."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType

from pixkit.errors import PluginError, reason

SUFFIX = ".py"


@dataclass(frozen=True)
class PluginFile:
    """A file and its bytes as they were read.

    Attributes:
        path: absolute, with links resolved.
        content: its bytes.
        digest: their SHA-256, which serves as the version.
    """

    path: Path
    content: bytes = field(repr=False, compare=False)
    digest: str

    @property
    def distribution(self) -> str:
        """The file's name, in place of a distribution in qualified names, so that runs say which file it was."""
        return self.path.name

    @property
    def version(self) -> str:
        """The beginning of the digest."""
        return self.digest[:12]

    def load(self, check: Callable[[ModuleType], None]) -> ModuleType:
        """Import the file, and check the module; if either raises, it is forgotten, and the exception propagates."""
        place = hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        name = f"pixkit_plugin_file_{place}_{self.path.stem}"
        loader = _AsRead(name, self)
        spec = importlib.util.spec_from_loader(name, loader)
        assert spec is not None, "a given loader always yields a spec"
        module = importlib.util.module_from_spec(spec)
        before = sys.modules.get(name)
        sys.modules[name] = module  # where dataclasses and pydantic resolve annotations
        try:
            loader.exec_module(module)
            check(module)
        except BaseException:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise
        return module


class _AsRead(importlib.machinery.SourceFileLoader):
    """Runs the bytes that the digest belongs to.

    Python's own loader reads the file again, and would use old compiled code for a file that was edited within a second
    without changing its length.
    """

    def __init__(self, name: str, file: PluginFile) -> None:
        super().__init__(name, str(file.path))
        self._content = file.content

    def get_code(self, fullname: str) -> CodeType:
        """Compile the bytes; nothing is cached beside the file."""
        return self.source_to_code(self._content, self.path)


def read_plugin_file(path: str | Path) -> PluginFile:
    """Read the plugin file at `path`.

    Raises:
        PluginError: if it cannot be read, or is not a Python file.
    """
    place = Path(os.path.expanduser(path)).resolve()
    if place.suffix != SUFFIX:
        raise PluginError(
            "a plugin file must be a Python file", where=str(path), expected=f"a name that ends in {SUFFIX}"
        )
    try:
        content = place.read_bytes()
    except OSError as error:
        raise PluginError("the plugin file cannot be read", where=str(path), found=reason(error)) from error
    return PluginFile(place, content, hashlib.sha256(content).hexdigest())
