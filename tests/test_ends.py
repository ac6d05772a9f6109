"""What a rank announces at its end, makes of the ends of others, and how long it waits, by a clock of its own."""

import json
from types import SimpleNamespace

import pytest

from pixkit.errors import RankError
from pixkit.ranks import ends
from pixkit.ranks.ends import GRACE, LOOK, SAVING, SPEAKING, Ends, named

TIMEOUT = 7.0


class Board(dict):
    """What the ranks have announced, now or at a time to come; `gone` from a time on."""

    def __init__(self, later=(), gone=None):
        super().__init__()
        self.later, self.gone, self.now, self.slept, self.told = dict(later), gone, 0.0, [], []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def _there(self):
        if self.gone is not None and self.now >= self.gone:
            raise RuntimeError("the store is gone")
        return self | {key: text for key, (since, text) in self.later.items() if since <= self.now}

    def set(self, key, text):
        self._there()
        self.told.append((key, text))
        self[key] = text

    def get(self, key):
        return self._there()[key]

    def check(self, keys):
        return set(keys) <= set(self._there())


@pytest.fixture
def board(monkeypatch):
    def made(gone=None, **later):
        """Keys are said as `end_2="left"` at once, or as `end_2=(3, "left")` three seconds later."""
        given = {key.replace("_", "/"): said for key, said in later.items()}
        found = Board({key: (0, said) if isinstance(said, str) else said for key, said in given.items()}, gone)
        monkeypatch.setattr(ends, "time", SimpleNamespace(monotonic=lambda: found.now, sleep=found.sleep))
        return found

    return made


@pytest.mark.parametrize(("later", "found", "seconds"), [
    ({}, "ranks 0, 2 are gone, or gave no sign of life for 7 seconds", GRACE),
    ({"there_0": ""}, "rank 2 is gone, or gave no sign of life for 7 seconds", GRACE),
    ({"there_0": "", "there_2": ""}, "the connection between them was lost: why", 0),
    ({"there_0": (1, ""), "there_2": (2, "")}, "the connection between them was lost: why", 2),
    ({"end_2": "failed: X"}, "rank 2 failed: X", 0),
    ({"end_0": "failed: Y", "end_2": "failed: X"}, "rank 0 failed: Y; rank 2 failed: X", 0),
    ({"end_0": "left", "end_2": "failed: X"}, "rank 2 failed: X", 0),
    ({"end_2": (1, "failed: X")}, "rank 2 failed: X", 1),
    ({"end_2": "left", "there_0": ""}, "rank 2 left", 0),
    ({"end_2": "left"}, "rank 0 is gone, or gave no sign of life for 7 seconds", GRACE),
])  # fmt: skip
def test_ranks_that_do_not_answer_are_given_time_to_say_that_they_are_there(board, later, found, seconds):
    said = board(**later)
    error = Ends(said, 1, 3, TIMEOUT).lost("why")
    assert isinstance(error, RankError) and error.found == found and said.told == [("there/1", "")]
    assert seconds <= said.now < seconds + 1.5 * LOOK and set(said.slept) <= {LOOK}
    for_good = "failed" in found or found.endswith("left")
    assert error.hint.startswith("start them again") and ("PIXKIT_RANKS_TIMEOUT" in error.hint) is not for_good


@pytest.mark.parametrize("gone", [0, 1])
def test_with_its_store_rank_0_is_gone(board, gone):
    said = board(gone)
    end = Ends(said, 2, 3, TIMEOUT)
    assert end.lost("why").found == "rank 0 is gone, or gave no sign of life for 7 seconds" and said.now < gone + LOOK
    end.leave(None, lambda: None)  # it has said so


@pytest.mark.parametrize(("error", "end", "told"), [
    (None, "left", [("end/0", "left")]),
    (ValueError("bad"), "failed: ValueError: bad", [("end/0", "failed: ValueError: bad")]),
    (KeyError(), "failed: KeyError", [("end/0", "failed: KeyError")]),
    (RankError("others"), None, []),
])  # fmt: skip
def test_rank_0_announces_its_end_and_waits_until_the_others_have_seen_it(board, error, end, told):
    said = board(parted_1=(1, ""), parted_2=(2, ""))
    let_go = []
    Ends(said, 0, 3, TIMEOUT).leave(error, lambda: let_go.append(said.get("end/0") if told else None))
    assert let_go == [end]
    assert said.told == [*told, ("there/0", ""), ("named", "[]"), ("gone/0", ""), ("parted/0", "")]
    assert 2 <= said.now < 2 + 2 * LOOK


@pytest.mark.parametrize(("later", "seconds"), [({}, GRACE), ({"parted_1": (1, "")}, 1)])
def test_rank_0_does_not_wait_long_nor_for_those_that_are_gone_and_names_those_that_failed(board, later, seconds):
    said = board(end_1="failed: X", there_1="", **later)
    end = Ends(said, 0, 3, TIMEOUT)
    assert end.lost("why").found == "rank 1 failed: X"
    end._silent = [2]
    said.told.clear()
    end.leave(None, lambda: None)
    assert ("named", json.dumps([1])) in said.told and seconds <= said.now < seconds + 2 * LOOK


LEFT = {"gone_0": (3, ""), "end_0": "left", "named": "[]"}
FAILED = {"gone_0": (3, ""), "end_0": "failed: ValueError: bad", "named": "[2]"}


def leaving(board, rank, error, later):
    """What is raised, or the rank's own error; and what was said and how long it took."""
    said = board(**later)
    try:
        Ends(said, rank, 3, TIMEOUT).leave(error, lambda: said.told.append("let go"))
    except RankError as raised:
        assert raised is not error
        return raised, said
    return error, said


def test_a_rank_does_not_leave_before_rank_0(board):
    error, said = leaving(board, 2, None, LEFT)
    assert error is None and 3 <= said.now < 3 + 2 * LOOK and SPEAKING not in said.slept
    assert said.told == [("end/2", "left"), "let go", ("there/2", ""), ("gone/2", ""), ("parted/2", "")]


@pytest.mark.parametrize(("rank", "error", "later", "found", "told", "seconds"), [
    (1, None, FAILED, "rank 0 failed: ValueError: bad", True, 3),
    (1, None, {}, "rank 0 is gone, or gave no sign of life for 7 seconds", False, TIMEOUT),
    (2, None, {}, "rank 0 is gone, or gave no sign of life for 7 seconds", True, TIMEOUT),
    (1, ValueError("bad"), FAILED, None, True, 3),  # rank 0 failed as it did
    (1, ValueError("other"), FAILED, None, False, 3),
    (2, ValueError("other"), FAILED, None, True, 3),  # rank 0 has named it
    (1, ValueError("bad"), LEFT, None, False, 3),
    (1, ValueError("bad"), {}, None, False, SAVING),
    (1, RankError("others"), FAILED, None, True, 3),
    (1, RankError("others"), LEFT, None, False, 3),
    (1, RankError("others"), {}, None, False, SAVING),
    (2, RankError("others"), {}, None, True, SAVING),
])  # fmt: skip
def test_one_rank_tells_why_the_ranks_end(board, rank, error, later, found, told, seconds):
    ended, said = leaving(board, rank, error, later)
    assert (ended is error) == (error is not None) and getattr(ended, "found", None) == found
    assert ended.told is told
    assert seconds + SPEAKING <= said.now < seconds + SPEAKING + 2 * LOOK and said.slept[-1] == SPEAKING
    announced = [one for one in said.told if one[0] == f"end/{rank}"]
    assert len(announced) == (not isinstance(error, RankError)) and "let go" in said.told


@pytest.mark.parametrize(("silent", "broken", "later", "seconds", "saw"), [
    ([0], False, {"gone_0": ""}, 0, False), ([], True, {"gone_0": ""}, GRACE, False),
    ([], True, {"there_0": (1, ""), "gone_0": (2, "")}, 2, True), ([2], False, {"gone_0": (2, "")}, 2, True),
])  # fmt: skip
def test_a_rank_0_that_is_known_to_be_gone_is_not_waited_for(board, silent, broken, later, seconds, saw):
    said = board(**later)
    end = Ends(said, 1, 3, TIMEOUT)
    end._silent, end._broken = silent, broken
    assert end._sees_0_go(60) is saw and seconds <= said.now < seconds + 2 * LOOK


def test_the_first_that_is_alive_tells_of_the_others(board):
    for silent, failed, told in (
        ([0], {}, [False, True, True]),
        ([0, 1], {}, [True, False, True]),
        ([0], {1: "x"}, [True] * 3),
    ):
        found = []
        for rank in (1, 2, 3):
            end = Ends(board(), rank, 4, TIMEOUT)
            end._silent, end._failed = silent, failed
            found.append(end._told(False, None))
        assert [one for rank, one in enumerate(found, 1) if rank not in silent] == [
            one for rank, one in enumerate(told, 1) if rank not in silent
        ]


def test_ranks_are_named():
    assert (named([2]), named([1, 3])) == ("rank 2 is", "ranks 1, 3 are")
