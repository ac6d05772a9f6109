"""What tests of readiness share."""

import pytest

from pixkit.readiness import trace
from pixkit.readiness.untraceable import Untraceable


@pytest.fixture
def nothing_adopted(monkeypatch):
    """As if torch could export no network: for tests of what torch.fx's trace alone comes to."""

    def adopted(network, x, context):
        raise Untraceable("nothing is exported here")

    monkeypatch.setattr(trace, "adopted", adopted)
