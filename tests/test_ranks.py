"""Several processes: what they exchange, and how they end when one of them does."""

import math
import multiprocessing
import os
import signal

import pytest
import torch
import torch.distributed as dist

from pixkit import ranks as ranks_module
from pixkit.errors import RankError, UsageError
from pixkit.ranks import ALONE, Ranks, joined, launched


def exchange(ranks):
    own = ranks.rank
    parts = ranks.shared(range(7)), [part for part in range(7) if ranks.mine(part)]
    rows = torch.full((ranks.size, 2), float(own)) + torch.arange(ranks.size)[:, None] / 10
    tensor = torch.tensor([complex(own, 1)] * 3)
    ranks.spread([tensor])
    ranks.wait()
    return {
        "parts": parts,
        "gathered": ranks.gather([own, math.nan if own else 0.1, "x" * (5000 * own)]),
        "agreed": ranks.agreed({"of": own}),
        "swapped": ranks.swapped(rows).tolist(),
        "joined": ranks.joined(torch.tensor([own, -0.0])).tolist(),
        "spread": tensor.tolist(),
        "tensors": [one.tolist() for one in ranks.tensors(torch.full((own + 1, 2), own))],
    }


def failing(ranks):
    if ranks.rank == 1:
        raise ValueError("no such thing")
    ranks.wait()


def differing(ranks):
    ranks.same("the weights", 0 if ranks.rank != 2 else 1)


def killed(ranks):
    if ranks.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.wait()


def hanging(ranks):
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    ranks.wait()


def _run(path, rank, size, timeout, work, answers):
    torch.set_num_threads(1)
    ranks_module.GRACE = 1.0
    try:
        with joined(Ranks(rank, size, store=dist.FileStore(str(path), size), timeout=timeout)) as ranks:
            answer = work(ranks)
    except BaseException as error:
        answer = error
    answers.put((rank, answer))


@pytest.fixture
def run(tmp_path):
    """Run a function of `Ranks` in some processes; return what each gives or raises, by rank, of those that end."""
    context = multiprocessing.get_context("fork")
    processes = []

    def run(work, size=3, ending=3, timeout=60.0):
        answers = context.Queue()
        for rank in range(size):
            given = (tmp_path / "store", rank, size, timeout, work, answers)
            processes.append(context.Process(target=_run, args=given))
            processes[-1].start()
        return dict(sorted(answers.get(timeout=60) for _ in range(ending)))

    yield run
    for process in processes:
        process.kill()
        process.join()


def test_ranks_exchange_what_each_has(run):
    found = run(exchange)
    assert [one["parts"] for one in found.values()] == [([0, 3, 6],) * 2, ([1, 4],) * 2, ([2, 5],) * 2]
    for rank, one in found.items():
        assert str(one["gathered"]) == str([[0, 0.1, ""], [1, math.nan, "x" * 5000], [2, math.nan, "x" * 10000]])
        assert one["agreed"] == {"of": 0}
        assert one["swapped"] == torch.tensor([[owner + rank / 10] * 2 for owner in range(3)]).tolist()
        assert one["joined"] == [[0, 0], [1, 0], [2, 0]] and math.copysign(1, one["joined"][2][1]) == -1
        assert one["spread"] == [1j] * 3
        assert one["tensors"] == [[[0, 0]], [[1, 1]] * 2, [[2, 2]] * 3]


def test_a_process_alone_exchanges_nothing():
    assert str(exchange(ALONE)) == str(
        {
            "parts": (list(range(7)),) * 2,
            "gathered": [[0, 0.1, ""]],
            "agreed": {"of": 0},
            "swapped": [[0.0, 0.0]],
            "joined": [[0.0, -0.0]],
            "spread": [1j] * 3,
            "tensors": [[[0, 0]]],
        }
    )


@pytest.mark.parametrize(
    ("work", "ending", "timeout", "says"),
    [
        (failing, [0, 2], 60.0, "rank 1 failed: ValueError: no such thing"),
        (killed, [0, 1], 60.0, "rank 2 is gone"),
        (hanging, [0, 2], 1.0, "rank 1 is gone, or gave no sign of life for 1 seconds"),
        (differing, [0, 1, 2], 60.0, "the weights: rank 2 is not what rank 0 has"),
    ],
)
def test_when_one_rank_ends_the_others_end_with_its_number(run, work, ending, timeout, says):
    found = run(work, ending=len(ending) + (work is failing), timeout=timeout)
    assert {rank: (type(found[rank]), says in str(found[rank])) for rank in ending} == dict.fromkeys(
        ending, (RankError, True)
    )


@pytest.mark.parametrize(
    "environment",
    [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}, dict.fromkeys(ranks_module._FROM_LAUNCHER, "3") | {"RANK": "3"}],
)
def test_half_an_environment_is_refused(environment):
    with pytest.raises(UsageError), launched(environment):
        pass


def test_without_a_launcher_a_process_is_alone():
    with launched({}) as ranks:
        assert ranks is ALONE and ranks.alone and ranks.first
