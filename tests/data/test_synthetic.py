import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pixkit.data.markov import UNIT, _integers
from pixkit.data.synthetic import Synthetic
from pixkit.errors import DataError
from pixkit.image import ImageSpec
from pixkit.randomness import Stream


def mesh(tmp_path, **config):
    return Synthetic(Synthetic.Config(**config), tmp_path).mesh


@pytest.mark.parametrize("neighbours", ["west-north", "west-north-northwest"])
@pytest.mark.parametrize(("height", "width", "levels"), [(1, 1, 5), (2, 3, 3), (3, 2, 3), (1, 6, 3), (2, 2, 5)])
def test_probabilities_of_all_images_sum_to_one(tmp_path, height, width, levels, neighbours):
    field = mesh(tmp_path, height=height, width=width, source_levels=levels, neighbours=neighbours)
    values = list(itertools.product(range(levels), repeat=height * width))
    total = field.log_prob(torch.tensor(values).view(-1, 1, height, width)).exp().sum()
    assert abs(total - 1) < 1e-12


@pytest.mark.parametrize("neighbours", ["west-north", "west-north-northwest"])
def test_log_prob_reads_the_table_at_the_neighbours(tmp_path, neighbours):
    field = mesh(tmp_path, height=3, width=4, source_levels=3, neighbours=neighbours)
    assert field.weights.shape == (4 ** len(field.neighbours), 3)
    x = field.sample(5, Stream.MESH_TEST).long()

    def value(image, row, column):
        return int(image[0, row, column]) if row >= 0 and column >= 0 else 3

    for image, total in zip(x, field.log_prob(x), strict=True):
        expected = 0.0
        for row, column in itertools.product(range(3), range(4)):
            seen = [value(image, row, column - 1), value(image, row - 1, column), value(image, row - 1, column - 1)]
            context = 0
            for level in seen[: len(field.neighbours)]:
                context = context * 4 + level
            expected += math.log(field.weights[context, int(image[0, row, column])] / UNIT)
        assert math.isclose(expected, float(total), rel_tol=1e-12)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 20.0])
def test_the_table_is_of_probabilities_that_are_never_zero(tmp_path, sharpness):
    weights = mesh(tmp_path, source_levels=7, sharpness=sharpness).weights
    assert (weights.sum(axis=1) == UNIT).all() and weights.min() >= 1


def test_scores_far_apart_are_certain():
    """Whatever is added to all of them."""
    for shift in (-1000.0, 0.0, 1000.0):
        weights = _integers(np.array([[0.0, 1000.0], [0.0, 0.0], [1000.0, 0.0]]) + shift)
        assert weights.tolist() == [[1, UNIT - 1], [UNIT // 2 + 1, UNIT // 2 - 1], [UNIT - 1, 1]]


def test_what_rounding_leaves_goes_to_the_likeliest_level(tmp_path):
    weights = mesh(tmp_path, source_levels=7, sharpness=20.0).weights
    certain = (weights == 1).sum(axis=1) == 6
    assert certain.any() and (weights[certain].max(axis=1) == UNIT - 6).all()


def test_images_follow_their_log_prob(tmp_path):
    field = mesh(tmp_path, height=2, width=2, source_levels=2, sharpness=1.0)
    x = field.sample(40_000, Stream.MESH_TRAIN).long()
    codes = (x.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1)
    found = torch.bincount(codes, minlength=16).double()
    every = torch.tensor(list(itertools.product(range(2), repeat=4))).view(-1, 1, 2, 2)
    expected = field.log_prob(every).exp() * 40_000
    chi_squared = ((found - expected) ** 2 / expected).sum()
    assert chi_squared < 44.3  # 15 degrees of freedom: exceeded once in 10,000


def test_sharper_tables_have_less_entropy(tmp_path):
    fields = [mesh(tmp_path, sharpness=sharpness) for sharpness in (0.2, 2.0, 8.0)]
    nats = [float(-field.log_prob(field.sample(50, Stream.MESH_TEST)).mean()) for field in fields]
    assert 64 * math.log(4) > nats[0] > nats[1] > nats[2] > 0


def test_the_source(make):
    data = make("synthetic", height=3, width=5, source_levels=6, train_images=50, test_images=20)
    assert data.spec == ImageSpec(1, 3, 5, 6) and data.classes is None
    assert data.size("train") + data.size("validation") == 50 and data.size("test") == 20
    batch = data.batch("test", torch.arange(20))
    assert batch.labels is None
    scores = data.source.log_prob(batch.x)
    assert scores.shape == (20,) and scores.dtype == torch.float64 and (scores < 0).all()
    assert len(torch.unique(batch.x, dim=0)) == 20


def test_seeds(make):
    hashes = [make("synthetic", seed=seed).hashes() for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1]
    assert hashes[0]["train"] != hashes[2]["train"] and hashes[0]["test"] != hashes[2]["test"]
    more = make("synthetic", train_images=3000).source.load()
    assert torch.equal(more.train.pixels[:2000], make("synthetic").source.load().train.pixels)


def test_a_table_too_large_is_refused():
    assert Synthetic.Config(source_levels=256, neighbours="west-north").source_levels == 256
    with pytest.raises(ValidationError, match="too large"):
        Synthetic.Config(source_levels=256)


def test_log_prob_refuses_other_images(tmp_path):
    field = mesh(tmp_path)
    for x in (torch.full((1, 1, 8, 8), 4), torch.zeros(1, 1, 8, 7, dtype=torch.long), torch.zeros(1, 1, 8, 8)):
        with pytest.raises(DataError):
            field.log_prob(x)


@pytest.mark.parametrize(("neighbours", "first", "train", "test"), [
    ("west-north", [2, 1, 3, 3, 1, 2, 1, 3, 3, 2, 1, 1, 3, 2, 0], "2866dcff42f51e15", "6490f3281f464911"),
    ("west-north-northwest", [2, 2, 3, 0, 1, 3, 1, 2, 2, 1, 0, 3, 2, 0, 2], "8546d98e8ba05e6b", "0b38fdfe88fce89f"),
])  # fmt: skip
def test_the_images_are_those_that_runs_have_been_made_with(tmp_path, neighbours, first, train, test):
    """The first one, and the start of the SHA-256 of all bytes."""
    keys = {"height": 3, "width": 5, "source_levels": 4, "seed": 7, "train_images": 6, "test_images": 4}
    images = Synthetic(Synthetic.Config(neighbours=neighbours, **keys), tmp_path).load()
    assert images.train.pixels[0].flatten().tolist() == first
    for part, expected in ((images.train, train), (images.test, test)):
        assert hashlib.sha256(part.pixels.numpy().tobytes()).hexdigest()[:16] == expected
