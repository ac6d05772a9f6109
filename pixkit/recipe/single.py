"""One component by its name, as in a recipe."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pixkit.catalogue.kinds import KINDS
from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec
from pixkit.errors import KeyPath, PluginError, RecipeError, dotted
from pixkit.recipe.messages import unknown_key
from pixkit.recipe.sections import Slot, keys_below


# Any: the keys of the component, which are checked
def component(kind: str, name: str, /, **keys: Any) -> ComponentSpec:
    """A registered component with its keys, checked as in a recipe; its `build` makes the object.

        >>> order = pixkit.component("ordering", "hilbert").build(pixkit.ImageSpec(1, 8, 8, 17))
        >>> order.steps.shape
        torch.Size([1, 8, 8])
        >>> pixkit.component("sampler", "fixed_point").build()  # for model.sample(10, sampler=...)
        <FixedPoint sampler>

    Args:
        kind: ordering, backbone, head, activation, ...: one of `pixkit.components.KINDS`.
        name: the component's name: `pixkit ls` lists them, `pixkit show KIND NAME` shows its keys.
        keys: as in a recipe; the others have their defaults.

    Raises:
        PluginError: if there is no such kind, or no component with that name.
        RecipeError: if a key is wrong.
    """
    if kind not in KINDS:
        raise PluginError(f"no kind of component '{kind}'", expected=", ".join(KINDS))
    known = registry()
    entry = known.get(kind, name)
    try:
        config = entry.cls.Config.model_validate(keys, context={"registry": known})
    except ValidationError as error:
        raise _wrong(list(keys_below(Slot(entry.cls.Config), keys, known)), f"{kind} '{name}'", error) from None
    return ComponentSpec(entry, config, "source" if kind == "data" else "type")


def _wrong(possible: list[KeyPath], where: str, error: ValidationError) -> RecipeError:
    """The first error in a component's keys, given the possible keys; and the number of further errors."""
    first, *more = error.errors(include_url=False)
    key, also = dotted(first["loc"]), f"; {len(more)} more {'is' if len(more) == 1 else 'are'} wrong" if more else ""
    if first["type"] == "extra_forbidden":
        *section, last = first["loc"]
        here = [str(path[-1]) for path in possible if path[:-1] == tuple(section)]
        verdict = unknown_key([str(last)], here, (path for path in possible if path[:-1] != tuple(section)))
        expected = verdict.expected or None
        return RecipeError(f"{verdict.message}{also}", where=where, found=key, expected=expected, hint=verdict.hint)
    said = first["msg"].removeprefix("Value error, ")
    return RecipeError(f"{said}{also}", where=f"{where}, {key}" if key else where, found=repr(first["input"]))
