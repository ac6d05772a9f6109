"""Images to bytes and back: without loss, by either executor; what is damaged, or another model's, is refused."""

import io
import itertools
import json
import threading
from dataclasses import replace

import damage
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import NETS, net_of
from safetensors.numpy import load, save
from teacher import COLOUR, GREY

import pixkit
from pixkit.codec import coder as coding
from pixkit.codec import names as naming
from pixkit.codec.ahead import ahead
from pixkit.codec.arithmetic import WrongArithmetic
from pixkit.codec.codec import Codec
from pixkit.codec.coder import Coder
from pixkit.codec.container import Head, Reader, Writer
from pixkit.codec.freezing import freeze
from pixkit.codec.frozen import NUMBERS, Frozen
from pixkit.codec.names import in_runs, out_of_runs, told
from pixkit.codec.packing import Packer, Unpacker
from pixkit.codec.part import joined
from pixkit.codec.portable import PortableWalk
from pixkit.codec.sound import check
from pixkit.codec.strict import StrictWalk
from pixkit.codec.walk import Walk
from pixkit.errors import DataError, UsageError
from pixkit.execution.lowering.instruction import LANES
from pixkit.tasks import codec_of
from pixkit.testing.parts import random_images, randomise


@pytest.fixture(scope="module")
def program():
    return freeze(net_of(NETS["Plain"], GREY).float().eval())


@pytest.fixture(scope="module")
def numpy_codec(program):
    return Codec(program, walk=PortableWalk)


@pytest.fixture(scope="module")
def images():
    return random_images(GREY, 11).numpy()


@pytest.fixture
def small_blocks(monkeypatch):
    """Of eight images, four at a time."""
    monkeypatch.setattr(coding, "TOGETHER", 4)
    monkeypatch.setattr(coding, "BLOCK", 500)


@pytest.fixture
def file(numpy_codec, images, small_blocks):
    return numpy_codec.encode(images, [f"{number}.png" for number in range(11)])


@pytest.mark.needs_compiler
def test_the_kernel_and_numpy_write_the_same_file_and_read_it(numpy_codec, images, file):
    compiled = Codec.from_bytes(numpy_codec.content, walk=StrictWalk)
    told = []
    assert compiled.encode(images, [f"{number}.png" for number in range(11)], lambda *done: told.append(done)) == file
    assert told == [(8, 11), (11, 11)]
    assert (compiled.decode(file, lambda *done: told.append(done)) == images).all()
    assert told[2:] == [(8, 0), (11, 0)]
    assert (numpy_codec.decode(file) == images).all()
    assert (compiled.decode(file, images=range(7, 10)) == images[7:10]).all()
    reader = Reader(io.BytesIO(file))
    assert [*reader.scan()] == [8, 3]
    assert [len(found.images) for found in compiled.read(reader)] == [8, 3]
    assert reader.names == [f"{number}.png" for number in range(11)]


@pytest.mark.needs_compiler
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.integers(0, 2**64 - 1), st.integers(1, 2**41).map(lambda left: 2**64 - left)),
    st.integers(2**32, 2**42),
    st.sampled_from([(0, 0), (1, 5), (3, 7), (2, 2**32 - 1)]),
)
def test_the_kernel_goes_on_wherever_the_coder_is(program, images, low, width, held):
    """With words that a carry may still change, which real streams have once in thousands."""
    found = []
    for put in (StrictWalk.put, Walk.put):
        packer, walk = Packer(), StrictWalk(program, 2)
        packer.low, packer.range, (packer.held, packer.first) = low, width, held
        walk.begin()
        walk.levels[:] = images[:2].reshape(2, GREY.channels, -1).transpose(2, 0, 1)
        put(walk, packer)
        found.append([*vars(packer).values(), *packer.finish()])
    assert found[0] == found[1]


def test_no_images_are_a_file_too(numpy_codec, program, images):
    assert numpy_codec.decode(numpy_codec.encode(images[:0])).shape == (0, *GREY.shape)
    assert joined(program, [])[1] is None
    assert joined(replace(program, labels=2), [])[1].tolist() == []  # which were asked for, and are none


def test_every_flipped_bit_and_every_cut_is_refused_before_its_block_is_decoded(file):
    def refused(data):
        with pytest.raises(DataError) as error:
            list(Reader(io.BytesIO(data)).blocks())
        return error.value.exit_code == 3

    assert len([*Reader(io.BytesIO(file)).blocks()]) == 2

    assert all(refused(file[:length]) for length in range(len(file)))
    assert refused(file + b"\0")
    flips = ((byte, bit) for byte in range(len(file)) for bit in range(8))
    assert all(refused(file[:byte] + bytes([file[byte] ^ 1 << bit]) + file[byte + 1 :]) for byte, bit in flips)


@pytest.mark.needs_compiler
@pytest.mark.parametrize("head", damage.HEADS)
def test_whatever_is_done_to_a_file_no_other_images_come_of_it(head):
    found = damage.trials(damage.coded(head, 3), 200, 3)
    assert {kind for kind, _ in found} == {kind.__name__ for kind in damage.KINDS}
    assert {came for _, came in found} <= {"refused", "the same file", "the same images"}
    assert all(found[kind.__name__, "refused"] >= 8 for kind in damage.KINDS)


def test_blocks_of_another_place_or_file_are_refused():
    def written(codec, second=(1, 2, 3)):
        file = io.BytesIO()
        writer, parts = Writer(file, Head(codec, GREY.shape, 3, 4, 1)), [file.tell()]
        for words in ([1, 2, 3], second):
            writer.write(8, words, b"abcd")
            parts.append(file.tell())
        writer.end()
        return [file.getvalue()[start:end] for start, end in itertools.pairwise([0, *parts, None])]

    head, first, second, end = written(bytes(16))
    other, *_ = written(b"a" * 16)
    *_, spliced, _ = written(bytes(16), [3, 2, 1])
    assert len([*Reader(io.BytesIO(head + first + second + end)).blocks()]) == 2
    for parts in (
        (head, second, first, end),
        (head, first, first, end),
        (head, first, end),
        (other, first, second, end),
        (head, first, spliced, end),
    ):
        with pytest.raises(DataError, match="damaged"):
            list(Reader(io.BytesIO(b"".join(parts))).blocks())


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a"]), st.text("079", max_size=3), st.sampled_from(["", "b", "7\n"])), max_size=9
    ),
    st.integers(0, 10**15),
    st.integers(0, 30),
)
def test_names_that_count_on_are_one_and_come_back(names, first, count):
    names = ["".join(name) for name in names]
    names = [*names, *(f"x/{number:04d}.png" for number in range(first, first + count)), *names]
    runs = in_runs(names)
    assert out_of_runs(json.loads(json.dumps(runs)), len(names)) == names
    assert len(runs) <= 2 * (len(names) - count) + (3 if first + count <= 10**15 else count)


def test_what_is_read_of_names_is_what_may_be_written_however_many_a_run_says(monkeypatch):
    monkeypatch.setattr(naming, "MOST_NAMES", 60)
    for images, fits in ((15, True), (16, False), (1 << 35, False)):
        assert (out_of_runs([["", 8, 2, ".p", images]], images) is not None) == fits
    for images, fits in ((7, True), (8, False)):  # of all runs together
        assert (out_of_runs([["", 8, 2, ".p", 8], ["", 8, 2, ".p", images]], 8 + images) is not None) == fits
    assert [naming.Run("", 8, 1, "p", many).length for many in (2, 3)] == [2 * len("9p"), 3 * len("10p")]
    names = [f"{number:02d}.p" for number in range(8, 24)]
    assert json.loads(told(["xxxx", *names[:14]])) == ["xxxx", ["", 8, 2, ".p", 14]]
    for wrong in (["xxxxx", *names[:14]], names, ["x" * 57]):
        with pytest.raises(DataError, match="too many names"):
            told(wrong)


def test_numbers_of_runs_have_limits():
    for number, digits, many, fits in (
        (10**15 - 1, 15, 1, True), (0, 0, 1, True), (10**15, 15, 1, False), (-1, 1, 1, False),
        (1, 16, 1, False), (1, -1, 1, False), (1, 1, 0, False), (1, 1, 2, False),
    ):  # fmt: skip
        assert (out_of_runs([["", number, digits, ".p", many]], 1) is not None) == fits, (number, digits, many)


@pytest.mark.parametrize(
    "names",
    [
        b'[["a", 1, 2, "b", 2]]',
        b'[["a", 1, 99999, "b", 1]]',
        b'[["a", "1"]]',
        b'["a.png", "b.png"]',
        b'["a.png"',
        b"[3]",
        b'{"a": 1}',
        b"[" * 10**5,
    ],
)
def test_names_that_are_none_are_refused(names, monkeypatch):
    file = io.BytesIO()
    with monkeypatch.context() as forged:
        forged.setattr(json, "dumps", lambda _: names.decode())
        writer = Writer(file, Head(bytes(16), GREY.shape, 3, 4, 1))
        writer.write(1, [1], b"abcd")
        writer.end(["a.png"])
    with pytest.raises(DataError, match="names"):
        list(Reader(io.BytesIO(file.getvalue())).blocks())


def test_more_images_than_words_can_have_made_are_refused_before_they_are_made(numpy_codec, program):
    file = io.BytesIO()
    writer = Writer(file, Head(bytes.fromhex(numpy_codec.sha)[:16], program.shape, program.levels, 4, 1))
    writer.write(1 << 30, [1 << 30], b"abcd")
    writer.end()
    with pytest.raises(DataError, match="damaged"):
        numpy_codec.decode(file.getvalue())


def test_of_some_images_no_other_blocks_are_read(numpy_codec, images, file):
    damaged = bytearray(file)
    damaged[file.index(b"\x08") + 60] ^= 1  # within the first block
    found = [*numpy_codec.read(Reader(io.BytesIO(damaged)), range(9, 11))]
    assert [(part.first, len(part.images)) for part in found] == [(9, 2)]
    assert (found[0].images == images[9:]).all()
    with pytest.raises(DataError, match="checksum of the block"):
        numpy_codec.decode(bytes(damaged), images=range(7, 9))
    for cut in range(len(file)):
        with pytest.raises(DataError):
            Reader(io.BytesIO(file[:cut])).scan()


def test_labels_are_kept_and_told_to_the_model(images):
    spec, classes = {"type": "label", "dropout": 0.5}, 5
    model = {"type": "autoregressive", "backbone": {"type": "pixelcnn", "width": 4, "layers": 1}, "context": spec}
    model = pixkit.build_model(model, (*GREY.shape, GREY.levels, classes)).eval()
    randomise(model.network, 0)
    codec = codec_of(model)
    labels = np.arange(11) % (classes + 1)
    file = codec.encode(images, labels=labels)
    plain = Codec.from_bytes(codec.content, walk=PortableWalk)
    assert plain.encode(images, labels=labels) == file
    (part,) = plain.read(Reader(io.BytesIO(file)))
    assert (part.images == images).all()
    assert (part.labels == labels).all()
    (some,) = codec.read(Reader(io.BytesIO(file)), range(4, 6))
    assert (some.labels == labels[4:6]).all()
    nats = -float(model.double().log_prob(torch.from_numpy(images), torch.from_numpy(labels)).detach().sum())
    bits = nats / np.log(2) + 11 * np.log2(classes + 1)
    assert 0 < 8 * len(file) - bits < 8 * 60
    for wrong, said in ((None, "none"), (labels[:3], "3"), (labels + 1, "1..6"), (labels * 0.5, "float")):
        with pytest.raises(DataError, match=said):
            codec.encode(images, labels=wrong)
    check(codec.program, "")
    with pytest.raises(DataError, match="damaged"):
        check(replace(codec.program, labels=classes), "")


def test_blocks_are_decoded_by_several_threads_in_order(numpy_codec, images, file, monkeypatch):
    decoded, barrier = Coder.decoded, threading.Barrier(2)

    def together(codec, block, number):
        barrier.wait(60)  # for the other block's thread
        return decoded(codec, block, number)

    codec = Codec.from_bytes(numpy_codec.content, walk=PortableWalk)
    codec.threads = 2
    assert Codec.from_bytes(numpy_codec.content, walk=PortableWalk).threads == torch.get_num_threads()
    monkeypatch.setattr(Coder, "decoded", together)
    assert codec.encode(images, [f"{number}.png" for number in range(11)]) == file
    assert (codec.decode(file) == images).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_work_goes_on_ahead_until_somebody_fails(threads):
    begun = []

    def work(number):
        begun.append(number)
        return 1 // (4 - number)

    found = ahead(work, range(99), threads)
    assert [next(found) for _ in range(4)] == [0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert len(begun) <= 5 + threads


def test_a_block_of_images_of_which_a_model_is_sure_ends_too(numpy_codec, images, small_blocks, monkeypatch):
    monkeypatch.setattr(coding, "BLOCK", 1 << 40)
    monkeypatch.setattr(coding, "MOST", 49)
    file = numpy_codec.encode(images)
    assert Reader(io.BytesIO(file)).scan() == [8, 3]
    assert (numpy_codec.decode(file) == images).all()
    monkeypatch.setattr(coding, "MOST", 48)
    with pytest.raises(DataError, match="damaged"):
        numpy_codec.decode(file)


@pytest.mark.parametrize(("least", "sizes"), [(500, [4, 4, 3]), (501, [11])])
def test_a_block_ends_where_it_has_its_bits(numpy_codec, images, small_blocks, monkeypatch, least, sizes):
    monkeypatch.setattr(Packer, "bits", property(lambda packer: 500 * bool(packer.words)))
    monkeypatch.setattr(coding, "BLOCK", least)
    assert Reader(io.BytesIO(numpy_codec.encode(images, verify=False))).scan() == sizes


def test_nothing_is_coded_where_small_numbers_are_flushed(numpy_codec, images, file, monkeypatch):
    def refuse():
        raise WrongArithmetic("flushed")

    monkeypatch.setattr(coding, "require_unflushed", refuse)
    for coded in (lambda: numpy_codec.encode(images, verify=False), lambda: numpy_codec.decode(file)):
        with pytest.raises(WrongArithmetic, match="flushed"):
            coded()


def test_two_threads_share_a_codec(numpy_codec, images, file, monkeypatch):
    """The second one begins in the middle of the first one's batch."""
    advance, within, found = PortableWalk.advance, [images[4:8]], []

    def interrupted(walk, step):
        if step == 2 and within:
            found.append(numpy_codec.encode(within.pop()))
        advance(walk, step)

    alone = numpy_codec.encode(images[4:8])
    monkeypatch.setattr(PortableWalk, "advance", interrupted)
    assert numpy_codec.encode(images, [f"{number}.png" for number in range(11)], verify=False) == file
    assert found == [alone]


def test_a_program_that_the_memory_does_not_hold_is_refused(program, images):
    large = replace(program.memories[-1], sites=1 << 14, row=1 << 16, shared=False, start=None)
    codec = Codec(replace(program, memories=(*program.memories, *[large] * 99)), walk=PortableWalk)
    with pytest.raises(UsageError, match="11 images in lockstep"):
        codec.encode(images)


def test_the_memory_asked_for_is_that_of_as_many_images(program, numpy_codec, monkeypatch):
    """Four bytes a unit that is kept, and eight a level, and a colour of a site."""
    asked = []
    monkeypatch.setattr(coding, "check_fits", lambda needed, *others, **more: asked.append(needed))
    codec = Codec(program, walk=PortableWalk)
    for batch in (1, 3):
        with codec.coder.walking(batch):
            pass
    kept = sum(each.sites * each.row for each in program.memories)
    assert asked == [each * (4 * kept + 8 * (GREY.levels + GREY.height * GREY.width)) for each in (1, 3)]


def test_another_model_and_another_arithmetic_are_refused(numpy_codec, program, images):
    changed = replace(program, operations=(*program.operations[:-1], replace(program.operations[-1], beta=0.5)))
    file = Codec(changed, walk=PortableWalk).encode(images[:1])
    with pytest.raises(DataError, match="another model") as refused:
        numpy_codec.decode(file)
    error = refused.value
    assert (error.exit_code, error.expected) == (3, f"codec {numpy_codec.sha[:32]}")
    assert error.found == f"codec {Codec(changed, walk=PortableWalk).sha[:32]}"
    newer = io.BytesIO()
    Writer(newer, Head(bytes.fromhex(numpy_codec.sha)[:16], program.shape, program.levels, 4, 2)).end()
    with pytest.raises(WrongArithmetic, match="another arithmetic") as refused:
        numpy_codec.decode(newer.getvalue())
    error = refused.value
    assert (error.exit_code, error.where, error.found, error.expected) == (4, "a compressed file", "2", "1")


TILES = "tiles=True takes images of any size"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: x.astype(float), ("float64 (11, 1, 3, 4)", "integers [N, *(1, 3, 4)]", None)),
        (lambda x: x[0], ("int64 (1, 3, 4)", "integers [N, *(1, 3, 4)]", None)),
        (lambda x: x[:, :, :2], ("int64 (11, 1, 2, 4)", "integers [N, *(1, 3, 4)]", TILES)),
        (lambda x: x.repeat(2, 1), ("int64 (11, 2, 3, 4)", "integers [N, *(1, 3, 4)]", None)),
        (lambda x: x - 1, ("-1..1", "0..2", None)),
        (lambda x: x + 1, ("1..3", "0..2", None)),
    ],
)
def test_what_are_no_images_of_the_model_is_refused(numpy_codec, images, wrong, said):
    with pytest.raises(DataError) as refused:
        numpy_codec.encode(wrong(images))
    error = refused.value
    kind = "levels" if said[1] == "0..2" else "images"
    assert (error.message, error.found, error.expected, error.hint) == (f"not {kind} of this model", *said)


def test_names_are_those_of_all_images_or_none(numpy_codec, images):
    with pytest.raises(DataError) as refused:
        numpy_codec.encode(images, ["one.png"])
    error = refused.value
    assert (error.message, error.found) == ("names do not fit the images", "1 names")
    assert error.expected == "11, or none"


def test_labels_of_a_model_without_are_refused(numpy_codec, images):
    with pytest.raises(DataError) as refused:
        numpy_codec.encode(images, labels=np.zeros(11, int))
    error = refused.value
    assert (error.message, error.where) == ("not labels of this model's images", "labels")
    assert (error.found, error.expected) == ("int64 (11,)", "none: it takes no labels")


def test_what_is_decoded_otherwise_is_not_written(numpy_codec, images, monkeypatch):
    monkeypatch.setattr(PortableWalk, "decode", lambda walk, decoder: walk.levels.fill(0))
    with pytest.raises(DataError, match=r"images 0..10: decoding does not give back what was encoded"):
        numpy_codec.encode(images)
    later = replace(numpy_codec.coder.block(images[:4]), first=4)
    with pytest.raises(DataError, match=r"images 4..7: decoding"):
        numpy_codec.coder.verified(later)


def test_numbers_of_a_program_take_no_memory_before_they_are_refused(program):
    with pytest.raises(DataError, match="what is drawn"):
        check(replace(program, shape=(1, (1 << 20) - 1, (1 << 20) - 1)), "")
    count = 1 << 18  # instructions that all have all of as many sites
    rows = np.int32([[0, 0, count, 0]]).repeat(count, 0)
    sites = np.zeros(count, np.int32)
    sites[-1] = 1 << 20
    steps = np.full_like(program.steps, count)
    steps[0] = 0
    with pytest.raises(DataError, match="damaged"):
        check(replace(program, instructions=rows, sites=sites, steps=steps), "")


@pytest.mark.parametrize("name", ["Plain", "Attending", "Recurrent"])
def test_no_number_of_a_program_leads_out_of_its_memory(name):
    program = freeze(net_of(NETS[name], COLOUR).float().eval())
    check(program, "")
    far = 1 << 20

    def refused(**changed):
        with pytest.raises(DataError, match="damaged"):
            check(replace(program, **changed), "")

    for field in ("instructions", "steps", "sites", "draws", "drawn", "due"):
        values = getattr(program, field).copy()
        last = program.instructions[-1, 2:].sum() - 1 if field == "sites" else -1
        values.flat[last] = 200 if field == "due" else far
        refused(**{field: values})
        if values.ndim == 1:  # of one row each, all of these seem to rise
            refused(**{field: getattr(program, field)[:, None]})
    memories = [replace(each, shared=True) for each in program.memories]
    refused(memories=tuple(memories))
    refused(groups=float(program.groups))
    for number, place in enumerate(program.places):
        around = program.places[:number], program.places[number + 1 :]
        for change in ({"memory": far}, {"first": far}, {"first": -1}, {"maps": 1.0}):
            refused(places=(*around[0], replace(place, **change), *around[1]))
    for number, operation in enumerate(program.operations):
        around = program.operations[:number], program.operations[number + 1 :]
        wrong = [{field: -1} for field in NUMBERS if field not in ("alpha", "beta")]
        wrong += [{field: None} for field in NUMBERS]
        wrong += [{"out": far}, {"kind": "SIN"}, {"alpha": 10**400}, {"fused": 1 << 15}]
        if operation.table is not None:
            table = operation.table.copy()
            table.flat[0] = far
            wrong += [{"table": table[..., :-1]}, {"table": None}]
            if not any(program.places[each].passing for each in (operation.in0, operation.in1)):
                wrong.append({"table": table})  # else it is not by sites that it reads
        if operation.kind == "ATTEND":
            wide = replace(program.places[operation.values], maps=operation.count // LANES * LANES + 2 * LANES)
            own = program.memories[wide.memory]
            rooms = [replace(each, row=8 * each.row) if each is own else each for each in program.memories]
            places = [wide if each == operation.values else place for each, place in enumerate(program.places)]
            refused(places=tuple(places), memories=tuple(rooms))  # the kernel's stack has no room for what it mixes
        if operation.weight is not None:
            wrong += [{"weight": operation.weight[..., :-1]}, {"weight": None}]
        for change in wrong:
            refused(operations=(*around[0], replace(operation, **change), *around[1]))
    assert Frozen.from_bytes(program.to_bytes()).operations[0].kind == program.operations[0].kind


@pytest.mark.parametrize("walk", [PortableWalk, pytest.param(StrictWalk, marks=pytest.mark.needs_compiler)])
def test_words_that_no_encoder_writes_are_refused_by_whoever_reads_them(program, walk):
    with pytest.raises(DataError, match="damaged"):
        walk(program, 1).decode(Unpacker([0xFFFF_FFFF] * 2))
    walk(program, 1).decode(Unpacker([0xFFFF_FFFF, 0]))


@pytest.mark.parametrize("name", ["sites", "due", "operation.1.weight", "operation.1.table"])
def test_arrays_of_another_type_are_no_codec_file(program, name):
    """The kernel would read other numbers from them, or beyond their end."""
    arrays = load(program.to_bytes())
    kind = arrays[name].dtype
    assert Frozen.from_bytes(save(arrays)).levels == program.levels
    for other in (np.float16, np.int64):
        with pytest.raises(DataError, match="this is not a codec file") as caught:
            Frozen.from_bytes(save(arrays | {name: arrays[name].astype(other)}), "a.codec")
        assert (caught.value.where, caught.value.found) == ("a.codec", f"{np.dtype(other)} in place of {kind}")
