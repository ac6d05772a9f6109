"""In which order an array's axes are: the only possible one, or an error that says how it could be read."""

import numpy as np
import pytest

from pixkit.data.layout import as_array, as_images, axes_of, orders_of, oriented, size_in, unflattened
from pixkit.image import ImageSpec

UNFIT = "the array's shape does not fit the layout"
NAMES = "data.layout is NHWC, NCHW, NCWH, NHW or NWH"
DECIDES = "data.layout=NHWC or data.layout=NCHW decides"
BOTH = "1, 3 or 4 channels, as the second axis or as the last, not both"


@pytest.mark.parametrize(
    ("shape", "layout", "axes"),
    [
        ((9, 5, 7), "auto", (0, 1, 2)),
        ((9, 5, 7), "NWH", (0, 2, 1)),
        ((9, 5, 7, 1), "auto", (0, 3, 1, 2)),
        ((9, 5, 7, 3), "auto", (0, 3, 1, 2)),
        ((9, 4, 7, 2), "auto", (0, 1, 2, 3)),
        ((9, 3, 5, 3), "NHWC", (0, 3, 1, 2)),
        ((9, 3, 5, 3), "NCHW", (0, 1, 2, 3)),
        ((9, 3, 5, 3), "NCWH", (0, 1, 3, 2)),
    ],
)
def test_axes_are_the_only_possible_ones_or_those_given(shape, layout, axes):
    assert axes_of(shape, layout, "x") == axes
    array = np.arange(np.prod(shape)).reshape(shape)
    images = as_images(array, axes)
    own = [shape[axis] for axis in axes]
    assert list(images.shape) == (own if len(own) == 4 else [own[0], 1, *own[1:]])
    assert np.array_equal(as_array(images, axes), array)


@pytest.mark.parametrize(
    ("shape", "layout", "said"),
    [
        ((9, 35), "auto", (UNFIT, "(9, 35)", "NHW, 3 non-empty axes",
                           "data.shape=[3, 32, 32] gives an image's shape")),
        ((9, 0), "auto", (UNFIT, "(9, 0)", "NHW, 3 non-empty axes", NAMES)),
        ((9, 5, 0), "NWH", (UNFIT, "(9, 5, 0)", "NWH, 3 non-empty axes", NAMES)),
        ((0, 5, 7, 3), "auto", (UNFIT, "(0, 5, 7, 3)", "NHW, 3 non-empty axes",
                                NAMES)),
        ((9, 5, 7), "NCHW", (UNFIT, "(9, 5, 7)", "NCHW, 4 non-empty axes", NAMES)),
        ((9, 3, 5, 1), "auto", ("the array can be read in two ways",
                                "(9, 3, 5, 1): NHWC has 1 channel of 3x5; NCHW has 3 channels of 5x1", BOTH, DECIDES)),
        ((9, 5, 6, 7), "auto", ("no axis of the array has a possible number of channels",
                                "(9, 5, 6, 7): NHWC has 7 channels of 5x6; NCHW has 5 channels of 6x7", BOTH, None)),
    ],
)  # fmt: skip
def test_a_shape_without_a_layout_is_refused(said_of, shape, layout, said):
    found = said_of(lambda: axes_of(shape, layout, "x"))
    assert found[:3] == said[:3]
    assert found[3].startswith(f"{DECIDES}; ") if said[3] is None else found[3] == said[3]


@pytest.mark.parametrize(
    ("shape", "found", "layouts"),
    [
        ((9, 7, 5), "(9, 7, 5), in MATLAB 5x7x9", ("NWH", "height x width x number", "NHW")),
        ((9, 3, 7, 5), "(9, 3, 7, 5), in MATLAB 5x7x3x9", ("NCWH", "height x width x channels x number", "NCHW")),
    ],
)
def test_the_layout_of_matlab_is_asked_for(said_of, shape, found, layouts):
    message, *rest, hint = said_of(lambda: axes_of(shape, "auto", "x", column_major=True))
    assert message.startswith("MATLAB stores") and rest == [
        found, "an explicit layout: the order of the axes in the file"
    ]  # fmt: skip
    assert hint.startswith("data.layout={} if it is {} in MATLAB, {} if it was permuted".format(*layouts))
    assert axes_of(shape, layouts[0], "x", column_major=True)[-2:] == (len(shape) - 1, len(shape) - 2)


def test_flat_images_have_the_shape_that_is_given(said_of):
    assert unflattened((9, 35), [5, 7], "x") == (9, 5, 7)
    assert unflattened((9, 105), [5, 7, 3], "x") == (9, 5, 7, 3)
    for shape in ((9, 36), (35,), (9, 5, 8)):
        found = said_of(lambda shape=shape: unflattened(shape, [5, 7], "x"))
        assert found[1:3] == (str(shape), "35 an image: 5 x 7")
        assert found[3] == "data.shape is that of one image, in the order of data.layout"


GREY, COLOUR = ImageSpec(1, 5, 7, 9), ImageSpec(3, 5, 7, 9)


@pytest.mark.parametrize(
    ("spec", "shape", "orders"),
    [
        (GREY, (5, 7), [(None, None, 0, 1)]),
        (GREY, (2, 5, 7), [(0, None, 1, 2)]),
        (GREY, (1, 5, 7), [(0, None, 1, 2), (None, 0, 1, 2)]),
        (GREY, (5, 7, 1), [(None, 2, 0, 1)]),
        (GREY, (2, 1, 5, 7), [(0, 1, 2, 3)]),
        (GREY, (2, 5, 7, 1), [(0, 3, 1, 2)]),
        (COLOUR, (3, 5, 7), [(None, 0, 1, 2)]),
        (COLOUR, (5, 7, 3), [(None, 2, 0, 1)]),
        (COLOUR, (2, 3, 5, 7), [(0, 1, 2, 3)]),
        (COLOUR, (2, 5, 7, 3), [(0, 3, 1, 2)]),
        (ImageSpec(3, 3, 3, 9), (3, 3, 3), [(None, 0, 1, 2), (None, 2, 0, 1)]),
    ],
)
def test_an_array_has_images_of_a_model_in_these_orders(said_of, spec, shape, orders):
    assert orders_of(shape, spec, "x") == orders
    array = np.zeros(shape, int)
    assert oriented(array, orders, spec, "x").shape == (2 if shape[0] == 2 else 1, *spec.shape)
    if shape == (5, 7, 1):  # or five images
        assert said_of(lambda: size_in(shape, 1, "x"))[0] == "the array can be read in two ways"
    else:
        assert size_in(shape, spec.channels, "x") == (spec.height, spec.width)


def test_other_shapes_are_no_images_of_a_model(said_of):
    several = "(3, 5, 7), or several of these; channels may come last"
    message = "the array's shape does not fit the model's images"
    for shape in ((5, 7), (2, 5, 7), (7, 5, 3), (2, 3, 7, 5), (1, 2, 3, 5, 7), (2, 7, 5, 3)):
        assert said_of(lambda shape=shape: orders_of(shape, COLOUR, "x")) == (message, str(shape), several, None)
    for shape in ((0, 3, 5, 7), (3, 0, 7)):
        found = said_of(lambda shape=shape: orders_of(shape, COLOUR, "x"))
        assert found == ("an array without an image", str(shape), several, None)


def test_images_of_any_size_have_one_size(said_of):
    assert size_in((9, 3, 5, 7), 3, "x") == size_in((5, 7, 3), 3, "x") == size_in((9, 5, 7), 1, "x") == (5, 7)
    assert size_in((3, 3, 3), 3, "x") == (3, 3)
    expected = "(3, height, width), or several of these; channels may come last"
    none = "the array contains no images for this model"
    for shape, message in (
        ((5, 7), none), ((9, 5, 7), none), ((1, 1, 3, 5, 7), none),
        ((9, 3, 5, 3), "the array can be read in two ways"),
    ):  # fmt: skip
        assert said_of(lambda shape=shape: size_in(shape, 3, "x")) == (message, str(shape), expected, None)


def test_of_two_orders_both_must_give_the_same_images(said_of):
    spec = ImageSpec(3, 3, 3, 9)
    orders = orders_of((3, 3, 3), spec, "x")
    same = np.full((3, 3, 3), 4)
    assert np.array_equal(oriented(same, orders, spec, "x")[0], same)
    found = said_of(lambda: oriented(np.arange(27).reshape(3, 3, 3), orders, spec, "x"))
    assert found[1] == "(3, 3, 3)"
    one = oriented(np.arange(105).reshape(5, 7, 3), [(None, 2, 0, 1)], COLOUR, "x")
    assert one[0, 2, 4, 6] == 104 and one[0, 1, 0, 2] == 7
