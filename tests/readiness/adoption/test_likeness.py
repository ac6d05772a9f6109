"""Tables of addresses that are alike: what was found of one is kept for the others, and comes to the same."""

import pytest
import torch
from torch import fx

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.layout import Layout
from pixkit.readiness.adoption.likeness import Likenesses

pytestmark = pytest.mark.quick


@pytest.fixture
def builder():
    return Builder(2, torch.float32)


def operation(builder, maps=4, grid=(1, 3), **kinds):
    node = builder.graph.placeholder(f"x{len(builder.space.sources)}")
    source, addresses = builder.space.operation(node, maps, grid, **{"static": False, **kinds})
    builder.sources[node] = source
    return addresses


def count_of(likenesses, *asked):
    """How often something was looked for."""
    looks = []
    for operands in asked:
        likenesses.remembered("it", operands, lambda: looks.append(1))
    return len(looks)


def test_the_same_view_of_another_operation_of_that_shape_is_alike(builder):
    one, other = operation(builder), operation(builder)
    view = lambda x: x.transpose(1, 2)[:, :, 1:3]  # noqa: E731
    assert count_of(builder.space.likenesses, [view(one)], [view(other)], [view(one)]) == 1


@pytest.mark.parametrize("changed", [
    {"maps": 5}, {"grid": (3, 1)}, {"static": True}, {"groups": 2},
])  # fmt: skip
def test_operations_of_another_kind_are_not_alike(builder, changed):
    one, other = operation(builder), operation(builder, **changed)
    assert count_of(builder.space.likenesses, [one[:, :4]], [other[:, :4]]) == 2


def test_other_views_and_what_is_copied_are_not_alike(builder):
    one = operation(builder)
    views = [
        [one],
        [one[:, 1:]],
        [one[:, :3]],
        [one[:, 2:].flip(2)],
        [one.transpose(1, 2)],
        [one.clone()],
        [one.clone()],
    ]
    assert count_of(builder.space.likenesses, *views) == len(views)


def test_two_of_one_operation_are_not_like_two_of_two(builder):
    one, other, third = operation(builder), operation(builder), operation(builder)
    asked = [[one, other], [other, third], [one, one], [third, third], [one, other, one], [one, other, other]]
    assert count_of(builder.space.likenesses, *asked) == 4


def test_what_is_found_is_asked_by_its_name(builder):
    likenesses, one = builder.space.likenesses, operation(builder)
    assert [likenesses.remembered(name, [one], lambda name=name: name) for name in "aba"] == ["a", "b", "a"]
    assert likenesses.remembered("a", [one], lambda: "new") == "a"


def test_memory_that_is_gone_is_forgotten():
    likenesses = Likenesses()
    for _ in range(50):  # of which some will lie where others did
        likenesses.note(torch.arange(1000), object())
        assert likenesses.source(torch.zeros(1000, dtype=torch.int64)) is None


def test_an_order_is_found_once_and_the_same_by_another_way(builder):
    one, other, places = operation(builder), operation(builder), []

    def scattered(what, addresses):
        def place():
            places.append(what)
            return addresses.flip(1).contiguous()

        return builder.space.likenesses.placed(what, addresses, place)

    turned = [scattered(what, addresses) for what, addresses in (("a", one), ("a", other), ("b", other))]
    for found, addresses in zip(turned, (one, other, other), strict=True):
        assert torch.equal(found, addresses.flip(1))
    assert places == ["a", "b"]
    assert count_of(builder.space.likenesses, *[[x[:, 1:]] for x in turned]) == 1
    assert scattered("c", one.clone()).equal(one.flip(1)) and places == ["a", "b", "c"]


def test_what_was_read_of_one_is_read_of_the_other(builder):
    """All of an operation, a run of its maps, and maps in another order, which makes an operation anew."""
    one, other = operation(builder), operation(builder)
    nodes = [builder.sources and builder.space.likenesses.source(x).node for x in (one, other)]
    whole = Layout(torch.arange(24).view(2, 4, 3), (1, 3), 1)
    run = Layout(torch.arange(12).view(2, 2, 3), (1, 3), 1)
    turned = Layout(torch.arange(24).view(2, 4, 3).flip(1), (1, 3), 1)
    assert [builder.read(x, whole) for x in (one, other, one)] == [nodes[0], nodes[1], nodes[0]]
    parts = [builder.read(x[:, 1:3], run) for x in (one, other, one)]
    assert parts[0] is parts[2] is not parts[1]
    assert [part.args[0].args for part in parts[:2]] == [(node, [1, 2, 1], 1) for node in nodes]
    told = [(builder.sources[part].maps, builder.sources[part].grid, builder.sources[part].static) for part in parts]
    assert told == [(2, (1, 3), False)] * 3
    ranges = [builder.read(one[:, first : first + 2], run) for first in (0, 1, 2)]
    assert [(part.args[0].args[1], part.args[1]) for part in ranges] == [([2, 2], 0), ([1, 2, 1], 1), ([2, 2], 1)]
    made = [builder.read(x, turned) for x in (one, other)]
    assert [node.op for node in made] == ["call_module"] * 2 and [node.args for node in made] == [(x,) for x in nodes]
    assert all(isinstance(node, fx.Node) for node in made)
