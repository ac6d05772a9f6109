"""What tests of readiness share."""

import pytest

from pixkit.readiness import check, trace
from pixkit.readiness.untraceable import Untraceable


@pytest.fixture
def nothing_adopted(monkeypatch):
    """As if torch could export no network, nor its operations be followed: what torch.fx's trace alone comes to."""

    def adopted(network, x, context):
        raise Untraceable("nothing is exported here")

    monkeypatch.setattr(trace, "adopted", adopted)
    monkeypatch.setattr(check, "prove_whole", lambda network: None)
