"""The plain networks that `tests/benchmarks/training.py` times pixkit's training against compute the same."""

import re
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from matching import apart, parts
from training import FAMILIES, heading, tiny

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_network_has_the_outputs_and_the_gradients_of_pixkits(family):
    net, plain, x = tiny(family)
    assert max(apart(net, plain, x)) < 1e-14
    _, _, ours = parts(plain, net)[-3]
    with torch.no_grad():
        ours.view(-1)[0] += 0.1
    assert min(apart(net, plain, x)) > 1e-5, "the comparison sees one weight"


@pytest.mark.quick
def test_the_table_in_readme_is_what_the_benchmark_prints():
    """Of every family, with its images; to write it anew: the command below it."""
    head = "\n".join(heading(["fp32", "bf16"]))
    assert README.count(head) == 1
    assert re.search(r"`python tests/benchmarks/training\.py( --rounds \d+)? --table`", README), "its command"
    rows = [line.strip("| ").split(" | ") for line in README.split(head)[1].split("\n\n")[0].split("\n") if line]
    assert [cells[:2] for cells in rows] == [[f"`{name}`", str(family.batch)] for name, family in FAMILIES.items()]
    for _, _, *figures in rows:
        for milliseconds, *ratios in (figures[:3], figures[3:]):
            assert milliseconds.endswith(" ms") and int(milliseconds.split()[0]) > 0
            assert all(0 < float(ratio) < 2 for ratio in ratios)
