"""What a codec says of files it cannot take, which walks it keeps, and what codes where no compiler is."""

import hashlib
import json

import numpy as np
import pytest
from nets import NETS, net_of
from safetensors.numpy import load, save
from teacher import GREY

from pixkit.codec import coder as coding
from pixkit.codec import names as naming
from pixkit.codec.codec import Codec
from pixkit.codec.freezing import freeze
from pixkit.codec.frozen import Frozen
from pixkit.codec.names import told
from pixkit.codec.part import lost
from pixkit.codec.portable import PortableWalk
from pixkit.codec.trial import trial
from pixkit.errors import DataError
from pixkit.execution.native.compile import NoCompiler


@pytest.fixture(scope="module")
def program():
    return freeze(net_of(NETS["Plain"], GREY).float().eval())


def said_of(call, *given):
    with pytest.raises(DataError) as caught:
        call(*given)
    error = caught.value
    return error.message, error.where, error.found, error.expected, error.hint


def rewritten(program, change):
    """The codec file with another text in place of its facts."""
    arrays = load(program.to_bytes())
    text = change(json.loads(bytes(arrays["program"])))
    return save(arrays | {"program": np.frombuffer(text.encode(), np.uint8)})


def without(facts, name):
    return json.dumps({key: value for key, value in facts.items() if key != name})


def test_a_program_has_the_same_bytes_whatever_version_writes_it():
    """By which a file names its codec, also where the run is frozen anew to decode it."""
    content = trial().to_bytes()
    assert hashlib.sha256(content).hexdigest() == "4dc85601505f3a65b5a956a67ea0174256f74a4ee6eb627ba6b88ad1b813c4c5"


def test_a_codec_file_of_another_version_is_told_from_what_is_none(program):
    assert Frozen.from_bytes(rewritten(program, json.dumps)).shape == program.shape
    for version in (0, 2):
        newer = rewritten(program, lambda facts, version=version: json.dumps(facts | {"format": version}))
        assert said_of(Frozen.from_bytes, newer, "a.codec") == (
            "a codec file of another version", "a.codec", None, "format 1", None
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: "{",
        lambda facts: "3",
        lambda facts: "[]",
        lambda facts: "[" * 10**5,
        lambda facts: without(facts, "levels"),
        lambda facts: without(facts, "places"),
        lambda facts: without(facts, "format"),
        lambda facts: json.dumps(facts | {"x" * 300: 1}),
        lambda facts: json.dumps(facts | {"mixture": {"family": "normal"}}),
    ],
)
def test_whatever_else_a_file_holds_is_no_codec_file(program, change):
    message, where, found, *_ = said_of(Codec.from_bytes, rewritten(program, change), "a.codec")
    assert (message, where) == ("this is not a codec file", "a.codec")
    assert 0 < len(found) <= 200


def test_a_program_that_leads_out_of_its_memory_is_told_with_its_file(program):
    far = rewritten(program, lambda facts: json.dumps(facts | {"params": len(facts["places"])}))
    assert Frozen.from_bytes(far).params == len(program.places)
    assert said_of(Codec.from_bytes, far, "a.codec")[:2] == ("a codec file that is damaged", "a.codec")


def test_bytes_that_are_no_file_of_arrays_are_no_codec_file():
    assert said_of(Codec.from_bytes, b"\0" * 9)[:2] == ("this is not a codec file", "a codec file")


def test_one_walk_more_than_there_are_threads_is_kept_and_used_again(program):
    codec = Codec(program, walk=PortableWalk, threads=1)
    for batch in (1, 2, 3):
        with codec.coder.walking(batch):
            pass
    first, second = codec.coder.made
    assert (first.batch, second.batch) == (2, 3)
    with codec.coder.walking(2) as walk:
        assert walk is first and codec.coder.made == [second]
        with codec.coder.walking(2) as another:  # while that is in use
            assert another is not first and another.batch == 2
    assert codec.coder.made == [another, first]


def test_without_a_compiler_numpy_codes_and_that_is_said(program, monkeypatch):
    def missing(real):
        raise NoCompiler(f"no kernel of {real}")

    monkeypatch.setattr(coding, "kernel", missing)
    with pytest.warns(UserWarning, match="^images are coded by numpy, which takes far longer than") as warned:
        codec = Codec(program)
    assert codec.walk is PortableWalk
    assert str(warned[0].message).endswith("compiled code: no kernel of strict") and warned[0].filename == __file__
    monkeypatch.setattr(coding, "kernel", lambda real: None)
    assert coding.quickest() is coding.StrictWalk


def test_names_that_are_too_long_are_told_by_their_length(monkeypatch):
    monkeypatch.setattr(naming, "MOST_NAMES", 30)
    told(["x" * 26])
    hint = "compress them in several parts, or as an array, whose images are numbered under one name"
    for names, length in ((["x" * 27], 31), ([f"{number:02d}.p" for number in range(8, 16)], 32)):
        assert said_of(told, names) == (
            "too many names, or too long ones", "names of images", f"{length} characters", "at most 30", hint
        )  # fmt: skip


def test_images_that_decode_to_others_are_told_by_their_numbers():
    assert said_of(lambda: (_ for _ in ()).throw(lost(4, 3))) == (
        "decoding does not give back what was encoded, so nothing is written", "images 4..6", None, None,
        "try again; if it fails again, another machine or another compiler (CC)",
    )  # fmt: skip
