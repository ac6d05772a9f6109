"""Networks of every shape: the strict kernel and numpy give the same bits, which are the network's but for rounding."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from leaks import WrongMaskType
from nets import NETS, net_of
from teacher import COLOUR, GREY

from pixkit.codec import attention, freezing, portable, strict
from pixkit.codec.freezing import freeze
from pixkit.codec.frozen import NUMBERS, Frozen, Operation
from pixkit.codec.packing import Packer
from pixkit.codec.portable import PortableWalk
from pixkit.codec.strict import StrictWalk
from pixkit.codec.trial import trial, trials_of_heads
from pixkit.codec.walk import Walk
from pixkit.errors import CausalityError, DataError, UsageError
from pixkit.heads.softmax import Softmax
from pixkit.testing.parts import random_images

RUN = sorted({*NETS} - {"Revealed"})


def parameters(kind, program, x):
    """All that the walk computes of the images' parameters, step by step, [sub-pixels, B, K]."""
    walk = kind(program, len(x))
    walk.levels[:] = x.flatten(2).permute(2, 0, 1).numpy()
    found = {}
    for step in range(len(program.steps) - 1):
        walk.advance(step)
        for draw in range(program.draws[step], program.draws[step + 1]):
            site = program.drawn[draw]
            found |= {(site, c): walk.logits(site, c).copy() for c in np.flatnonzero(program.due[draw])}
    return np.stack([found[key] for key in sorted(found)])


@pytest.mark.needs_compiler
@pytest.mark.parametrize(("name", "spec"), [*((name, COLOUR) for name in RUN), ("Gated", GREY)])
def test_numpy_gives_the_kernels_bits(name, spec, monkeypatch):
    monkeypatch.setattr(portable, "AT_ONCE", 500)  # sums go on from one call's products to the next one's
    network = net_of(NETS[name], spec).float().eval()
    x = random_images(spec, 5)
    program = freeze(network)
    found = parameters(PortableWalk, program, x)
    assert (found.view(np.int32) == parameters(StrictWalk, program, x).view(np.int32)).all()
    alone = parameters(StrictWalk, program, x[2:3])
    assert (found[:, 2:3].view(np.int32) == alone.view(np.int32)).all()
    with torch.no_grad():
        expected = network.double()(x).flatten(2).unflatten(1, (-1, spec.channels)).permute(3, 2, 0, 1).flatten(0, 1)
    assert np.abs(found - expected.numpy()).max() < 1e-4 * max(1, float(expected.abs().max()))


class Rows(Walk):
    """Whose units are their site's number and their own."""

    def begin(self):
        """Nothing is computed."""

    advance = begin

    def row(self, site):
        return 100 * site + np.arange(48)[None]


@pytest.mark.parametrize(
    ("groups", "varies", "expected"), [(1, True, [204, 205]), (2, True, [204, 209]), (2, False, [4, 9])]
)
def test_parameters_are_those_of_a_colour_at_a_site_or_of_all_sites(groups, varies, expected):
    program = trials_of_heads()[0]  # two colours, a logit each
    places = (program.places[0], replace(program.places[1], first=4, group=5, varies=varies))
    walk = Rows(replace(program, places=places, groups=groups), 1)
    assert [walk.logits(2, colour).tolist() for colour in range(2)] == [[[each]] for each in expected]
    assert walk.params(2)[0].tolist() == [*range(expected[0], expected[0] + 2 // groups)]


@pytest.mark.needs_compiler
def test_images_that_a_model_holds_for_all_but_impossible_have_room_for_their_words(monkeypatch):
    """299 has an unlikely digit after 0, another after 256, and the third after 288: more words than levels."""
    program = trials_of_heads()[-1]
    *others, last = program.operations
    bias = np.zeros_like(last.bias)
    bias[:, :3], bias[:, 9:15] = [0, -13, -26], -5
    bias[:, 3:9] = np.repeat([0, 256, 288], 2) / 149.5 - 1  # each is next to certain of a digit
    program = replace(program, operations=(*others, replace(last, weight=0 * last.weight, bias=bias)))
    levels, words = np.full((program.count, 9, 2), 299), []
    rooms, zeros = [], np.zeros
    monkeypatch.setattr(strict.np, "zeros", lambda *given: rooms.append(zeros(*given)) or rooms[-1])
    for kind in (StrictWalk, PortableWalk):
        kind(program, 9).encode(levels, packer := Packer())
        words.append(packer.finish())
    room = next(each for each in rooms if each.dtype == np.uint32)
    assert words[0] == words[1] and levels.size < len(words[0]) <= len(room) <= 3 * levels.size + 2


def test_logits_that_are_no_numbers_count_as_nothing_where_attention_is_masked_as_in_the_kernel():
    logits = np.array([[0, np.nan, 0, -np.inf], [np.nan, 0, 0, 0]], np.float32)
    found = attention.softmax(logits.T, masked=True).T
    assert np.array_equal(found[0], [0.5, 0, 0.5, 0]) and np.isnan(found[1, 1:]).all()


@pytest.mark.parametrize("bias", [False, True])
def test_attention_is_of_the_keys_that_a_query_sees_and_of_no_others(bias):
    """Of four places the first query sees the second and third, the second one the last two."""
    heads, inner, count, places, batch = 2, 3, 4, 4, 2
    generator = np.random.default_rng(0)
    units = [generator.normal(size=(places, heads * maps, batch)).astype(np.float32) for maps in (inner, inner, count)]
    units[1][2], units[2][2] = np.nan, 1e30  # which nothing sees
    units[2][3] *= 1e36 if bias else 1  # more than the least weight takes away
    out = np.empty((2, heads * count, batch), np.float32)
    order, seen, first, fresh = [2, 0, 3, 1], [[1, 3], [2, 4]], [0, 3, 4], [1, 0, 2, 3]
    added = generator.normal(size=(1, 2, places)).astype(np.float32)
    added[0, 0, 2] = -np.inf
    table = np.array([*order, *np.ravel(seen), *first, *fresh], np.int32)
    numbers = dict.fromkeys(NUMBERS, 0) | {
        "out": 3, "in1": 1, "in2": 2, "taps": heads, "inner": inner, "count": count, "grid": places, "queries": 2,
        "alpha": 0.5, "width": 1,
    }  # fmt: skip
    op = Operation("ATTEND", **numbers, table=table, bias=added if bias else None)
    walk = SimpleNamespace(units=lambda place, position, site, group, maps: [*units, out][place][site])
    attends = attention.Attention(op, batch)
    for site in range(2):
        attends.attend(walk, 0, site)
        sees = [order[place] for place in range(*seen[site])]
        query = units[0][site].reshape(heads, inner, batch)
        keys, values = (units[each][sees].reshape(2, heads, -1, batch) for each in (1, 2))
        logits = 0.5 * np.einsum("hib,khib->khb", query, keys)
        logits = logits + (added[0, site, slice(*seen[site]), None, None] if bias else 0)
        weights = np.exp(logits - logits.max(0)) / np.exp(logits - logits.max(0)).sum(0)
        expected = np.einsum("khb,khcb->hcb", weights, values).reshape(-1, batch)
        assert np.allclose(out[site], expected, rtol=1e-4, atol=1e-5)
    units[1][0] = np.nan
    attends = attention.Attention(op, batch)
    attends.attend(walk, 0, 0)
    if not bias:  # as in the kernel, where what is no number counts as nothing only among biases
        assert np.isnan(out[0]).all()


def test_a_program_is_the_same_after_it_was_written_and_read():
    program = freeze(net_of(NETS["Attending"], COLOUR).float().eval())
    data = program.to_bytes()
    assert Frozen.from_bytes(data).to_bytes() == data
    x = random_images(COLOUR, 1)
    assert (parameters(PortableWalk, program, x) == parameters(PortableWalk, Frozen.from_bytes(data), x)).all()
    for damaged in (b"", data[:100], data[:-1], data.replace(b'"format":1', b'"format":2')):
        with pytest.raises(DataError, match="codec file"):
            Frozen.from_bytes(damaged)


@pytest.mark.needs_compiler
def test_a_level_that_an_encoder_has_not_chosen_yet_is_read_as_0():
    program = trial()
    for kind in (PortableWalk, StrictWalk):
        found = []
        for level in (-1, 0, 1):
            walk = kind(program, 2)
            walk.levels[:] = level
            walk.advance(0)
            found.append(np.stack([walk.logits(site, 0) for site in range(program.count)]))
        assert np.array_equal(found[0], found[1]) and not np.array_equal(found[1], found[2])


def test_what_has_no_portable_arithmetic_is_refused(monkeypatch):
    def said_of(name="Plain", change=torch.nn.Module.float, labels=0):
        with pytest.raises(UsageError) as caught:
            freeze(change(net_of(NETS[name], COLOUR)).eval(), labels)
        assert caught.value.message == "there is no codec for such a model"
        return caught.value.found, caught.value.expected

    assert said_of("Revealed") == (
        "no instruction for backbone.free.2 (GroupNorm)",
        "operations that the native executor supports",
    )
    assert said_of(change=torch.nn.Module.double) == ("torch.float64 on cpu", "torch.float32 on a CPU")
    assert said_of(labels=3) == ("a network with a context", "one with only images, or with labels")
    with monkeypatch.context() as patch:
        patch.setattr(freezing, "PORTABLE", freezing.PORTABLE - {"LINEAR", "EMBED"})
        assert said_of() == ("EMBED, LINEAR", "operations that need no mathematical library")
    for kind in ("other", None, "mixture"):
        monkeypatch.setattr(Softmax, "inverse", kind)
        assert said_of() == ("a Softmax head", "softmax, Bernoulli, or a mixture of logistics or normals")


def test_a_network_that_sees_what_it_predicts_has_no_codec():
    """Of what it codes, it could decode nothing."""
    with pytest.raises(CausalityError, match="ready too late"):
        freeze(net_of(WrongMaskType, GREY).float().eval())
