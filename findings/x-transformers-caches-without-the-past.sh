#!/usr/bin/env bash
# A decoder that is sampled with its cache is another network than the one that was trained, under two options, and says that it can be cached.
#
# Expected: AutoregressiveWrapper.generate draws the same tokens with and without its cache, which is on by default, as keys and values
# of earlier tokens are all that later ones need; where they are not, as with `attn_selective`, can_cache_kv is False and no cache is used.
# Seen with x-transformers 2.31.10 in float64, greedily: `shift_tokens=1` moves a part of each layer's input by one position, and with
# a cache there is but one position, so that the shifted part is zero and the token before the last is not seen at all.
# `attn_data_dependent_alibi` (the forgetting transformer) adds up forget gates over the sequence, and with a cache it has one gate to add up.
# Of logits of about 2 the cache changes up to several units, from the second token on, and many of the tokens are
# others; can_cache_kv is True. Eight other options, ALiBi, rotary embeddings and shared keys among them, agree to 1e-13.
# A validation loss says nothing of it. generate(..., cache_kv=False) draws from the trained network.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 x-transformers==2.31.10
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys

import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

failures = []
LENGTH = 12


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


@torch.no_grad()
def cached(**options):
    """The largest change of a logit by the cache, whether tokens of a greedy continuation change, and what can_cache_kv says."""
    torch.manual_seed(0)
    layers = Decoder(dim=32, depth=2, heads=4, attn_dim_head=8, **options)
    net = TransformerWrapper(num_tokens=20, max_seq_len=64, attn_layers=layers).double().eval()
    for weights in net.parameters():
        weights.add_(torch.randn_like(weights) * 0.3)  # as after training: options that begin at zero do something
    tokens = torch.randint(20, (4, LENGTH))
    whole, cache, logits = net(tokens), None, []
    for end in range(1, LENGTH + 1):
        last, cache = net(tokens[:, :end], cache=cache, return_intermediates=True)
        logits.append(last[:, -1])
    change = float((torch.stack(logits, 1) - whole).abs().max())
    draw = AutoregressiveWrapper(net).generate
    prompts = torch.randint(20, (8, 4))
    same = torch.equal(*(draw(prompts, 24, temperature=0.0, cache_kv=each) for each in (True, False)))
    return change, same, net.can_cache_kv


for option in ({}, {"alibi_pos_bias": True}, {"rel_pos_bias": True}, {"rotary_pos_emb": True, "rotary_emb_dim": 8}, {"attn_one_kv_head": True},
               {"attn_num_mem_kv": 3}, {"residual_attn": True}, {"gate_residual": True}, {"attn_max_attend_past": 4}):
    change, same, can = cached(**option)
    expect(f"{option or 'no option'}: change below 1e-12, same tokens, can_cache_kv", (change < 1e-12, same, can), (True, True, True))
for option, least in (({"shift_tokens": 1}, 1.0), ({"attn_data_dependent_alibi": True}, 0.1),
                      ({"attn_data_dependent_alibi": True, "attn_data_dependent_alibi_per_row": True}, 1.0)):
    change, same, can = cached(**option)
    expect(f"{option}: change above {least}, same tokens, can_cache_kv", (change > least, same, can), (True, False, True))
expect("{'attn_selective': True}: same tokens, can_cache_kv", cached(attn_selective=True)[1:], (True, False))
sys.exit(bool(failures))
PYTHON
