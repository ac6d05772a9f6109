import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixkit.data import levels as module
from pixkit.data.base import ImageSet
from pixkit.data.levels import Binariser, images_at_once, quantise, storage, threshold
from pixkit.randomness import Stream


@given(st.integers(2, 3000), st.integers(2, 3000), st.data())
def test_quantising_is_the_floor_of_v_k_over_n(source, levels, data):
    levels = min(source, levels)
    values = data.draw(st.lists(st.integers(0, source - 1), min_size=1, max_size=20))
    pixels = torch.tensor(values, dtype=torch.int32).view(-1, 1, 1, 1)
    out = quantise(pixels, source, levels)
    assert out.flatten().tolist() == [value * levels // source for value in values]
    assert out.dtype == storage(levels)


def test_quantising_uses_every_level_evenly():
    out = quantise(torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1), 256, 4)
    assert torch.bincount(out.flatten()).tolist() == [64] * 4


def test_storage_is_the_smallest_type_that_holds_the_highest_level():
    kinds = {2: torch.uint8, 256: torch.uint8, 257: torch.int16, 32768: torch.int16, 32769: torch.int32}
    assert {levels: storage(levels) for levels in kinds} == kinds


@pytest.mark.parametrize(("shape", "count"), [
    ((9, 1, 1, 1), 2**19), ((9, 3, 2, 5), 2**19 // 30), ((0, 1, 2, 2), 2**17), ((2, 1, 2**10, 2**9), 1),
    ((2, 3, 2**10, 2**10), 1), ((2, 1, 0, 4), 2**19),
])  # fmt: skip
def test_so_many_images_are_transformed_at_a_time(shape, count):
    assert images_at_once(torch.empty(shape, device="meta")) == count


@pytest.mark.parametrize(
    ("source", "at", "first"), [(256, 0.5, 128), (17, 0.5, 8), (3, 0.5, 1), (5, 0.26, 2), (2, 0.5, 1)]
)
def test_the_threshold_includes_its_level(source, at, first):
    out = threshold(torch.arange(source, dtype=torch.uint8).view(-1, 1, 1, 1), source, at)
    assert out.flatten().tolist() == [int(v >= first) for v in range(source)]


@pytest.mark.parametrize("source", [2, 17, 256, 65536])
def test_bits_are_drawn_with_the_probability_of_the_level(source):
    steps = min(source, 5)
    values = [round(i * (source - 1) / (steps - 1)) for i in range(steps)]
    pixels = torch.tensor(values, dtype=torch.int32).repeat(3000, 1).view(3000, 1, 1, steps)
    bits = Binariser(1, steps, source).draw(pixels, torch.arange(3000), Stream.TRAIN).double().mean(0).flatten()
    for value, mean in zip(values, bits.tolist(), strict=True):
        p = value / (source - 1)
        assert abs(mean - p) <= 5 * np.sqrt(p * (1 - p) / 3000)


def test_an_image_is_drawn_alike_across_the_chunks_it_may_fall_into():
    pixels = torch.full((5000, 1, 1, 4), 100, dtype=torch.uint8)
    binariser = Binariser(0, 4, 256)
    everything = binariser.draw(pixels, torch.arange(5000), Stream.TRAIN)
    late = torch.tensor([4999, 4096, 4095])
    assert torch.equal(binariser.draw(pixels[late], late, Stream.TRAIN), everything[late])


def test_the_extreme_levels_are_certain_for_every_noise(monkeypatch):
    pixels = torch.tensor([0, 254, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    for u, expected in ((0, [0, 1, 1]), (2**32 - 1, [0, 0, 1])):
        binariser = Binariser(0, 3, 256)
        words = np.full((1, 3), u, dtype=np.uint32)
        monkeypatch.setattr(binariser._noise, "words", lambda *arguments, words=words: words)
        assert binariser.draw(pixels, torch.arange(1), Stream.TRAIN).flatten().tolist() == expected


@pytest.mark.parametrize("source", [2, 3, 16, 256, 257, 65536])
def test_each_level_becomes_1_below_its_share_of_the_noise_and_nowhere_else(source, monkeypatch):
    """u (N - 1) < v 2**32, at the noise on both sides of where that changes."""
    levels = range(source)
    edges = [-(-(v << 32) // (source - 1)) for v in levels]
    pixels = torch.tensor(levels, dtype=torch.int32).view(1, 1, 1, source)
    for aside in (-2, -1, 0, 1):
        noise = [min(max(edge + aside, 0), 2**32 - 1) for edge in edges]
        binariser = Binariser(0, source, source)
        words = np.array([noise], dtype=np.uint32)
        monkeypatch.setattr(binariser._noise, "words", lambda *arguments, words=words: words)
        found = binariser.draw(pixels, torch.arange(1), Stream.TRAIN).flatten().tolist()
        assert found == [u * (source - 1) < v << 32 for u, v in zip(noise, levels, strict=True)]


@pytest.mark.parametrize("count", [1, 4, 5])
def test_images_are_worked_on_some_at_a_time(monkeypatch, count):
    """Two at a time: none is left out, whether or not one is left for the end."""
    pixels = torch.arange(count * 6, dtype=torch.uint8).view(count, 1, 2, 3)
    numbers, expected = torch.arange(count), (pixels.long() * 5 // 32).byte()
    drawn = Binariser(0, 6, 32).draw(pixels, numbers, Stream.TRAIN)
    monkeypatch.setattr(module, "AT_ONCE", 12)
    assert torch.equal(quantise(pixels, 32, 5), expected)
    assert torch.equal(threshold(pixels, 32, 0.5), (pixels > 15).byte())
    assert torch.equal(Binariser(0, 6, 32).draw(pixels, numbers, Stream.TRAIN), drawn)
    blocks = list(ImageSet(pixels).blocks())
    assert torch.equal(torch.cat(blocks), pixels) and len(blocks) == (count + 1) // 2
