"""The names that a plugin needs, made from one."""

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
        distribution: what pip installs, `pixkit-blue-noise`.
        module: what Python imports, `pixkit_blue_noise`.
        component: what recipes name, `blue_noise`.
        cls: the component's class, `BlueNoise`.
    """

    distribution: str
    module: str
    component: str
    cls: str

    @classmethod
    def of(cls, name: str) -> Names:
        """The names that follow from a distribution's; recipes leave out a leading `pixkit-`.

        Raises:
            UsageError: if PyPI or Python would refuse one of them, or if it is pixkit's or the standard library's.
        """
        distribution = canonical(name)
        module = distribution.replace("-", "_")
        component = module.removeprefix(_PREFIX)
        if not _DISTRIBUTION.fullmatch(name) or not component.isidentifier():
            expected = "letters, digits, '-', '_' and '.'; a letter first, also after 'pixkit-', and no sign last"
            raise UsageError("not a name for a plugin", where="NAME", found=repr(name), expected=expected)
        if distribution == OWN or module == "pixkit_plugins":
            raise UsageError("the name is pixkit's own", where="NAME", found=repr(name))
        if module in sys.stdlib_module_names or keyword.iskeyword(module):
            hint = f"pixkit-{distribution}"
            raise UsageError("Python has a module or a keyword of this name", where="NAME", found=repr(name), hint=hint)
        return cls(distribution, module, component, "".join(word.capitalize() for word in component.split("_")))

    def fill(self, text: str) -> str:
        """The text of a template, with these names in place of `pixkit-example` and its parts."""
        by_token = {
            "pixkit_example": self.module,
            "pixkit-example": self.distribution,
            "example": self.component,
            "Example": self.cls,
        }
        return _TOKENS.sub(lambda found: by_token[found[0]], text)
