"""A plugin whose hook asks for what it is not given."""

import pixkit

pixkit_api_version = 1


@pixkit.hookimpl
def pixkit_register(registry, device):
    raise AssertionError("never called")
