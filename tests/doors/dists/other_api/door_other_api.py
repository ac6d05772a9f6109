"""A plugin for another pixkit."""

import pixkit

pixkit_api_version = 99


@pixkit.hookimpl
def pixkit_register(registry):
    raise AssertionError("never called")
