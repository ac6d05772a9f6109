"""Whether a layer that says it is pointwise gives for sites of an image what it gives for single ones."""

import pytest
import torch
import torch.nn.functional as F
from leaks import COLOUR, GREY, Base
from nets import net_of
from torch import nn

from pixkit.layers import ConcatenatedELU
from pixkit.layers.base import PointwiseLayer
from pixkit.readiness.alone import TOLERANCE, mixes_colours, read_elsewhere
from pixkit.readiness.law import find_leak, law_error
from pixkit.readiness.trace import Trace

pytestmark = pytest.mark.quick
NAN = float("nan")


class Plugged(PointwiseLayer):
    """A plugin's layer with this forward."""

    def __init__(self, forward):
        super().__init__()
        self.does = forward

    def forward(self, *inputs):
        return self.does(*inputs)


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def failing(error):
    """Fails for a single site."""

    def forward(x):
        if x.shape[3] == 1:
            raise error("too small")
        return x

    return forward


def differing(x, amount):
    """Gives more for a single site, by a fraction of the largest value there."""
    return x + amount * x.abs().amax() if x.shape[3] == 1 else x


def written(x):
    """Counts in its input how often it was called with it."""
    return x.add_(1)


def shifted(x, down, right):
    """Of each site, the value of the one so far below and to the right; zeros where there is none."""
    return F.pad(x, (-right, right, -down, down))


X = drawn(2, 3, 4, 5)
EACH = {
    "itself": (lambda x: 2 * x, False),
    "its maps": (lambda x: x.softmax(1), False),
    "other rows": (lambda x: x + x.flip(2), True),
    "other columns": (lambda x: x + x.flip(3), True),
    "other images": (lambda x: x + x.flip(0), True),
    **{f"the site {down} below and {right} to the right": (lambda x, shift=(down, right): x + shifted(x, *shift), True)
       for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)},
    "a neighbour of one site": (lambda x: x + (torch.arange(x.shape[3]) == 1) * shifted(x, 1, 1), True),
    "statistics of all images": (lambda x: x - x.mean((0, 2, 3), keepdim=True), True),
    "the mean of all": (lambda x: x - x.mean((2, 3), keepdim=True), True),
    "the largest value": (lambda x: x / x.amax(), True),
    "half of the maps": (lambda x: x[:, :1], False),
    "the number of columns": (lambda x: x.repeat(1, x.shape[3], 1, 1), True),
    "no tensor": (lambda x: (x, x.flip(3)), False),
    "no tensor for a site": (lambda x: x if x.shape[3] > 1 else None, True),
    "its own input, written": (written, False),
    "rounding": (lambda x: differing(x, TOLERANCE / 2), False),
    "more than rounding": (lambda x: differing(x, TOLERANCE * 2), True),
    "NaN": (lambda x: torch.where(x > 9, x, NAN), False),
    "NaN beside numbers": (lambda x: torch.cat([x, x * NAN, differing(x, 0.01)], 1), True),
    "NaN for a site": (lambda x: x if x.shape[3] > 1 else x * NAN, True),
    **{f"{error.__name__} for a site": (failing(error), True)
       for error in (RuntimeError, ValueError, IndexError, AssertionError)},
}  # fmt: skip


@pytest.mark.parametrize("name", EACH)
def test_what_reads_elsewhere_is_noticed(name):
    forward, elsewhere = EACH[name]
    given = X.clone()
    assert read_elsewhere(Plugged(forward), [given]) is elsewhere
    assert torch.equal(given, X)


def test_other_errors_are_no_answer():
    with pytest.raises(ZeroDivisionError):
        read_elsewhere(Plugged(failing(ZeroDivisionError)), [X])


def test_several_inputs_are_cut_to_the_last_site_of_the_last_image():
    """Labels are one for each image, or one for all; numbers and vectors of the maps stay as they are."""
    by = drawn(3, 1, 1), 2.0
    for label in (drawn(2, 3, 1, 1), drawn(1, 3, 1, 1), drawn(2, 3, 4, 1), drawn(2, 3, 4, 5)):
        for turned in (False, True):
            layer = Plugged(lambda x, other, more, by, turned=turned: (x.flip(2) if turned else x) * other * more * by)
            assert read_elsewhere(layer, [X, label, *by]) is turned


def test_only_layers_of_plugins_that_say_so_are_tried():
    def never(x):
        raise ZeroDivisionError

    class Other(nn.Module):
        """A plugin's, of which nothing is known."""

    own, other = ConcatenatedELU(), Other()
    own.forward = other.forward = never
    assert not any(read_elsewhere(module, [X]) for module in (None, own, other))


MAPS = drawn(2, 6, 2, 3)
COLOURS = {
    "itself": (lambda x: 2 * x, []),
    "maps three apart": (lambda x: x + x.roll(3, 1), [2]),
    "halves": (lambda x: x[:, :3] * x[:, 3:], [2]),
    "thirds": (lambda x: x[:, :2] + x[:, 2:4] * x[:, 4:], [3]),
    "all maps": (lambda x: x.softmax(1), [2, 3]),
    "the norm of all maps": (lambda x: x / x.norm(dim=1, keepdim=True), [2, 3]),
    "the first map": (lambda x: x + x[:, :1], [2, 3]),
    "the last map in the last one": (lambda x: torch.cat([x[:, :5], x[:, 5:] * x[:, 4:5]], 1), [2, 3]),
    "what is smaller than rounding": (lambda x: x + x[:, :1] * 1e-5, []),
    "a colour that fails beside another's": (lambda x: failing_unless(x, MAPS), [2, 3]),
}  # fmt: skip


def failing_unless(x, expected):
    if not torch.equal(x, expected):
        raise ValueError
    return x


@pytest.mark.parametrize("name", COLOURS)
def test_what_mixes_colours_is_noticed(name):
    forward, mixing = COLOURS[name]
    given = MAPS.clone()
    assert [groups for groups in (1, 2, 3) if mixes_colours(Plugged(forward), [given], groups)] == mixing
    assert torch.equal(given, MAPS)


def test_maps_that_are_one_for_all_are_left_as_they_are():
    shade = Plugged(lambda x, one, by: x * one * by)
    assert not mixes_colours(shade, [MAPS, drawn(2, 1, 2, 3), 2.0], 3)
    assert not mixes_colours(shade, [MAPS, drawn(2, 6, 1, 1), 2.0], 3)
    assert not mixes_colours(None, [MAPS], 3) and not mixes_colours(nn.Softmax(1), [MAPS], 3)


def test_a_network_with_a_layer_that_mixes_colours_and_does_not_say_so_is_not_proved():
    class Mixing(Base):
        says = False

        def plant(self, spec):
            self.bad = Plugged(lambda x: x.softmax(1))
            self.bad.mixes_colours = self.says

    class Saying(Mixing):
        says = True

    for cls in (Mixing, Saying):
        leak = find_leak(Trace(net_of(cls, COLOUR)))
        assert leak.blamed.label == "backbone.bad (Plugged)" and leak.blamed.kind == "channels"
    assert find_leak(Trace(net_of(Mixing, GREY))) is None


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (-1, 1)])
@pytest.mark.usefixtures("nothing_adopted")
def test_a_network_with_a_layer_that_reads_a_neighbour_is_not_proved(down, right):
    class Peeking(Base):
        def plant(self, spec):
            self.bad = Plugged(lambda x: x + shifted(x, down, right))

    trace = Trace(net_of(Peeking, GREY))
    leak = find_leak(trace)
    assert leak.blamed.label == "backbone.bad (Plugged)"
    assert "backbone.bad (Plugged) does not give for each site of an image" in law_error(trace, leak).message
