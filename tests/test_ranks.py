"""Several processes: what they exchange, and how they end when one of them does."""

import math
import os
import signal
import socket
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from together import Together

from pixkit.cli.main import main
from pixkit.errors import PixkitError, RankError, UsageError
from pixkit.ranks import ALONE, Ranks, board, connection, group, joined, launch, launched

NCCL = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")
"""The types of numbers that NCCL takes."""


WHOLE = dict.fromkeys(launch._FROM_LAUNCHER, "3")
"""What a launcher sets."""


class Strict:
    """A group that refuses what NCCL would refuse."""

    def __init__(self, group):
        self._group = group

    def __getattr__(self, name):
        def call(*given):
            tensors = [one for one in given if isinstance(one, torch.Tensor)]
            assert tensors and {str(one.dtype).removeprefix("torch.") for one in tensors} <= {*NCCL}
            assert all(one.is_contiguous() for one in tensors) and len({one.device for one in tensors}) == 1
            if name == "alltoall_base":
                assert tensors[0].shape == tensors[1].shape and len(tensors[0]) == self._group.size()
            if name == "_allgather_base":
                assert tensors[0].numel() == self._group.size() * tensors[1].numel()
            return getattr(self._group, name)(*given)

        return call


def exchange(ranks):
    ranks._groups = {kind: Strict(one) for kind, one in ranks._groups.items()}
    own = ranks.rank
    full = torch.full((2, 3), float(own))
    rows = torch.full((ranks.size, 2), float(own)) + torch.arange(ranks.size)[:, None] / 10
    tensor = torch.tensor([complex(own, 1)] * 3)
    ranks.spread([tensor])
    ranks.wait()
    counts = [2, 1, 0, 1][: ranks.size + 1]
    turns = [[part] * counts[part] for part in ranks.shared(range(len(counts)))]
    own_rows = torch.tensor([part for some in turns for part in some], dtype=torch.int64)
    taking = ranks.taking(range(7))
    taken = [next(taking)] if ranks.first else []
    ranks.wait()
    if not ranks.first:
        taken += taking
    ranks.wait()  # rank 0 is slow
    taken += taking
    ranks.wait()
    first = None if ranks.size < 3 or own == 2 else ranks.some(2).gather(own)
    return {
        "parts": ranks.shared(range(7)),
        "taken": [taken, [*ranks.taking("abcd")], [*ranks.taking("abc")]],
        "gathered": ranks.gather([own, math.nan if own else 0.1, "x" * (5000 * own)]),
        "fits": [len(ranks.gather("x" * (connection.USUAL - 8 - 2 + more))[-1]) for more in range(-1, 3)],
        "agreed": ranks.agreed({"of": own}),
        "swapped": ranks.swapped(rows).tolist(),
        "joined": ranks.joined(torch.tensor([own, -0.0])).tolist(),
        "spread": tensor.tolist(),
        "lists": [
            [(one.tolist(), one.stride()) for one in some]
            for some in ranks.lists([full.t(), full[:, ::2], full[:1, :1].expand(1, 2)] * own, torch.device("cpu"))
        ],
        "in order": ranks.in_order(own_rows, counts).tolist(),
        "first": first,
        "tensors": [one.tolist() for one in ranks.tensors(torch.full((own + 1, 2), own))],
    }


class Elsewhere(list):
    """A group of GPUs, and what was asked of it in the end."""

    def shutdown(self):
        self.append("shutdown")

    def abort(self):
        self.append("abort")


def test_groups_of_gpus_are_ended_with_their_ranks(tmp_path):
    found = []
    for number, error in enumerate((None, ValueError())):
        one = Ranks(0, 1, store=dist.FileStore(str(tmp_path / f"store-{number}"), 1))
        one._groups["cuda"], one.size = Elsewhere(), 2
        found.append(one._groups["cuda"])
        one._ends.leave = lambda error, let_go: let_go()
        one.leave(error)
        assert not one._groups
    assert found == [["shutdown"], ["abort"]]


def failing(ranks):
    if ranks.rank == 1:
        raise ValueError("no such thing")
    ranks.wait()


class Broken:
    """A group that nothing can be exchanged in."""

    def _allgather_base(self, *tensors):
        raise RuntimeError("Duplicate GPU detected\nmore")


def disconnected(ranks):
    ranks._groups["cpu"] = Broken()
    ranks.wait()


def killed(ranks):
    if ranks.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.wait()


def hanging(ranks):
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    ranks.wait()


def hanging_alone(ranks):
    ranks.decided(lambda: os.kill(os.getpid(), signal.SIGSTOP))


def ended_alone(ranks):
    """Rank 0 hangs when the others have nothing more to do."""
    if ranks.first:
        os.kill(os.getpid(), signal.SIGSTOP)


def working(ranks):
    """How often ranks hear of one another while rank 0 does three things, twice: each is a sign of life."""
    group.SIGNS = math.inf
    heard, gather = [], ranks.gather
    ranks.gather = lambda plain: (heard.append(plain), gather(plain))[1]

    def work():
        for turn in range(3):
            ranks.telling(done.append)(turn)
        return len(done)

    done = []
    with ranks.first_before_others():
        found = work() if ranks.first else 0
    ranks.telling(done.append)(3)  # nobody waits: none is given
    return found, ranks.decided(work), len(heard)


@pytest.fixture
def together(tmp_path):
    yield (processes := Together(tmp_path))
    processes.end()


def test_ranks_exchange_what_each_has(together):
    found = together.run(exchange, 3)
    assert [one["parts"] for one in found.values()] == [[0, 3, 6], [1, 4], [2, 5]]
    taken = [one["taken"] for one in found.values()]
    assert taken[0][0] == [0] and sorted(taken[1][0] + taken[2][0]) == [1, 2, 3, 4, 5, 6]
    assert sorted(each for one in taken for each in one[1]) == ["a", "b", "c", "d"]
    assert [one[2] for one in taken] == [["a"], ["b"], ["c"]]
    for rank, one in found.items():
        assert str(one["gathered"]) == str([[0, 0.1, ""], [1, math.nan, "x" * 5000], [2, math.nan, "x" * 10000]])
        assert one["fits"] == [connection.USUAL - 10 + more for more in range(-1, 3)]
        assert one["agreed"] == {"of": 0}
        assert one["swapped"] == torch.tensor([[owner + rank / 10] * 2 for owner in range(3)]).tolist()
        assert one["joined"] == [[0, 0], [1, 0], [2, 0]] and math.copysign(1, one["joined"][2][1]) == -1
        lay = ((3, 2), (1, 3)), ((2, 2), (3, 2)), ((1, 2), (2, 1))  # with gaps; not several elements that are one
        assert one["lists"] == [
            [([[float(rank)] * width] * height, stride) for (height, width), stride in lay] * rank for rank in range(3)
        ]
        assert one["spread"] == [1j] * 3
        assert one["in order"] == [0, 0, 1, 3] and one["first"] == (None if rank == 2 else [0, 1])
        assert one["tensors"] == [[[0, 0]], [[1, 1]] * 2, [[2, 2]] * 3]


def test_a_process_alone_exchanges_nothing():
    assert str(exchange(ALONE)) == str(
        {
            "parts": list(range(7)),
            "taken": [list(range(7)), [*"abcd"], [*"abc"]],
            "gathered": [[0, 0.1, ""]],
            "fits": [connection.USUAL - 10 + more for more in range(-1, 3)],
            "agreed": {"of": 0},
            "swapped": [[0.0, 0.0]],
            "joined": [[0.0, -0.0]],
            "spread": [1j] * 3,
            "lists": [[]],
            "in order": [0, 0, 1],
            "first": None,
            "tensors": [[[0, 0]]],
        }
    )


@pytest.mark.parametrize(
    ("work", "ending", "timeout", "says"),
    [
        (failing, [0, 2], 60.0, "rank 1 failed: ValueError: no such thing"),
        (killed, [0, 1], 60.0, "rank 2 is gone"),
        (hanging, [0, 2], 1.0, "rank 1 is gone, or gave no sign of life for 1 seconds"),
        (hanging_alone, [1, 2], 1.0, "rank 0 is gone, or gave no sign of life for 1 seconds"),
        (ended_alone, [1, 2], 1.0, "rank 0 is gone, or gave no sign of life for 1 seconds"),
        (disconnected, [0, 1, 2], 60.0, "connection between them was lost: Duplicate GPU detected more"),
    ],
)
def test_when_one_rank_ends_the_others_end_with_its_number(together, work, ending, timeout, says):
    found = together.run(work, 3, ending=len(ending) + (work is failing), timeout=timeout)
    assert [(found[rank].kind, says in found[rank].text) for rank in ending] == [(RankError, True)] * len(ending)
    assert [rank for rank, one in found.items() if not one.told] == ending[:1]  # which tells it


def test_rank_0_is_waited_for_as_long_as_it_gives_signs_of_life(together):
    assert together.run(working, 2) == {0: (3, 7, 8), 1: (0, 7, 8)}


@pytest.mark.parametrize(
    ("environment", "where", "found"),
    [
        ({"WORLD_SIZE": "2"}, None, "WORLD_SIZE=2, RANK=0; without RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "0"}, None, "WORLD_SIZE=0, RANK=0; without RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "two"}, "the environment's WORLD_SIZE", "two"),
        ({"LOCAL_RANK": "one"}, "the environment's LOCAL_RANK", "one"),
        (WHOLE | {"RANK": "3"}, None, "WORLD_SIZE=3, RANK=3"),
        (WHOLE | {"RANK": "-1"}, None, "WORLD_SIZE=3, RANK=-1"),
        (WHOLE | {"RANK": "0", "PIXKIT_RANKS_TIMEOUT": "0"}, "the environment's PIXKIT_RANKS_TIMEOUT", "0"),
    ],
)
def test_half_an_environment_is_refused(environment, where, found):
    with pytest.raises(UsageError) as caught, launched(environment):
        pass
    assert (caught.value.where, caught.value.found) == (where, found)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("sweep x seed=0,1", "a sweep"),
        ("decompress x -o y", "decompressing"),
        ("build x --dry-run", "--dry-run"),
        ("build -", "a recipe from standard input"),
        ("bench sample x", "timing samples"),
        ("bench compress run x", "comparing codecs"),
        ("verify x", "a proof"),
    ],
)
def test_what_one_process_does_is_refused_to_several(arguments, what, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(arguments.split()) == 2
    assert f"error: {what} is for one process\n" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert main(arguments.split()) == 2 and not capsys.readouterr().err


def test_without_a_launcher_a_process_is_alone():
    with launched({}) as ranks:
        assert ranks is ALONE and ranks.alone and ranks.first


def meeting_again(ranks):
    """With what ranks that are gone have left in the store."""
    store = dist.PrefixStore("again", ranks._store)
    if ranks.first:
        store.set("pixkit/word", "old")
        store.set("pixkit/heard/old", '["old 1"]')
        for rank in (1, 2):
            store.set(f"pixkit/said/{rank}", "old 1")
    ranks.wait()
    if ranks.first:
        time.sleep(0.1)  # the others find the old word first
    met = launch.meeting(store, ranks.rank, ranks.size, 60)
    with joined(Ranks(ranks.rank, ranks.size, store=met, timeout=60)) as again:
        return again.gather(ranks.rank)


def at_rank_0(ranks):
    """How each ends if rank 0 fails, at whose own store they meet: it goes with it. Rank 1 fails as it does, later."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = ranks.agreed(free.getsockname()[1])
    given = {"RANK": ranks.rank, "WORLD_SIZE": ranks.size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items()})
    try:
        with launched() as met:
            if met.rank == 2:
                met.wait()
            time.sleep(0.2 * met.rank)
            raise UsageError("no such thing")
    except PixkitError as error:
        return error.found or error.message, error.told


def test_rank_0_stays_until_the_others_know_why_it_ended_and_what_it_tells_is_not_told_again(together):
    found = together.run(at_rank_0, 3)
    assert (found[0], found[1]) == (("no such thing", False), ("no such thing", True))
    why, told = found[2]  # rank 1 may fail in time to be named as well
    assert why.startswith("rank 0 failed: UsageError: no such thing") and told


class Stopped:
    """A store that does not answer, as that of a process that is stopped."""

    def check(self, keys):
        time.sleep(1)

    def add(self, key, count):
        raise AssertionError("asked again")

    def get(self, key):
        raise RuntimeError(f"no {key}")


def rank_0_of(size, monkeypatch, timeout=8.0):
    """Rank 0 of several with a clock of its own, and what it exchanges and when."""
    ranks, told, now = Ranks(0, 1), [], [0.0]
    ranks.size, ranks._timeout = size, timeout
    ranks.gather = lambda plain: (told.append((now[0], plain)), [plain] * size)[1]
    monkeypatch.setattr(group, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return ranks, told, now


def test_signs_of_life_are_given_four_times_within_the_timeout_while_others_wait(monkeypatch):
    ranks, told, now = rank_0_of(2, monkeypatch)
    done = []
    tell = ranks.telling(lambda *given: done.append(given))
    with ranks.waited_for():
        for second in (1.0, 2.0, 2.5, 4.0, 4.5, 5.0):
            now[0] = second
            tell("x", second)
    now[0] = 99.0
    tell("x", 99.0)
    assert told == [(2.5, None), (5.0, None)]
    assert done == [("x", second) for second in (1.0, 2.0, 2.5, 4.0, 4.5, 5.0, 99.0)]
    assert ranks.decided(lambda: "so") == "so" and told[2:] == [(99.0, ["so"])]
    with ALONE.waited_for():
        now[0] = 999.0
        ALONE.telling(lambda: None)()  # nobody waits


def test_each_part_is_taken_by_whichever_rank_asks_next(monkeypatch):
    ranks, _, _ = rank_0_of(2, monkeypatch)
    asked = iter([0, 2, 3, 6, 8, 9, 13])  # what all ranks had asked for before; the second time each begins after these
    ranks._counted = lambda: next(asked)
    assert list(ranks.taking("abcde")) == ["a", "c", "d"]  # 6 is a second rank's
    assert list(ranks.taking("abcde")) == ["b", "c"]
    assert list(ranks.taking("ab")) == ["a"] and list(ranks.taking("abc"[:0])) == []
    assert next(asked, None) is None


def test_what_ranks_write_to_where_they_meet_is_read_there():
    place = board.Board(store := dist.HashStore(), 5.0)
    place.set("a", "\u00e4")
    store.set("b", b"x\xff")
    assert (place.get("a"), place.get("b")) == ("\u00e4", "x\ufffd")
    assert place.check(["a", "b"]) is True and place.check(["a", "c"]) is False
    assert (place.add("n", 2), place.add("n", 3)) == (2, 5)
    assert [board.Board(store, seconds)._timeout for seconds in (5.0, 1e9)] == [5.0, board.ANSWER]


def test_where_ranks_meet_is_waited_for_no_longer_than_is_said():
    before, place = set(threading.enumerate()), board.Board(Stopped(), 0.05)
    with pytest.raises(RuntimeError, match="no x"):
        place.get("x")
    with pytest.raises(RuntimeError, match=r"did not answer for 0\.05 seconds"):
        place.check(["x"])
    with pytest.raises(RuntimeError, match="did not answer before"):
        place.add("x", 1)
    waiting = set(threading.enumerate()) - before
    assert waiting and all(one.daemon for one in waiting)  # it keeps no process from ending
    with pytest.raises(RuntimeError, match=r"did not answer for 0\.05 seconds"):
        launch.meeting(Stopped(), 1, 2, 0.05)


def test_where_ranks_connect_is_waited_for_no_longer_than_is_said(monkeypatch):
    """A client's constructor waits for a stopped process without limit, whatever its timeout."""
    monkeypatch.setattr(launch.dist, "rendezvous", lambda *given, **named: time.sleep(1))
    monkeypatch.setattr(launch, "GRACE", -0.95)
    given = dict.fromkeys(launch._FROM_LAUNCHER, "3") | {"RANK": "0", "PIXKIT_RANKS_TIMEOUT": "1"}
    with pytest.raises(RankError, match=r"could not connect(.|\n)*did not answer for 0\.05 seconds"), launched(given):
        pass


def test_what_an_earlier_start_has_left_is_nobody(together):
    assert list(together.run(meeting_again, 3).values()) == [[0, 1, 2]] * 3


def stopped(ranks):
    """What ranks say of a kill of rank 0 that end without an error then, as a build does that was also stopped."""
    if ranks.first:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2 if ranks.rank == 1 else 0.0)  # it sees the other leave
    try:
        ranks.wait()
    except RankError as error:
        return error.found


def test_nobody_waits_for_rank_0_once_it_is_known_to_be_gone(together):
    found = together.run(stopped, 3, ending=2)
    assert found[1] == "rank 0 is gone, or gave no sign of life for 60 seconds" and "gone" in found[2]


def counting_differently(ranks):
    ranks.wait()
    launch.meeting(dist.PrefixStore("others", ranks._store), ranks.rank, 2 + ranks.rank, 60 if ranks.first else 0.5)


def test_ranks_that_count_themselves_differently_do_not_meet(together):
    found = together.run(counting_differently, 2)
    assert "one of 3 ranks; expected: of 2" in found[0].text.replace("\n  ", "; ") and found[1].kind is RankError


def words_of(monkeypatch, rank, size, turns, timeout=9.0):
    """The store where ranks meet, the waits of one of them, and its meeting; in each turn others write something."""
    store, now, slept = dist.HashStore(), [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds
        if len(slept) <= len(turns):
            for key, text in turns[len(slept) - 1].items():
                store.set(key, text(store) if callable(text) else text)

    monkeypatch.setattr(launch, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(launch.secrets, "token_hex", lambda count: "own" * (count == 8))
    return store, slept, lambda: launch.meeting(store, rank, size, timeout)


def test_rank_0_says_a_word_until_all_have_repeated_it_and_confirms_whom_it_has_heard(monkeypatch):
    turns = [{"pixkit/said/1": "old a 3"}, {"pixkit/said/1": "own a 3"}, {"pixkit/said/2": "own b 3"}]
    store, slept, meet = words_of(monkeypatch, 0, 3, turns)
    met = meet()
    assert slept == [launch.LOOK] * 3 and store.get("pixkit/heard/own") == b'["own a 3", "own b 3"]'
    met.set("key", "x")
    assert store.get("own/key") == b"x"


def test_another_rank_repeats_the_word_until_it_is_heard(monkeypatch):
    turns = [{"pixkit/word": "old", "pixkit/heard/old": '["old a 3"]'}, {"pixkit/word": "w"},
             {"pixkit/heard/w": '["w own 3", "w b 3"]'}]  # fmt: skip
    store, slept, meet = words_of(monkeypatch, 1, 3, turns)
    met = meet()
    assert slept == [launch.LOOK] * 3 and store.get("pixkit/said/1") == b"w own 3"
    met.set("key", "x")
    assert store.get("w/key") == b"x"


@pytest.mark.parametrize(("rank", "turns", "found"), [
    (0, [{"pixkit/said/1": "own a 3"}], "2 did not appear within 0.2 seconds"),
    (1, [], "0 did not appear within 0.2 seconds"),
    (0, [{"pixkit/said/1": "own a 4"}], "one of 4 ranks"),
])  # fmt: skip
def test_ranks_that_do_not_meet_say_who_is_missing_or_counts_otherwise(monkeypatch, rank, turns, found):
    _, slept, meet = words_of(monkeypatch, rank, 3, turns, timeout=0.2)
    with pytest.raises(RankError, match="could not connect") as caught:
        meet()
    assert caught.value.found == found
    assert len(slept) == (1 if "one of" in found else 4) and caught.value.expected in (None, "of 3 (WORLD_SIZE)")


def test_ranks_that_do_not_all_come_are_not_waited_for_longer_than_is_said(tmp_path):
    with pytest.raises(RankError, match="1, 2 did not appear within 0\\.1 seconds"):
        launch.meeting(dist.FileStore(str(tmp_path / "store"), 3), 0, 3, 0.1)
