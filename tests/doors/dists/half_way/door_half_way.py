"""A plugin that fails when it has registered one component and not yet the other."""

import pixkit

pixkit_api_version = 1


class Half(pixkit.TapShape):
    """Every other column."""

    def has(self, dy: int, dx: int) -> bool:
        return dx % 2 == 0


@pixkit.hookimpl
def pixkit_register(registry):
    registry.add("mask", "half", Half)
    raise RuntimeError("the other half\nis on a second line")


@pixkit.hookimpl
def pixkit_train_end(run, step):
    raise AssertionError("never called")
