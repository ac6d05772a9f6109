"""What the tests of trackers share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def quick_threads(one_thread):
    """See tests/conftest.py."""


@pytest.fixture(autouse=True)
def quick_disk(no_waiting_for_the_disk):
    """See tests/conftest.py."""
