"""What a report says of a network and of one of its predictions, sub-pixel by sub-pixel."""

import itertools

import pytest
import torch
from leaks import Base, WrongMaskType
from nets import NETS, net_of

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.readiness.report import CHARACTERS, Sight, examine
from pixkit.testing import influence, random_images

GREY, COLOUR = ImageSpec(1, 3, 4, 2), ImageSpec(3, 2, 3, 3)


class Branching(Base):
    """Branches on values, so that it cannot be traced; what it gives is the same either way."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h + 0 if h.sum() > 0 else h


def by_swaps(net, pixel):
    """What each sub-pixel is to the prediction of one, by finite swaps; the network is the report's own."""
    steps, group = net.ordering.steps, pixel[0] % net.ordering.groups
    seen = influence(net, random_images(net.spec, 8))[group, pixel[1], pixel[2]]
    expected = torch.zeros(net.spec.shape, dtype=torch.int64)
    for place in itertools.product(*map(range, net.spec.shape)):
        earlier = bool(steps[place] < steps[pixel])
        if seen[place]:
            expected[place] = Sight.SEEN if earlier else Sight.LEAK
        elif earlier:
            expected[place] = Sight.BLIND
        else:
            expected[place] = Sight.ITSELF if place == pixel else Sight.LATER
    return expected


@pytest.mark.parametrize("pixel", [None, (0, 0, 0), (2, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("colours", ["sequential", "joint"])
@pytest.mark.parametrize("cls", [NETS["Plain"], WrongMaskType], ids=["sound", "leaking"])
def test_what_a_prediction_sees_is_what_swaps_show(cls, colours, pixel):
    net = net_of(cls, COLOUR, colours=colours)
    report = examine(net, pixel)
    place = (2, 1, 1) if pixel is None else pixel
    expected = by_swaps(net, place)
    assert report.pixel == place and report.step == net.ordering.steps[place]
    assert torch.equal(report.sight, expected)
    assert {kind: report.count(kind) for kind in Sight} == {kind: int((expected == kind).sum()) for kind in Sight}
    said = report.dump()
    text = [["".join(CHARACTERS[Sight(value)] for value in row) for row in colour] for colour in expected.tolist()]
    assert said["field"] == text and said["pixel"] == list(place) and said["step"] == report.step
    assert said["may_see"] == int((net.ordering.steps < report.step).sum()) == said["sees"] + said["blind_spot"]
    assert said["sees_too_early"] == report.count(Sight.LEAK)
    assert said["ordering"] == {"type": "Raster", "colours": colours, "steps": 18 if colours == "sequential" else 6}
    assert said["backbone"] == cls.__name__ and said["operations"] == len(report.trace.operations)


def test_a_leak_is_told_from_the_pixel_to_the_prediction():
    said = examine(net_of(WrongMaskType, GREY)).dump()
    assert said["verdict"] == "leaks" and said["blamed"] == "backbone.stem (MaskedConv2d)"
    assert "not causal" in said["problem"] and "colour 0" in said["probe"]["leak"] and said["probe"]["swaps"] == 12
    labels = [step["operation"] for step in said["path"]]
    assert labels[0].startswith("x ") and labels[-1].startswith("projection ") and said["blamed"] in labels
    first, last = said["path"][0], said["path"][-1]
    assert [step["colour_group"] for step in said["path"]] == [0] * len(labels)
    assert (first["row"], first["column"]) == (last["row"], last["column"]) == (0, 0), "the first site sees itself"


def test_a_sound_network_is_proved_and_one_that_cannot_be_traced_is_not():
    said = examine(net_of(NETS["Plain"], GREY)).dump()
    assert said["verdict"] == "proved" and said["probe"] == {"swaps": 12, "leak": None}
    assert said["problem"] is said["path"] is said["blamed"] is None
    report = examine(net_of(Branching, GREY))
    said = report.dump()
    assert said["verdict"] == "unproved" and "cannot be traced" in said["problem"]
    assert said["operations"] is said["path"] is said["blamed"] is said["field"] is report.sight is None
    assert (said["may_see"], said["sees"], said["blind_spot"], said["sees_too_early"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("pixel", [(1, 0, 0), (-1, 0, 0), (0, 3, 0), (0, -1, 0), (0, 0, 4), (0, 0, -1)])
def test_a_sub_pixel_that_is_not_there_is_refused(pixel):
    with pytest.raises(UsageError, match="there is no such sub-pixel") as caught:
        examine(net_of(NETS["Plain"], GREY), pixel)
    assert caught.value.found == ",".join(map(str, pixel))
    assert caught.value.expected == "colour, row, column below 1, 3, 4"
