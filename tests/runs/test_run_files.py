"""Files of a run that are something else, or say something else, than pixkit writes."""

import errno
import importlib
import json
import os
from pathlib import Path

import pytest

from pixkit.errors import CheckpointError, RunError
from pixkit.runs.contents import LOCK_HEADER
from pixkit.runs.holder import read_holder
from pixkit.runs.metrics import read_rows
from pixkit.runs.places import STEP
from pixkit.runs.run import Run
from pixkit.runs.runfile import MAX_DEPTH, RunFile, first_line, parse_json, read_line
from pixkit.runs.schema import Environment, FinalScores, Lock, read_record, typed
from pixkit.runs.summary import find_runs

ROW = {"split": "test", "weights": "ema", "kind": "exact", "images": 3, "nats": 1, "stderr": None, "bits_per_dim": 0.5}
LOCK = {
    "image": {"channels": 1, "height": 8, "width": 8, "levels": 17},
    "classes": 10,
    "data": {"description": "digits", "hashes": {"train": "0"}},
    "parameters": 5,
    "changes": [],
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "env.json"
    path.write_text("{}")
    return path


def replaced(path, make):
    path.unlink()
    make(path)
    return RunFile(path, 1000)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a pipe or a device"),
        (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device"),
        (lambda path: path.symlink_to("absent"), "No such file"),
        (lambda path: path.symlink_to(path.name), "a link"),
        (lambda path: path.write_bytes(bytes(1001)), "1001 bytes"),
        (lambda path: (path.touch(), os.truncate(path, 2**40)), f"{2**40} bytes"),
    ],
)
def test_what_is_no_regular_file_of_a_sensible_size_is_refused_at_once(file, make, reason):
    reading = replaced(file, make)
    for read in (reading.content, reading.content_if_any, reading.json_if_any, lambda: list(reading.lines_if_any(99))):
        with pytest.raises(RunError, match="cannot be read") as caught:
            read()
        assert caught.value.where == str(file)
        assert reason in caught.value.found


def test_what_is_missing_is_told_apart_from_what_cannot_be_read(tmp_path):
    reading = RunFile(tmp_path / "absent", 1000, error=CheckpointError, hint="look elsewhere")
    assert reading.content_if_any() is reading.json_if_any() is reading.text_if_any() is None
    assert list(reading.lines_if_any(10)) == []
    with pytest.raises(CheckpointError, match="No such file") as caught:
        reading.content()
    assert caught.value.hint == "look elsewhere"


def test_readers_follow_links(file, tmp_path):
    """As they are in a hub's snapshots."""
    (tmp_path / "link").symlink_to(file)
    assert RunFile(tmp_path / "link", 1000).content() == b"{}"


def test_more_bytes_than_the_memory_takes_are_an_error_of_the_run(file, monkeypatch):
    class Endless:
        def fileno(self):
            return standing.fileno()

        def read(self, count):
            assert count < 2**30  # not for all that it may have
            raise MemoryError

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("pixkit.runs.runfile.open_regular", lambda *_, **__: Endless())
    with open(file, "wb") as standing, pytest.raises(RunError, match="fit into memory"):
        RunFile(file, 2**50).content()


def test_of_a_large_file_all_is_read(file):
    os.truncate(file, 16_000_005)
    assert len(RunFile(file, 2**25).content()) == 16_000_005


@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="the system has no files that do not say their size"
)
def test_a_file_that_is_larger_than_it_says_is_not_cut_off():
    with pytest.raises(RunError, match="cannot be read") as caught:
        RunFile(Path("/proc/self/status"), 10).content()
    assert (caught.value.found, caught.value.expected) == ("more than 10 bytes", "at most 10 bytes")


def test_text_is_utf_8_with_or_without_a_mark(file):
    file.write_bytes(b"\xef\xbb\xbfone\r\n")
    assert RunFile(file, 1000).text() == RunFile(file, 1000).text_if_any() == "one\r\n"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(RunError, match="0xe9"):
        RunFile(file, 1000).text()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1,]", "nan", '{"a": NaN}', "[Infinity]", "1e999", "[-1e999]", "9" * 5000, '{"a": 1, "a": 2}'),
        *("[" * 100_000, '{"a":' * 100_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "\ud800"),
    ],
)
def test_json_that_pixkit_does_not_write_is_a_value_error(text):
    for form in (text, text.encode("utf-8", "surrogatepass")):
        with pytest.raises(ValueError):
            parse_json(form)


DEEP = json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)


@pytest.mark.parametrize("value", [None, [], {"a": [1, 2.5, "é", None, {"b": True}]}, 2**70, DEEP])
def test_json_that_it_writes_is_read(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_pointer_may_end_as_any_editor_ends_a_line(tmp_path, end):
    (tmp_path / "last").write_bytes(f"step-5{end}".encode())
    assert read_line(tmp_path / "last", r"step-\d+", "step-5") == "step-5"


@pytest.mark.parametrize("text", ["step-5\nstep-5\n", "step-\u0665", " step-5", "", "x" * 10_000])
def test_a_pointer_with_anything_else_is_a_checkpoint_error(tmp_path, text):
    (tmp_path / "last").write_bytes(text.encode())
    with pytest.raises(CheckpointError):
        read_line(tmp_path / "last", r"step-\d+", "step-5")


def test_the_first_line_of_an_endless_file_is_short(file):
    replaced(file, lambda path: path.symlink_to("/dev/zero"))
    assert first_line(file) is None
    file.unlink()
    file.write_bytes(b"x" * 10_000)
    assert first_line(file) == "x" * 200


@pytest.mark.parametrize(
    ("model", "value", "key"),
    [
        (Environment, [], "contents are wrong"),
        (Environment, {"plugins": []}, "'plugins'"),
        (Environment, {"plugins": {"a": 1}}, r"'plugins\.a'"),
        (Environment, {"previous": [1]}, r"'previous\.0'"),
        (FinalScores, {"scores": {}}, "'scores'"),
        (FinalScores, {"scores": [{**ROW, "images": True}]}, r"'scores\.0\.images'"),
        (FinalScores, {"scores": [{**ROW, "images": -1}]}, r"'scores\.0\.images'"),
        (FinalScores, {"scores": [{**ROW, "images": 10**30}]}, r"'scores\.0\.images'"),
        (FinalScores, {"scores": [{**ROW, "images": 3.0}]}, r"'scores\.0\.images'"),
        (FinalScores, {"scores": [{**ROW, "nats": "1"}]}, r"'scores\.0\.nats'"),
        (FinalScores, {"scores": [{**ROW, "kind": "guess"}]}, r"'scores\.0\.kind'"),
        (FinalScores, {"scores": [{**ROW, "parts": {"kl": []}}]}, r"'scores\.0\.parts\.kl'"),
        (Lock, {**LOCK, "image": {**LOCK["image"], "height": 0}}, r"'image\.height'"),
        (Lock, {**LOCK, "image": {**LOCK["image"], "height": 2**20, "width": 2**20}}, "'image'"),
        (Lock, {**LOCK, "classes": "10"}, "'classes'"),
        (Lock, {**LOCK, "data": {"description": "digits"}}, r"'data\.hashes' is missing"),
        (Lock, {**LOCK, "changes": None}, "'changes'"),
    ],
)
def test_odd_values_are_named_with_what_was_expected(model, value, key):
    with pytest.raises(RunError, match=key) as caught:
        typed(model, value, "there")
    assert caught.value.where == "there"
    missing = caught.value.message.endswith("is missing")
    assert [bool(caught.value.found), bool(caught.value.expected)] == [not missing] * 2


def test_what_a_newer_pixkit_says_besides_is_no_error_but_another_format_is():
    more = {"of_a_newer_pixkit": {"a": [1]}}
    assert typed(FinalScores, {"scores": [{**ROW, **more}], **more}, "there").scores[0].nats == 1
    assert typed(Lock, {**LOCK, "image": {**LOCK["image"], **more}, **more}, "there").image.levels == 17
    with pytest.raises(RunError, match="written by a newer pixkit") as caught:
        typed(Environment, {"format": 2, "plugins": "something else"}, "there")
    assert caught.value.hint == "use a newer pixkit"


def test_rows_that_are_none_are_left_out_wherever_they_stand(tmp_path):
    path = tmp_path / "metrics.jsonl"
    bad = ['{"step": "2"}', '{"step": true}', '{"step": -1}', '{"step": 3, "event": []}', "[" * 5000, "\xff", "", "7"]
    lines = ['{"step": 1}', *bad, '{"step": 4, "new": {}}', '{"step": 5}']
    path.write_text("\n".join(lines), encoding="latin-1")
    assert list(read_rows(path)) == [{"step": 1}, {"step": 4, "new": {}}]
    path.write_bytes(b'{"step": 1}\n' + bytes(2_000_000))
    with pytest.raises(RunError, match="a line of more than"):
        list(read_rows(path))


LARGEST = {
    "build.lock": (4096, lambda path: read_holder(path).pid, '{"pid": 5}', 5),
    "last": (100, lambda path: read_line(path, STEP, "step-5"), "step-5", "step-5"),
    "metrics.jsonl": (1_000_000, lambda path: list(read_rows(path)), '{"step": 5}', [{"step": 5}]),
    "env.json": (16_000_000, lambda path: read_record(path, Environment), '{"pixkit": "1"}', {"pixkit": "1"}),
}


@pytest.mark.parametrize("name", LARGEST)
def test_files_as_large_as_they_may_be_are_read_and_no_larger_ones(tmp_path, name):
    size, read, text, found = LARGEST[name]
    path = tmp_path / name
    for more in (0, 1):
        path.write_text(text + " " * (size + more - len(text) - 1) + "\n")
        if more:
            with pytest.raises((OSError, RunError, CheckpointError)):
                read(path)
        else:
            assert read(path) == found


def test_a_run_whose_lock_was_damaged_is_still_listed_and_says_why(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("env.json", "recipe.yaml", "metrics.jsonl"):
        (folder / name).write_text("")
    (tmp_path / "other" / "checkpoints").mkdir(parents=True)
    for name in ("env.json", "metrics.jsonl"):  # three of its names make no run
        (tmp_path / "other" / name).write_text("")
    for text, reason in (("", "does not begin"), (None, "other files of a run"), (LOCK_HEADER[:30], "does not begin")):
        lock = folder / "recipe.lock.yaml"
        lock.unlink(missing_ok=True)
        if text is not None:
            lock.write_text(text)
        assert [run.path for run in find_runs(tmp_path)] == [folder]
        with pytest.raises(RunError, match=reason):
            Run.open(folder)
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(RunError, match="a pipe"):
        Run.open(folder)


def test_what_nobody_else_may_look_into_is_passed_over_and_what_cannot_be_told_is_listed(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    for error, found in ((PermissionError, []), (OSError(errno.EIO, "no"), [folder]), (RunError("no"), [folder])):

        def looked(path, error=error):
            if path.parent == folder:
                raise error
            return None

        monkeypatch.setattr(importlib.import_module("pixkit.runs.summary"), "kind_at", looked)
        assert [run.path for run in find_runs(tmp_path)] == found


def test_a_lock_with_a_mark_and_other_line_ends_is_one(tmp_path):
    (tmp_path / "recipe.lock.yaml").write_bytes(b"\xef\xbb\xbf" + LOCK_HEADER.replace("\n", "\r\n").encode())
    assert Run(tmp_path).started


def segments(*pairs):
    return {**LOCK, "segments": [{"step": step, "steps": steps} for step, steps in pairs]}


@pytest.mark.parametrize("lock", [
    segments(), segments((0, 5)), segments((0, 5), (4, 1), (9, 3)), {**LOCK, "classes": None},
    {**LOCK, "classes": 2, "class_names": ["a", "b"]},
], ids=str)  # fmt: skip
def test_what_a_build_writes_into_a_lock(lock):
    assert typed(Lock, lock, "there").parameters == LOCK["parameters"]


@pytest.mark.parametrize(("lock", "expected"), [
    (segments((1, 5)), "segments from step 0 on"), (segments((1, 5), (2, 5)), "segments from step 0 on"),
    (segments((0, 5), (0, 5)), "one after another"), (segments((0, 5), (4, 5), (3, 5)), "one after another"),
    (segments((0, 5), (0, 5), (3, 5)), "one after another"), (segments((0, 0)), "greater than or equal to 1"),
    ({**LOCK, "classes": 3, "class_names": ["a", "b"]}, "3 class_names, all different"),
    ({**LOCK, "classes": 2, "class_names": ["a", "a"]}, "2 class_names, all different"),
    ({**LOCK, "classes": None, "class_names": ["a"]}, "None class_names, all different"),
    ({**LOCK, "image": {**LOCK["image"], "height": 2**14, "width": 2**14 + 1}}, "more than 268435456 sub-pixels"),
], ids=str)  # fmt: skip
def test_what_no_build_writes_into_a_lock(lock, expected):
    with pytest.raises(RunError) as caught:
        typed(Lock, lock, "there")
    assert expected in caught.value.expected


def test_an_image_may_have_so_many_sub_pixels():
    size = {"channels": 1, "height": 2**14, "width": 2**14}
    assert typed(Lock, {**LOCK, "image": {**LOCK["image"], **size}}, "there").image.width == 2**14


def test_a_part_of_json_is_said_as_far_as_it_is_short():
    for text, said in (
        ('{"' + "k" * 61 + '": 1, "' + "k" * 61 + '": 2}', f"the key '{'k' * 60}' appears twice"),
        ("1" * 39 + "e999", f"{'1' * 39}e is too large for a float"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_json(text)


def test_of_a_line_that_is_none_the_beginning_is_shown(tmp_path):
    for length, shown in ((80, 80), (81, 80)):
        (tmp_path / "last").write_text("x" * length)
        with pytest.raises(CheckpointError, match="unreadable") as caught:
            read_line(tmp_path / "last", STEP, "step-250")
        assert caught.value.found == repr("x" * shown) and caught.value.expected == "a line like step-250"
