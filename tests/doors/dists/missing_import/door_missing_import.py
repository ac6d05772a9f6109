"""A plugin whose own dependency is missing."""

import no_such_package_for_pixkit  # noqa: F401

pixkit_api_version = 1
