"""Frequencies of mixtures are their probabilities, whatever the parameters, and never 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pixkit
from pixkit.codec.codec import Codec
from pixkit.codec.freezing import freeze
from pixkit.codec.frozen import Mixture
from pixkit.codec.mixture import MixtureDigits
from pixkit.codec.packing import Packer, Unpacker, edge
from pixkit.codec.portable import PortableWalk
from pixkit.codec.strict import StrictWalk
from pixkit.codec.trial import trials_of_heads
from pixkit.testing.parts import randomise

HEADS = {"logistic_mixture": "logistic", "normal_mixture": "normal"}
WHOLE = 1 << 24


def built(head, channels, levels):
    described = {"type": head, **({"components": 3} if head in HEADS else {"independent": True})}
    model = {"type": "autoregressive", "backbone": {"type": "pixelcnn", "width": 4, "layers": 0}, "head": described}
    return pixkit.build_model(model, (channels, 2, 2, levels)).eval()


def shares(digits, level):
    """The product of the frequencies of a level's digits, of 1."""
    found, prefix, rows = 1.0, np.zeros_like(level), np.arange(len(level))
    for number in range(digits.number):
        digit = (level >> 4 * (digits.number - 1 - number)) & 15
        below, counts = digits.weights(prefix, number)
        assert (below[rows, counts] == below[:, -1]).all()
        edges = [
            [edge(row[: count + 1], WHOLE, each) for each in range(count + 1)]
            for row, count in zip(below, counts, strict=True)
        ]
        assert all(row[0] == 0 and row[-1] == WHOLE and (np.diff(row) > 0).all() for row in edges)
        frequency = np.array([row[each + 1] - row[each] for row, each in zip(edges, digit, strict=True)])
        found, prefix = found * frequency / WHOLE, prefix * 16 + digit
    return found


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("levels", [2, 40])
def test_they_are_the_heads_probabilities(name, levels):
    head = built(name, 3, levels).network.head
    mixture = Mixture(HEADS[name], 3, head.min_log_scale, 7.0)
    generator = torch.Generator().manual_seed(levels)
    params = torch.randn(9, head.maps, generator=generator)
    x = torch.randint(levels, (9, 3), generator=generator)
    exact = head.distribution(params.double()[..., None]).level_log_probs(x[..., None]).exp()[..., 0]
    for colour in range(3):
        digits = MixtureDigits(params.numpy(), mixture, levels, x[:, :colour].numpy(), 3)
        found = np.stack([shares(digits, np.full(9, level)) for level in range(levels)], 1)
        assert (
            np.abs(found - exact[:, :, colour].numpy()).max() < 5e-5
        )  # float32 takes differences of the posterior weights, too
        assert np.abs(found.sum(1) - 1).max() < 1e-12


@pytest.mark.parametrize("family", HEADS.values())
@pytest.mark.parametrize("scale", [50.0, 1e30, np.inf, np.nan])
def test_wild_parameters_have_frequencies_too(family, scale):
    random = np.random.default_rng(0)
    params = (random.standard_normal((8, 18)) * scale).astype(np.float32)
    level = random.integers(100, size=(8, 2))
    assert (shares(MixtureDigits(params, Mixture(family, 3, -7.0, 7.0), 100, level[:, :1], 2), level[:, 1]) > 0).all()


WILD = {
    "log-scales at both bounds, and beyond": {9: -60, 10: -5, 11: 5, 12: 60, 13: 1e30, 14: -1e30},
    "log-scales that are no numbers": {9: np.nan, 11: np.inf, 12: -np.inf},
    "means far away": {3: 1e30, 4: -1e30, 5: np.inf, 6: -np.inf},
    "a mean that is no number": {4: np.nan},
    "couplings of every size": {6: 3, 15: 60, 16: -60, 17: np.nan},
    "logits that differ by far": {0: 60, 1: -60},
    "the first logit is no number": {0: np.nan},
    "another logit is no number": {1: np.nan},
    "a logit is infinite, and another is minus infinity": {2: np.inf, 0: -np.inf},
}
"""Parameters of three components and two colours by their numbers: logits, means, log-scales, and couplings."""


@pytest.mark.needs_compiler
@pytest.mark.parametrize("program", trials_of_heads()[1:], ids=["normal", "logistic"])
def test_wild_parameters_have_the_same_frequencies_by_the_kernel_and_numpy(program):
    """Those of a site each, whatever the levels."""
    *others, last = program.operations
    levels, alike, back = np.arange(2 * 6).reshape(3, 2, 2) * 7 % program.levels, [], []
    for start in range(0, len(WILD), 3):
        names = [*WILD][start : start + 3]
        bias = np.resize(np.linspace(-1, 1, 18, dtype=np.float32), (3, last.width))
        for site, name in enumerate(names):
            bias[site, [*WILD[name]]] = [*WILD[name].values()]
        own = replace(last, first=1, weight=np.zeros((3, *last.weight.shape[1:]), np.float32), bias=bias)
        wild, words = replace(program, operations=(*others, own)), []
        for kind in (StrictWalk, PortableWalk):
            kind(wild, 2).encode(levels, packer := Packer())
            words.append(packer.finish())
        alike.append(words[0] == words[1])
        for kind in (StrictWalk, PortableWalk):
            (walk := kind(wild, 2)).decode(Unpacker(words[0]))
            back.append((walk.levels == levels).all())
    assert alike == [True] * 3 and back == [True] * 6


@pytest.mark.needs_compiler
@pytest.mark.parametrize(("name", "levels"), [*((name, 60) for name in HEADS), ("softmax", 300), ("bernoulli", 2)])
def test_images_come_back_and_take_what_the_model_says(name, levels):
    model = built(name, 3, levels)
    randomise(model.network, 1)
    x = model.sample(40, seed=0)
    content = freeze(model.network).to_bytes()
    compiled, plain = (Codec.from_bytes(content, walk=kind) for kind in (StrictWalk, PortableWalk))
    file = compiled.encode(x.numpy())
    assert file == plain.encode(x.numpy())
    assert (plain.decode(file) == x.numpy()).all()
    bits = -float(model.network.double().log_prob(x).detach().sum()) / np.log(2)
    assert 0 < 8 * len(file) - bits < 8 * 60  # head, checksums, end and the coder's last words
