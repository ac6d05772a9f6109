"""A plugin with a slip in a hook's name."""

import pixkit

pixkit_api_version = 1


@pixkit.hookimpl
def pixkit_regster(registry):
    raise AssertionError("never called")
