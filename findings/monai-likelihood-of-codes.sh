#!/usr/bin/env bash
# Likelihoods of codes that do not sum to one: they count a token that sampling rules out.
#
# Expected: VQVAETransformerInferer.get_likelihood(images) is the log-probability with which `sample` draws the images' codes, position by
# position, so that the probabilities of all code maps sum to one.
# Seen with monai 1.6.1: the transformer has one token more than the codebook, the one that begins a sequence. Sampling sets its
# probability to zero and draws from the rest; the likelihood leaves it in. With an untrained transformer, 3 codes and maps of 2x2 the 81
# probabilities sum to less than one, less the longer the map, and no constant mends it: the token's share depends on
# what came before. Trained networks give it little, but the share differs from image to image, and an anomaly score is a difference
# of such numbers. With temperature or top_k the samples are from yet another distribution, as one would expect.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 einops==0.8.2 monai==1.6.1
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import itertools
import sys

import torch
from monai.inferers import VQVAETransformerInferer
from monai.networks.nets import DecoderOnlyTransformer
from monai.utils.ordering import Ordering

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


class Codes(torch.nn.Module):
    """A codec whose images are their codes."""

    num_embeddings = 3

    def index_quantize(self, images):
        return images[:, 0].long()

    def decode_samples(self, codes):
        return codes[:, None].float()


def parts(columns):
    """Probabilities of all maps of 2 x columns codes, as told and as drawn, in the order of itertools.product."""
    torch.manual_seed(0)
    net = DecoderOnlyTransformer(4, 2 * columns, attn_layers_dim=8, attn_layers_depth=1, attn_layers_heads=2).eval()
    order = Ordering("raster_scan", 2, (1, 2, columns))
    maps = torch.tensor(list(itertools.product(range(3), repeat=2 * columns))).reshape(-1, 1, 2, columns)
    told = VQVAETransformerInferer().get_likelihood(maps.float(), Codes(), net, order).flatten(1).sum(1).exp()
    begun = torch.nn.functional.pad(maps.flatten(1), (1, 0), value=3)
    with torch.no_grad():
        drawn = net(begun[:, :-1])[..., :3].log_softmax(-1).gather(2, begun[:, 1:, None]).sum((1, 2)).exp()
    return told.double(), drawn.double(), net, order


told, drawn, net, order = parts(2)
draws = VQVAETransformerInferer().sample((2, 2), torch.full((40000, 1), 3), Codes(), net, order, verbose=False)
index = (draws.reshape(-1, 4).long() * torch.tensor([27, 9, 3, 1])).sum(1)
seen = torch.bincount(index, minlength=81) / len(index)


def fits(probabilities):
    """Whether the draws may come from these probabilities, by chi squared with 80 degrees of freedom."""
    return bool(((seen - probabilities) ** 2 / probabilities).sum() * len(index) < 160)


expect("sum over maps of 2x2", round(float(told.sum()), 2), 0.73)
expect("sum over maps of 2x3", round(float(parts(3)[0].sum()), 2), 0.51)
expect("sum without the token", round(float(drawn.sum()), 6), 1.0)
expect("samples fit the likelihoods", fits(told), False)
expect("samples fit the likelihoods over their sum", fits(told / told.sum()), False)
expect("samples fit them without the token", fits(drawn), True)
sys.exit(bool(failures))
PYTHON
# The output seen:
# sum over maps of 2x2: 0.73
# sum over maps of 2x3: 0.51
# sum without the token: 1.0
# samples fit the likelihoods: False
# samples fit the likelihoods over their sum: False
# samples fit them without the token: True
