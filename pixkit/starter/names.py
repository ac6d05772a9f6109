"""The names of a plugin and its parts, derived from one name."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass

from pixkit.distribution import OWN, canonical
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
            UsageError: if PyPI or Python would refuse one of them, or if it is pixkit's or the standard library's.
        """
        distribution = canonical(name)
        module = distribution.replace("-", "_")
        component = module.removeprefix(_PREFIX)
        if not _DISTRIBUTION.fullmatch(name) or not component.isidentifier():
            expected = "letters, digits, '-', '_' and '.'; a letter first, also after 'pixkit-', a letter or digit last"
            raise UsageError("not a valid name for a plugin", where="NAME", found=repr(name), expected=expected)
        if distribution == OWN or module == "pixkit_plugins":
            raise UsageError("the name belongs to pixkit", where="NAME", found=repr(name))
        if module in sys.stdlib_module_names or keyword.iskeyword(module):
            hint = f"pixkit-{distribution}"
            raise UsageError("Python has a module or keyword with this name", where="NAME", found=repr(name), hint=hint)
        return cls(distribution, module, component, "".join(word.capitalize() for word in component.split("_")))

    def fill(self, text: str) -> str:
        """Replace `pixkit-example` and its parts in a template by these names."""
        by_token = {
            "pixkit_example": self.module,
            "pixkit-example": self.distribution,
            "example": self.component,
            "Example": self.cls,
        }
        return _TOKENS.sub(lambda found: by_token[found[0]], text)
