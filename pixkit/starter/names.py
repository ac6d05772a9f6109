"""The names of a plugin and its parts, derived from one name."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass, replace
from io import StringIO
from token import NAME
from tokenize import generate_tokens

from pixkit.distribution import GROUP, OWN, canonical
from pixkit.errors import UsageError

_DISTRIBUTION = re.compile(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PREFIX = "pixkit_"
_TOKENS = re.compile(r"pixkit_example|pixkit-example|(?<![A-Za-z])[Ee]xample(?![a-z])")


@dataclass(frozen=True)
class Names:
    """The names of a plugin and its parts.

    Attributes:
        distribution: the name for pip, `pixkit-blue-noise`.
        module: the name to import, `pixkit_blue_noise`.
        component: the name in recipes, `blue_noise`.
        cls: the component's class, `BlueNoise`.
    """

    distribution: str
    module: str
    component: str
    cls: str

    @classmethod
    def of(cls, name: str) -> Names:
        """Derive all names from the distribution's; the component's omits a leading `pixkit-`.

        Raises:
            UsageError: if PyPI or Python would refuse one of them, or if it belongs to another package.
        """
        distribution = canonical(name)
        module = distribution.replace("-", "_")
        component = module.removeprefix(_PREFIX)
        if not _DISTRIBUTION.fullmatch(name) or not component.isidentifier():
            expected = "letters, digits, '-', '_' and '.'; a letter first, also after 'pixkit-', a letter or digit last"
            raise UsageError("not a valid name for a plugin", where="NAME", found=repr(name), expected=expected)
        if distribution == OWN or module == "pixkit_plugins":
            raise UsageError("the name belongs to pixkit", where="NAME", found=repr(name))
        if keyword.iskeyword(module) or module in sys.stdlib_module_names or _is_taken(distribution, module):
            hint, said = f"pixkit-{distribution}", "Python has a module, package or keyword with this name"
            raise UsageError(said, where="NAME", found=repr(name), hint=hint)
        if component in ("true", "false", "null", "none"):
            hint = f"pixkit-my-{component}"
            raise UsageError("recipes cannot name it: it is a value", where="NAME", found=repr(name), hint=hint)
        return cls(distribution, module, component, "".join(word.capitalize() for word in component.split("_")))

    def apart(self, code: str, kind: str) -> Names:
        """Append the kind to the class's name if the code, of a template, already uses that name."""
        used = {token.string for token in generate_tokens(StringIO(code).readline) if token.type == NAME}
        return replace(self, cls=f"{self.cls}{kind.capitalize()}") if self.cls in used else self

    def fill(self, text: str) -> str:
        """Replace `pixkit-example` and its parts in a template by these names."""
        by_token = {
            "pixkit_example": self.module,
            "pixkit-example": self.distribution,
            "example": self.component,
            "Example": self.cls,
        }
        return _TOKENS.sub(lambda found: by_token[found[0]], text)


def _is_taken(distribution: str, module: str) -> bool:
    """Whether another package has one of these names, so that pip or Python would take one for the other."""
    if any(point.module == module for point in importlib.metadata.entry_points(group=GROUP)):
        return False  # a plugin that is installed, started anew
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        found = importlib.util.find_spec(module)
        return found is not None and found.origin is not None  # a folder without __init__.py has none
    return True
