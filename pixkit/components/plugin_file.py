"""A plugin in one file: a module that no distribution brings, imported from where it lies."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pixkit.errors import PluginError, reason

SUFFIX = ".py"


@dataclass(frozen=True)
class PluginFile:
    """A file and its bytes as they were read.

    Attributes:
        path: absolute, links followed.
        digest: SHA-256 of its bytes, which stands for its version.
    """

    path: Path
    digest: str

    @property
    def distribution(self) -> str:
        """What stands for the distribution in qualified names: the file's name, so that runs say which file it was."""
        return self.path.name

    @property
    def version(self) -> str:
        """The beginning of the digest."""
        return self.digest[:12]

    def load(self, check: Callable[[ModuleType], None]) -> ModuleType:
        """Import the file, and check the module; if either raises, it is forgotten, and what was raised goes on."""
        place = hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        name = f"pixkit_plugin_file_{place}_{self.path.stem}"
        loader = importlib.machinery.SourceFileLoader(name, str(self.path))
        spec = importlib.util.spec_from_loader(name, loader)
        assert spec is not None, "there is one for every loader that is given"
        module = importlib.util.module_from_spec(spec)
        before = sys.modules.get(name)
        sys.modules[name] = module  # where dataclasses and pydantic look annotations up
        try:
            loader.exec_module(module)
            check(module)
        except BaseException:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise
        return module


def read_plugin_file(path: str | Path) -> PluginFile:
    """The plugin file at `path`.

    Raises:
        PluginError: if it cannot be read, or is not a Python file.
    """
    place = Path(os.path.expanduser(path)).resolve()
    if place.suffix != SUFFIX:
        raise PluginError("a plugin file is a Python file", where=str(path), expected=f"a name that ends in {SUFFIX}")
    try:
        return PluginFile(place, hashlib.sha256(place.read_bytes()).hexdigest())
    except OSError as error:
        raise PluginError("the plugin file cannot be read", where=str(path), found=reason(error)) from error
