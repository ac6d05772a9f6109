"""Several processes that are the ranks of one build, forked from this one."""

import multiprocessing
import warnings
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist

from pixkit.ranks import Ranks, ends, joined


class Failed(NamedTuple):
    """What a rank raised."""

    kind: type
    text: str
    told: bool


def _rank(path, rank, size, timeout, work, answers):
    torch.set_num_threads(1)
    ends.GRACE = 1.0
    try:
        with joined(Ranks(rank, size, store=dist.FileStore(str(path), size), timeout=60.0)) as ranks:
            ranks._timeout = ranks._ends._timeout = timeout  # not before they are connected, which may take a while
            ranks._groups["cpu"].set_timeout(timedelta(seconds=timeout))
            answer = work(ranks)
    except BaseException as error:
        answer = Failed(
            type(error), str(error), getattr(error, "told", False)
        )  # not the error: not every one can be pickled
    answers.put((rank, answer))


class Together:
    """Runs functions of `Ranks`, each in some processes, with one thread each."""

    def __init__(self, folder):
        self._folder = folder
        self._context = multiprocessing.get_context("fork")
        self._processes = []

    def run(self, work, size, *, ending=None, timeout=60.0):
        """What it gives, or raises, in each of the processes, by rank; of so many of them, the first that end."""
        answers = self._context.Queue()
        store = self._folder / f"store-{len(self._processes)}"
        for rank in range(size):
            given = (store, rank, size, timeout, work, answers)
            self._processes.append(self._context.Process(target=_rank, args=given))
            with warnings.catch_warnings():  # of threads in this process: what is forked has none that it waits for
                warnings.simplefilter("ignore", DeprecationWarning)
                self._processes[-1].start()
        return dict(sorted(answers.get(timeout=300) for _ in range(size if ending is None else ending)))

    def end(self):
        for process in self._processes:
            process.kill()
            process.join()
