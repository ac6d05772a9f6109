"""Seeds of places: what they are, and how much of them torch takes."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from pixkit.randomness import Philox, derive, generators, isolated_rng, open_uniforms, seed_torch, unshared


def drawn(seed):
    return torch.rand(8, generator=torch.Generator().manual_seed(seed)).tolist()


def test_golden_seeds():
    """Training, scores and orders of images hang on these."""
    assert derive(0, "loss", 1, 0, 0) == 2696429979987622879
    assert derive(0, "initialise") == 6844452929485735709
    assert derive(2**31 - 1, "epoch", 3) == 8955276882037447933


@pytest.mark.parametrize("seed", [0, 1, 2**31, derive(0, "initialise")])
def test_the_generator_of_a_cpu_takes_32_bits(seed):
    """What `derive` says about it; if a torch takes more, that says too little."""
    assert drawn(seed) == drawn(seed + 2**32) == drawn(seed % 2**32)
    assert drawn(seed) != drawn(seed + 1)
    torch.manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        seed_torch(seed, torch.device("cpu"))
        assert torch.rand(8).tolist() == drawn(seed + 2**32)


def test_the_32_bits_are_spread():
    """Two of 10,000 places have the same with a chance of 1 in 90; these have not."""
    assert len({derive(0, "loss", step, 0, 0) % 2**32 for step in range(10_000)}) == 10_000


def test_what_a_user_chose_is_a_seed_of_its_own():
    seeds = [unshared(seed) for seed in (0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**64 - 1)]
    assert seeds[:3] == [0, 1, 2**32 - 1]
    assert len({tuple(drawn(seed)) for seed in seeds}) == len(seeds)


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cpu", None)])
def test_generators_are_those_of_the_device_and_of_the_cpu(monkeypatch, device, number):
    monkeypatch.setattr(torch.cuda, "default_generators", ("of 0", "of 1"))
    kept = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: (kept.append(devices), nullcontext())[1])
    here = torch.device(device)
    own = [] if number is None else [number]
    assert generators(here) == [torch.default_generator, *(f"of {each}" for each in own)]
    with isolated_rng(here):
        assert kept == [own]


def test_uniforms_are_never_0_or_1():
    words = np.array([0, 2**12 - 1, 2**12, 2**63, 2**64 - 1], dtype=np.uint64)
    half = 2.0**-53
    assert open_uniforms(words).tolist() == [half, half, 3 * half, 0.5 + half, 1 - half]


@pytest.mark.parametrize(
    "counter", [0, 5, 2**64 - 1, 2**64, 3 << 64 | 7, 9 << 128 | 1, (11 << 192) + (2**64 - 1 << 128) + 4]
)
def test_a_stream_goes_on_from_any_counter_as_one_that_begins_there(counter):
    """Whatever is left of the four words of the counter before."""
    source, key = Philox((1, 2)), (1, 2)
    for drawn in (0, 3, 4, 6):
        source.words(drawn)
        source.seek(counter)
        assert source.words(9).tolist() == Philox(key, counter).words(9).tolist()
    assert Philox(key).words(4).tolist() == np.random.Philox(key=np.array(key, dtype=np.uint64)).random_raw(4).tolist()
