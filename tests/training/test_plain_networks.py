"""The plain networks that `tests/benchmarks/training.py` times pixkit's training against compute the same."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from matching import apart, parts
from training import FAMILIES, tiny


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_network_has_the_outputs_and_the_gradients_of_pixkits(family):
    net, plain, x = tiny(family)
    assert max(apart(net, plain, x)) < 1e-14
    _, _, ours = parts(plain, net)[-3]
    with torch.no_grad():
        ours.view(-1)[0] += 0.1
    assert min(apart(net, plain, x)) > 1e-5, "the comparison sees one weight"
