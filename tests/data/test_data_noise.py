import numpy as np
import pytest

from pixkit.randomness import ImageNoise, Stream, permutation, uniforms


@pytest.mark.parametrize("dims", [1, 7, 8, 9, 784])
def test_an_image_has_the_same_noise_in_any_company(dims):
    noise = ImageNoise(3, dims)
    everything = noise.words(np.arange(20), Stream.TRAIN)
    assert everything.shape == (20, dims)
    for numbers in ([5], [5, 6, 7, 3, 4, 19], [19, 0], [2, 2, 3], list(range(20))):
        assert np.array_equal(noise.words(np.array(numbers), Stream.TRAIN), everything[numbers])
    assert noise.words(np.array([], dtype=np.int64), Stream.TRAIN).shape == (0, dims)


def test_images_draws_streams_and_seeds_have_noise_of_their_own():
    numbers = np.arange(8)
    blocks = [
        ImageNoise(seed, 40).words(numbers, stream, draw)
        for seed in (0, 1)
        for stream in (Stream.TRAIN, Stream.TEST, Stream.VISIT)
        for draw in (0, 1, 2)
    ]
    words = np.concatenate([block.ravel() for block in blocks])
    # 5760 words of 32 bits: a shared range would repeat 40 at once, chance repeats about 0.004.
    assert len(np.unique(words)) >= len(words) - 2


def test_noise_is_the_one_that_runs_have_been_made_with():
    assert ImageNoise(0, 3).words(np.array([1]), Stream.VISIT, 2).tolist() == [[4147397558, 3065837561, 1342209302]]
    assert permutation(0, Stream.SPLIT_TRAIN, 8).tolist() == [7, 6, 3, 1, 2, 5, 0, 4]


def test_uniforms_are_uniform_and_open():
    u = uniforms(1, Stream.MESH_TABLE, 20_000)
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * len(u))
    counts = np.bincount((u * 16).astype(int), minlength=16)
    assert (np.abs(counts - 1250) < 5 * np.sqrt(1250)).all()


def test_a_permutation_is_one():
    order = permutation(5, Stream.HOLD_OUT, 1000)
    assert sorted(order) == list(range(1000))
    assert not np.array_equal(order, permutation(6, Stream.HOLD_OUT, 1000))
    assert len(permutation(5, Stream.HOLD_OUT, 0)) == 0
