#!/usr/bin/env bash
# A causal decoder that learns to foretell fair coins: three of its options normalise over the whole sequence.
#
# Expected: x_transformers.Decoder is causal whatever options it is given, as they say nothing else: logits of a token depend on earlier ones
# alone, probabilities of all sequences sum to one, and of fair coins no training gets below ln 2 = 0.693 nats.
# Seen with x-transformers 2.31.10: attention is masked under every option tried, but `orthog_residual` and
# `attn_orthog_projected_values` project on the direction of all positions taken as one vector, and `mv_split_residual` subtracts
# the mean over positions; later tokens reach earlier ones through the residual stream. Untrained networks hide it: the sum over all
# sequences is 1.03, 1.04 and 1.001. Trained on fair coins they reach a third of ln 2 and less, and their "probabilities" sum to far
# more than one. Sampling has no later tokens to look at, so that a good validation loss goes with bad samples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 x-transformers==2.31.10
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import itertools
import sys

import torch
from x_transformers import Decoder, TransformerWrapper

failures = []
LENGTH = 8


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def score(net, coins):
    """Negative log-likelihoods of sequences of coins, in nats, (N, LENGTH): the first follows a zero, each other those before it."""
    logits = net(torch.nn.functional.pad(coins, (1, 0))[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), coins.flatten(), reduction="none").view_as(coins)


def total(net):
    """What the probabilities of all sequences sum to."""
    with torch.no_grad():
        every = torch.tensor(list(itertools.product(range(2), repeat=LENGTH)))
        return float(score(net.eval(), every).double().sum(1).neg().exp().sum())


def trained(**options):
    torch.manual_seed(0)
    layers = Decoder(dim=32, depth=2, heads=4, attn_dim_head=8, **options)
    net = TransformerWrapper(num_tokens=2, max_seq_len=LENGTH, attn_layers=layers)
    before = total(net)
    adam = torch.optim.Adam(net.train().parameters(), 3e-3)
    for _ in range(400):
        adam.zero_grad()
        score(net, torch.randint(2, (128, LENGTH))).mean().backward()
        adam.step()
    with torch.no_grad():
        loss = float(score(net.eval(), torch.randint(2, (4096, LENGTH))).mean())
    return before, loss, total(net)


before, loss, after = trained()
expect("none: sum over all sequences before and after training", (round(before, 4), round(after, 4)), (1.0, 1.0))
expect("none: at least 0.692 nats a coin", loss >= 0.692, True)
for option, sum_before in (("orthog_residual", 1.03), ("attn_orthog_projected_values", 1.04), ("mv_split_residual", 1.001)):
    before, loss, after = trained(**{option: True})
    expect(f"{option}: sum over all sequences before training", round(before, 3 if sum_before == 1.001 else 2), sum_before)
    expect(f"{option}: less than 0.231 nats a coin", loss < 0.231, True)
    expect(f"{option}: sum over all sequences above 10", after > 10, True)
sys.exit(bool(failures))
PYTHON
# The output seen:
# none: sum over all sequences before and after training: (1.0, 1.0)
# none: at least 0.692 nats a coin: True
# orthog_residual: sum over all sequences before training: 1.03
# orthog_residual: less than 0.231 nats a coin: True
# orthog_residual: sum over all sequences above 10: True
# attn_orthog_projected_values: sum over all sequences before training: 1.04
# attn_orthog_projected_values: less than 0.231 nats a coin: True
# attn_orthog_projected_values: sum over all sequences above 10: True
# mv_split_residual: sum over all sequences before training: 1.001
# mv_split_residual: less than 0.231 nats a coin: True
# mv_split_residual: sum over all sequences above 10: True
