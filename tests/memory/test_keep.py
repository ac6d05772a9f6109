"""A few things that were made for an object are kept, the last used ones."""

import copy
import pickle

import pytest

from pixkit.memory import keep
from pixkit.memory.keep import Keep


class Made:
    def __init__(self, nbytes=1):
        self.nbytes = nbytes


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(keep, "MOST", 3)
    monkeypatch.setattr(keep, "LARGEST", 10)


def test_the_last_used_are_kept(small):
    kept, made = Keep(), [Made() for _ in range(4)]
    for each in (*made[:2], *made[:3]):
        kept.use(each)
        assert len(set(kept.entries)) == len(kept.entries)
    assert kept.entries == (made[2], made[1], made[0])
    kept.use(made[0])
    assert kept.entries == (made[0], made[2], made[1])
    kept.use(made[3])
    assert kept.entries == (made[3], made[0], made[2])


def test_they_take_no_more_memory_than_they_may(small):
    kept, made = Keep(), [Made(4), Made(6), Made(5), Made(11)]
    kept.use(made[0])
    kept.use(made[1])
    assert kept.entries == (made[1], made[0])  # 10 bytes
    kept.use(made[2])
    assert kept.entries == (made[2],)
    kept.use(made[3])
    assert kept.entries == ()


def test_copies_start_empty():
    kept = Keep()
    kept.use(Made())
    for other in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert type(other) is Keep and other.entries == () and other.making is not kept.making
