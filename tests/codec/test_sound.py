"""What is read from a file leads nowhere: every number of a program at its bound fits, and beyond it is refused."""

from dataclasses import replace

import numpy as np
import pytest

from pixkit.codec import sound
from pixkit.codec.elementary import ELEMENTS
from pixkit.codec.frozen import NUMBERS, Frozen, Memory, Mixture, Operation, Place
from pixkit.codec.portable import KINDS
from pixkit.codec.sound import check
from pixkit.codec.trial import trial, trials_of_heads
from pixkit.errors import DataError

FIRST, APART = 3, 50
"""Where a place begins, and how far apart its groups are."""
PAIRS = np.array([[0, -1], [1, 0], [4, 1]])
"""Two sites that each of three reads, up to the fifth."""
FAR = np.array([[4, -1, -2], [2, -2, -1]])
"""For each group and site, a site of which it copies; -1 for zeros, -2 for nothing."""
MOVED = np.array([[[[4, 1, 11], [0, 0, 3], [-2, 9, 99]]] * 3, [[[1, 0, 5]] * 3] * 3])
"""For each group, site and map, the site, group and map it is taken from; -2: nowhere."""
ALL = dict.fromkeys(("out", "in0", "in1", "in2"), (10, 3))
GIVEN = {
    **dict.fromkeys(("ADD", "RELU", "ADDCMUL"), ({}, ALL)),
    **dict.fromkeys(sound.SCALED, ({"weight": (2, 10), "bias": (2, 10)}, ALL)),
    "LINEAR": (
        {"taps": 2, "inner": 20, "width": 16, "grid": 3, "table": np.stack([PAIRS] * 2)}
        | {"weight": (2, 2, 20, 16), "bias": (2, 16)},
        {"in0": (20, 5), "out": (16, 3)},
    ),
    "EMBED": ({"taps": 16, "inner": 20, "weight": (2, 16, 20)}, {"out": (20, 3)}),
    "GATHER": ({"grid": 3, "to": 8, "count": 9, "table": FAR}, {"in0": (9, 5), "out": (17, 3)}),
    "REARRANGE": ({"grid": 3, "count": 3, "table": MOVED}, {"in0": (12, 5), "out": (3, 3)}),
    "SUM": (
        {"grid": 3, "taps": 2, "table": PAIRS, "weight": (3, 2), "bias": (3,)},
        {"in0": (10, 5), "out": (10, 3)},
    ),
    "LSTM": (
        {"grid": 3, "table": np.array([[3, 0, 1], [0, 1, 2]])},
        {"in0": (40, 3), "in1": (40, 3), "in2": (10, 4), "out": (10, 3)},
    ),
    "COPY": ({"first": 5, "to": 8, "count": 9}, {"in0": (14, 3), "out": (17, 3)}),
    "CONSTANT": ({"grid": 3, "to": 8, "count": 9, "weight": (2, 3, 9)}, {"out": (17, 3)}),
    "CONCATENATED_ELU": ({}, {"in0": (5, 3), "out": (10, 3)}),
    **dict.fromkeys(("MAXOUT", "GLU"), ({}, {"in0": (20, 3), "out": (10, 3)})),
}
"""Of each kind, what an operation of two groups and three sites is given, and the maps and sites its operands need."""


def operation(kind, **given):
    arrays = {name: value for name, value in given.items() if name in ("table", "weight", "bias")}
    made = {name: np.zeros(each, np.float32) if name != "table" else np.int32(each) for name, each in arrays.items()}
    return Operation(kind, **{**dict.fromkeys(NUMBERS, 0), "alpha": 1.0, "beta": 0.0, **given, **made})


def program(*then, given=None):
    """Levels of 2 colours in 2 groups and 3 sites, their entries, sums of these, and other operations."""
    stem, sums = Place(0, 0, True, 20, 20, False), Place(1, 0, True, 16, 16, False)
    table = np.stack([PAIRS % 3] * 2)
    linear = {"taps": 2, "inner": 20, "width": 16, "grid": 3, "table": table, "weight": (2, 2, 20, 16), "bias": (2, 16)}
    operations = [operation("EMBED", taps=16, inner=20, weight=(2, 16, 20)), operation("LINEAR", out=1, **linear)]
    operations += then
    leading, number = [], 0
    while number < len(operations):
        leading.append(number)
        number += 1 + operations[number].fused
    rows = [(number, group, 3, 0) for number in leading for group in range(2)]
    found = {
        **{"shape": (2, 1, 3), "levels": 16, "groups": 2, "head": "softmax", "params": 1, "places": (stem, sums)},
        **{"memories": (Memory(3, 40), Memory(3, 32)), "operations": tuple(operations), "due": np.ones((3, 2), int)},
        **{"instructions": np.array(rows), "steps": np.array([0, len(rows)]), "sites": np.arange(3)},
        **{"draws": np.array([0, 3]), "drawn": np.arange(3)},
    }
    return Frozen(**found | (given or {}))


def refused(program):
    """What is said of a program, or None."""
    try:
        check(program, "a file")
    except DataError as error:
        assert (error.where, error.message) == ("a file", "a codec file that is damaged")
        return error.found
    return None


def with_operands(kind, needed=None, change=None, **other):
    """A program whose last operation's operands have the least memory that they need, but for a changed place."""
    given, least = GIVEN[kind]
    needed = needed or least
    places, memories = [], []
    for name in ("out", "in0", "in1", "in2"):
        maps, sites = needed.get(name, (0, 1))
        group = APART if maps else 0
        memories.append(Memory(sites, max(1, FIRST + group + maps)))
        places.append(Place(2 + len(places), FIRST if maps else 0, sites > 1, group, least["out"][0], False))
        if name != "out":
            places[-1] = replace(places[-1], maps=0)
    own = operation(kind, out=2, in0=3, in1=4, in2=5, **{**given, **other})
    found = program(own)
    found = replace(found, places=(*found.places, *places), memories=(*found.memories, *memories))
    return change(found) if change else found


@pytest.mark.parametrize("kind", GIVEN)
def test_operands_have_the_maps_and_sites_that_an_operation_reads_and_writes(kind):
    needed = GIVEN[kind][1]
    assert refused(with_operands(kind)) is None
    for number, name in enumerate(("out", "in0", "in1", "in2"), 2):
        if name not in needed:
            continue
        maps, sites = needed[name]
        assert refused(with_operands(kind, {**needed, name: (maps - 1, sites)})) in (
            "maps of an operand", "maps of a place"
        )  # fmt: skip

        def changed(program, memory=None, number=number, **place):
            places, memories = [*program.places], [*program.memories]
            places[number] = replace(places[number], **place)
            memories[number] = replace(memories[number], **memory or {})
            return replace(program, places=tuple(places), memories=tuple(memories))

        found = with_operands(kind)
        assert refused(changed(found, {"sites": sites - 1})) == "sites of an operand"
        assert refused(changed(found, {"sites": 1}, varies=False)) is None
        assert refused(changed(found, {"sites": 3}, passing=True)) is None
        assert refused(changed(found, {"sites": 2}, passing=True)) == "positions of an operand"
        written = name == "out" or (kind, name) == ("LSTM", "in2")
        assert refused(changed(found, {"shared": True})) == ("what is written" if written else None)


def test_the_kinds_of_these_tests_are_all():
    assert {*GIVEN} - ELEMENTS | {"ATTEND"} == KINDS - ELEMENTS
    assert {*sound.SPECIAL} | {*sound.SCALED} | ELEMENTS == KINDS


def test_only_sites_at_which_an_operation_is_computed_count():
    def of_two_sites(program):
        rows = program.instructions.copy()
        rows[-2:, 2:] = [[2, 3], [1, 4]]
        return replace(program, instructions=rows, sites=np.array([0, 1, 2, 1, 0]))

    needed = {**ALL, "in1": (10, 2)}
    assert refused(with_operands("ADD", needed)) == "sites of an operand"
    assert refused(with_operands("ADD", needed, of_two_sites)) is None
    assert refused(with_operands("ADD", {**ALL, "in1": (10, 1)}, of_two_sites)) is None  # it does not vary


@pytest.mark.parametrize("kind", [*GIVEN])
def test_arrays_of_operations_have_their_shapes_and_what_is_in_tables_is_within(kind):
    given = GIVEN[kind][0]
    said = {"weight": "a weight", "bias": "a bias", "table": "a table"}
    said |= {"SUM": {"weight": "a sum", "bias": "a sum"}, "CONSTANT": {"weight": "constants"}}.get(kind, {})
    said |= {"bias": "a weight"} if kind in sound.SCALED else {}
    for name in said.keys() & given.keys():
        value = given[name]
        if isinstance(value, tuple):
            short = (*value[:-1], value[-1] - 1), (*value[:-1], value[-1] + 1)
        else:
            short = value[..., :-1], np.concatenate([value, value[..., :1]], -1)
        for wrong in short:
            assert refused(with_operands(kind, **{name: wrong})) == said[name]
        missing = with_operands(kind)
        last = replace(missing.operations[-1], **{name: None})
        assert refused(replace(missing, operations=(*missing.operations[:-1], last))) == said[name]
    if "grid" in given:
        less = {"SUM": "a table", "CONSTANT": "constants"}.get(kind, "a table")
        assert refused(with_operands(kind, grid=2)) == {"LINEAR": "a linear layer"}.get(kind, less)


def at(values, index, value):
    found = np.array(values)
    found[index] = value
    return found


@pytest.mark.parametrize(
    ("kind", "fits", "wrong", "said"),
    [
        ("GATHER", {"table": at(FAR, (0, 0), -2)}, {"table": at(FAR, (0, 0), -3)}, "a table"),
        ("GATHER", {"table": at(FAR, (0, 0), 4)}, {"table": at(FAR, (0, 0), 5)}, "sites of an operand"),
        ("LSTM", {}, {"table": np.array([[3, 0, -1], [0, 1, 2]])}, "a table"),
        ("REARRANGE", {"table": at(MOVED, (0, 0, 0, 1), 0)}, {"table": at(MOVED, (0, 0, 0, 1), 2)}, "a table"),
        ("REARRANGE", {"table": at(MOVED, (0, 0, 0, 2), 0)}, {"table": at(MOVED, (0, 0, 0, 2), -1)}, "a table"),
        ("REARRANGE", {"table": at(MOVED, (0, 0, 0, 0), 0)}, {"table": at(MOVED, (0, 0, 0, 0), -1)}, "a table"),
        ("REARRANGE", {"table": at(MOVED, ..., -2)}, {"table": at(MOVED, (0, 0, 0, 2), 12)}, "maps of an operand"),
        ("EMBED", {}, {"taps": 15, "weight": (2, 15, 20)}, "levels"),
        ("LINEAR", {"first": 1, "weight": (3, 2, 20, 16), "bias": (3, 16)}, {"first": 1}, "a weight"),
        ("LINEAR", {}, {"width": 17, "weight": (2, 2, 20, 17), "bias": (2, 17)}, "a linear layer"),
        ("LINEAR", {}, {"taps": 0, "table": np.zeros((2, 3, 0)), "weight": (2, 0, 20, 16)}, "a linear layer"),
        ("LINEAR", {}, {"alpha": "1"}, "numbers"),
        ("ADD", {"alpha": 1 << 30, "beta": -(1 << 31)}, {"alpha": 1 << 31}, "numbers"),
        ("ADD", {"alpha": (1 << 31) - 1}, {"beta": -(1 << 31) - 1}, "numbers"),
        *(("ADD", {name: (1 << 24) - 1}, {name: 1 << 24}, name) for name in ("unread", "queries", "taps")),
        ("ADD", {"in0": 5}, {"in0": 6}, "operands"),
        ("ADD", {"fused": 0}, {"fused": 1}, "fused"),
        ("ADD", {}, {"kind": "SIN"}, "an instruction"),
    ],
)
def test_fields_of_operations_have_bounds(kind, fits, wrong, said):
    def forged(**changes):
        found = with_operands(kind, **{name: value for name, value in changes.items() if name not in ("in0", "kind")})
        direct = {name: value for name, value in changes.items() if name in ("in0", "kind")}
        return replace(found, operations=(*found.operations[:-1], replace(found.operations[-1], **direct)))

    assert (refused(forged(**fits)), refused(forged(**wrong))) == (None, said)


@pytest.mark.parametrize(
    ("limit", "kind", "number", "said"),
    [("MOST_TAPS", "LINEAR", 2, "a linear layer"), ("MOST_SIDE_BY_SIDE", "REARRANGE", 3, "maps of a rearrangement")],
)
def test_what_the_kernel_keeps_on_its_stack_is_limited(limit, kind, number, said, monkeypatch):
    monkeypatch.setattr(sound, limit, number)
    assert refused(with_operands(kind)) is None
    monkeypatch.setattr(sound, limit, number - 1)
    assert refused(with_operands(kind)) == said
    if kind == "REARRANGE":
        assert refused(with_operands(kind, count=0, table=np.zeros((2, 3, 0, 3)))) == said


def test_only_what_may_follow_a_linear_layer_is_fused_to_it_with_all_its_maps(monkeypatch):
    def fused(kind="RELU", leading="LINEAR", room=16, number=2):
        then = [operation(kind, out=3, in0=2, in1=2, in2=2) for _ in range(number)]
        wide = Memory(3, FIRST + APART + 20), Memory(3, FIRST + APART + room)
        linear = GIVEN["LINEAR"][0] | {"table": np.stack([PAIRS % 3] * 2)}
        own = linear if leading == "LINEAR" else {}
        found = program(operation(leading, out=2, fused=2, **own), *then)
        places = tuple(Place(2 + each, FIRST, True, APART, 10, False) for each in range(2))
        return replace(found, places=(*found.places, *places), memories=(*found.memories, *wide))

    assert refused(fused()) is None
    assert refused(fused(room=15)) == "maps of an operand"
    assert refused(fused(kind="TANH")) == refused(fused(leading="RELU")) == refused(fused(number=1)) == "fused"
    monkeypatch.setattr(sound, "MOST_TAPS", 2)
    assert refused(fused()) is None
    alone = replace(fused(), operations=fused().operations[2:], instructions=np.array([[0, 0, 3, 0]]))
    monkeypatch.setattr(sound, "MOST_TAPS", 1)
    with pytest.raises(sound._Unsound, match="fused"):
        sound._check_operation(alone, 0)


def memory(number, **change):
    return lambda program: {"memories": tuple(
        replace(each, **change) if number == own else each for own, each in enumerate(program.memories)
    )}  # fmt: skip


def place(number, **change):
    return lambda program: {"places": tuple(
        replace(each, **change) if number == own else each for own, each in enumerate(program.places)
    )}  # fmt: skip


START = np.zeros((3, 40), np.float32)
ROWS = np.array([(number, group, 3, 0) for number in range(2) for group in range(2)])
SITES = "sites of instructions"
TWICE = {"draws": np.array([0, 4]), "drawn": np.array([0, 1, 2, 2]), "due": np.array([[1, 1], [1, 1], [1, 0], [0, 1]])}
LISTS = [
    ({"shape": (2, 1, 3)}, {"shape": (2, 3)}, "shape"),
    ({}, {"shape": (2, 0, 3)}, "shape"),
    ({}, {"shape": (2, 1, 1 << 20)}, "shape"),
    ({}, {"shape": (2, 1, 3.0)}, "shape"),
    ({}, {"shape": (2, 1, (1 << 20) - 1)}, "what is drawn"),
    ({}, {"levels": 1}, "levels or head"),
    ({}, {"levels": (1 << 16) + 1}, "levels or head"),
    ({}, {"levels": 1 << 16}, "maps of an operand"),
    ({}, {"levels": 2}, "levels"),
    ({}, {"head": "other"}, "levels or head"),
    ({}, {"head": "bernoulli"}, "levels of a Bernoulli head"),
    ({"labels": (1 << 17) - 1}, {"labels": 1 << 17}, "labels"),
    ({"labels": 0}, {"labels": -1}, "labels"),
    ({}, {"groups": 3}, "groups"),
    ({}, {"groups": 0}, "groups"),
    ({}, {"groups": True}, "groups"),
    *(({}, {name: np.zeros((1, 1), int)}, "the shape of a list") for name in ("steps", "sites", "draws", "drawn")),
    (memory(0, shared=False), memory(0, shared=0), "a memory"),
    (memory(0, sites=4), memory(0, sites=0), "a memory"),
    (memory(0, row=(1 << 31) // 3), memory(0, row=1 << 30), "a memory"),
    ({}, memory(0, row=0), "a memory"),
    (memory(0, start=START), memory(0, start=START[:, 1:]), "values of a memory"),
    ({}, memory(0, start=START[None]), "values of a memory"),
    (place(0, first=0), place(0, first=-1), "a place"),
    ({}, place(0, first=1), "maps of a place"),
    ({}, place(0, group=21), "maps of a place"),
    ({}, place(0, group=-1), "a place"),
    (place(0, maps=0), place(0, maps=-1), "a place"),
    ({}, place(0, maps=21), "maps of a place"),
    (place(0, memory=1, group=0), place(0, memory=2), "a place's memory"),
    ({}, place(0, varies=1), "a place"),
    ({}, place(0, passing=0), "a place"),
    ({}, place(1, passing=True), "parameters"),
    ({}, {"params": 2}, "parameters"),
    ({}, {"params": -1}, "parameters"),
    ({"params": 0}, {"params": 0, "levels": 21}, "maps of an operand"),
    ({}, {"instructions": np.zeros((4, 3), int)}, "instructions"),
    ({}, {"instructions": np.zeros(4, int)}, "instructions"),
    *(({}, {"instructions": at(ROWS, (3, column), -1)}, "instructions") for column in range(4)),
    ({}, {"instructions": at(ROWS, (3, 0), 2)}, "instructions"),
    ({}, {"instructions": at(ROWS, (3, 1), 2)}, "instructions"),
    ({"instructions": at(ROWS, (3, slice(2, 4)), [2, 1])}, {"instructions": at(ROWS, (3, 3), 1)}, SITES),
    ({"instructions": at(ROWS, (3, slice(2, 4)), [0, 3])}, {"instructions": at(ROWS, (3, 3), 1 << 31)}, SITES),
    ({}, {"sites": np.array([0, 1, -1])}, "sites"),
    ({}, {"sites": np.array([0, 1, 3])}, "levels"),
    ({"steps": np.array([0, 2, 4]), "draws": np.array([0, 0, 3])}, {"steps": np.array([0, 2, 4])}, "steps"),
    *(({}, {"steps": np.array(each)}, "steps") for each in ([1, 4], [0, 3], [0, 5], [])),
    ({}, {"steps": np.array([0, 3, 2, 4]), "draws": np.array([0, 0, 0, 3])}, "steps"),
    *(({}, {"draws": np.array(each)}, "drawn sites") for each in ([1, 3], [0, 2])),
    *(({}, {"drawn": np.array([0, 1, each])}, "drawn sites") for each in (-1, 3)),
    ({"drawn": np.array([2, 1, 0])}, {"drawn": np.array([0, 1, 1])}, "what is drawn once"),
    ({}, {"due": np.ones((3, 1), int)}, "drawn colours"),
    ({}, {"due": np.full((3, 2), 2)}, "drawn colours"),
    ({}, {"due": np.full((3, 2), -1)}, "drawn colours"),
    ({}, {"due": at(np.ones((3, 2), int), (0, 0), 0)}, "what is drawn"),
    (TWICE, {**TWICE, "due": TWICE["due"][[2, 1, 0, 3]]}, "what is drawn once"),
    ({}, {"mixture": Mixture("normal", 3, -5.0, 5.0)}, "the head"),
]


def forged(change):
    found = program()
    return replace(found, **(change(found) if callable(change) else change))


@pytest.mark.parametrize(("fits", "wrong", "said"), LISTS)
def test_facts_memories_places_and_lists_have_bounds(fits, wrong, said):
    assert (refused(forged(fits)), refused(forged(wrong))) == (None, said)


def test_memories_that_labels_fill_have_the_values_of_each():
    values = np.zeros((5, 3, 40), np.float32)
    for labels, start, shared, said in (
        (5, values, False, None),
        (4, values, False, "values of a memory"),
        (0, values, False, "values of a memory"),
        (3, values[0], False, None),
        (5, values, True, "values of a memory"),
    ):
        found = program(given={"labels": labels})
        found = replace(found, memories=(*found.memories, Memory(3, 40, shared, start)))
        assert refused(found) == said


def test_parameters_are_every_images_own():
    for number, (sites, said) in enumerate([(3, None), (2, "sites of an operand"), (3, "parameters")]):
        found = program()
        own = Memory(sites, 32, shared=number == 2)
        found = replace(
            found, memories=(*found.memories, own), places=(*found.places, Place(2, 0, True, 16, 16, False))
        )
        assert refused(replace(found, params=2)) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"family": "normal"}, None),
        ({"family": "other"}, "a mixture"),
        ({"components": 0}, "components"),
        ({"components": 5}, None),
        ({"components": 9}, "maps of an operand"),
        ({"components": (1 << 16) - 1}, "maps of an operand"),
        ({"components": 1 << 16}, "components"),
        ({"components": 1.0}, "components"),
        ({"low": "-5"}, "scales"),
        ({"high": None}, "scales"),
        ({"low": -(1 << 31), "high": (1 << 31) - 1}, None),
        ({"high": 1 << 31}, "scales"),
    ],
)
def test_mixtures_have_bounds(change, said):
    logistic = trials_of_heads()[-1]
    assert refused(replace(logistic, mixture=replace(logistic.mixture, **change))) == said


def test_heads_have_their_mixtures_and_colours_of_one_are_not_apart():
    bernoulli, *_, logistic = trials_of_heads()
    assert refused(replace(logistic, mixture=None)) == "the head"
    assert refused(replace(bernoulli, mixture=logistic.mixture)) == "the head"
    assert refused(replace(logistic, groups=2)) == "a mixture"
    assert refused(replace(bernoulli, levels=3)) == "levels of a Bernoulli head"


ATTEND = next(each for each in trial().operations if each.kind == "ATTEND" and each.bias is not None)
ORDER, SEEN, STARTS, FRESH = slice(3), slice(3, 9), slice(9, 13), slice(13, 16)


def attending(change, places=(), memories=()):
    """The trial's attention by itself, with other fields, places and memories by number."""
    whole = trial()
    operations = (*whole.operations[:2], replace(ATTEND, **change))
    found = {"places": [*whole.places], "memories": [*whole.memories]}
    for kind, changes in (("places", places), ("memories", memories)):
        for number, fields in dict(changes).items():
            found[kind][number] = replace(found[kind][number], **fields)
    found["places"][57] = replace(found["places"][57], memory=57)
    rows = np.array([(number, 0, 3, 0) for number in range(3)])
    return replace(whole, operations=operations, instructions=rows, steps=np.array([0, 3]), **found)


def test_attention_stays_within_its_keys_values_and_tables(monkeypatch):
    def said(change=None, places=(), memories=()):
        return refused(attending(change or {}, places, memories))

    table, own = ATTEND.table, {name: getattr(ATTEND, name) for name in ("out", "in0", "in1", "in2", "keys", "values")}
    keys, values = own["keys"], own["values"]
    assert said() is None
    for position, least, most in ((ORDER, 0, 2), (SEEN, 0, 3), (FRESH, 0, 2)):
        for each in range(position.start or 0, position.stop):
            kind = "sites of an operand" if position is ORDER else "a table"
            assert [said({"table": at(table, each, value)}) for value in (least - 1, most + 1)] == ["a table", kind]
            assert said({"table": at(table, each, most)}) is None
    for wrong in ([1, 1, 2, 3], [0, 1, 2, 2], [0, 2, 1, 3]):
        assert said({"table": at(table, STARTS, wrong)}) == "a table"
    assert said({"table": table[:-1]}) == said({"table": np.append(table, 0)}) == "a table"
    assert said({"table": None}) == said({"table": table, "queries": 2}) == "attention"
    assert said({"bias": None, "width": 0}) is None
    assert said({"bias": ATTEND.bias[:1], "width": 1}) is None
    assert said({"bias": ATTEND.bias[:1]}) == said({"bias": ATTEND.bias[..., :2]}) == "a bias"
    assert said({"bias": ATTEND.bias[:0], "width": 0}) == "a bias"
    for name in ("in0", "in1", "in2", "out"):
        apart = Place(9, 8, True, 0, 40, False)  # of a memory of which nothing else is
        for place, expected in ((apart, None), (replace(apart, first=9, maps=39), "maps of an operand")):
            assert said({name: 9}, {9: vars(place)}) == expected
        shared = "what is written" if name == "out" else None
        assert said({name: 9}, {9: vars(apart)}, {9: {"shared": True}}) == shared
        assert said({name: 9}, {9: vars(apart)}, {9: {"sites": 2}}) == "sites of an operand"
    rows, maps = trial().memories[keys].row, "memory of attention"
    for number, least, row in ((keys, 3, 2 * 16 * 20), (values, 20, 2 * 16 * 32)):
        assert rows in (640, row)
        assert said(memories={number: {"row": row}}) is None
        assert said(memories={number: {"row": row - 1}}) == maps
        assert said(memories={number: {"row": row + 1}}, places={number: {"first": 1}}) == maps
        assert said(memories={number: {"shared": True}}) == "what is written"
        assert said(places={number: {"maps": 15}}) == maps
        assert said(places={number: {"maps": 16}}) == (None if least < 16 else maps)
        assert said(places={number: {"maps": 32 if least < 16 else 48}}, memories={
            keys: {"row": 2000}, values: {"row": 4000}
        }) == (None if least < 16 else maps)  # fmt: skip
    monkeypatch.setattr(sound, "MOST_SIDE_BY_SIDE", 20)
    assert said() is None
    monkeypatch.setattr(sound, "MOST_SIDE_BY_SIDE", 19)
    assert said() == "keys or maps of attention"
    monkeypatch.undo()
    monkeypatch.setattr(sound, "MOST_SIDE_BY_SIDE", 2)
    assert said({"count": 1}) == "keys or maps of attention"
