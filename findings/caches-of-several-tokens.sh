#!/usr/bin/env bash
# Recurrent decoders that go on from a cache with several tokens at once begin anew, or half anew.
#
# Expected: what a causal decoder says of a sequence is the same in one pass, token by token through its cache, and in parts of several
# tokens, as in a second question of a conversation, a prompt fed in chunks, or an image of which the next row is known.
# Seen on a CPU: transformers 5.24.0 has it for Llama, Mamba2 and LFM2. Mamba, FalconMamba and Jamba keep the cache's convolution window,
# and where more than one token comes start the recurrence at zero and put its end in the place of the state that they were given. minLSTM
# of minGRU-pytorch 0.2.1 passes the state it is given through its activation a second time when several tokens follow, which adds a
# half to it; minGRU of the same package is right. Token by token all of them agree with one pass, so that greedy samples and
# tests with a single further token look right. Nothing is said.
# A second cause, in the same version of transformers: Bamba, and MiniMax whose first layer keeps a state and no keys, count positions from 0 at
# every call with a cache unless position_ids are given, which are optional; each single token is wrong then. generate() gives them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0 \
    minGRU-pytorch==0.2.1
OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1 \
    "$folder/venv/bin/python" -W ignore - 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys

import torch
import transformers
from minGRU_pytorch.minGRU import minGRU
from minGRU_pytorch.minLSTM import minLSTM

failures = []
LENGTH = 18
ONE, CHUNKS = [1] * LENGTH, [9, 4, 5]


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def woken(net):
    for weights in net.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, 0, 0.2)
    return net.eval()


@torch.no_grad()
def deviation(name, parts, number_positions=False, **options):
    """The largest difference of a logit (they are about 1) between one pass and `parts`."""
    torch.manual_seed(0)
    common = dict(vocab_size=50, hidden_size=32, num_hidden_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    net = woken(getattr(transformers, name + "ForCausalLM")(getattr(transformers, name + "Config")(**common, **options)))
    tokens = torch.randint(3, 50, (1, LENGTH))
    key = "cache" if "amba" in name and name not in ("Jamba", "Bamba") else "past_key_values"
    whole, given, seen, start = net(input_ids=tokens).logits, {}, [], 0
    for part in parts:
        if number_positions:
            given["position_ids"] = torch.arange(start, start + part)[None]
        out = net(input_ids=tokens[:, start : start + part], use_cache=True, **given)
        given[key] = out[key]
        seen.append(out.logits)
        start += part
    return float((torch.cat(seen, 1) - whole).abs().max())


@torch.no_grad()
def deviation_of_layer(kind, parts):
    torch.manual_seed(0)
    layer, x = kind(32).double().eval(), torch.randn(1, LENGTH, 32, dtype=torch.float64)
    hidden, seen = None, []
    for part in x.split(parts, dim=1):
        out, hidden = layer(part, hidden, return_next_prev_hidden=True)
        seen.append(out)
    return float((torch.cat(seen, 1) - layer(x)).abs().max())


heads = dict(num_attention_heads=4, num_key_value_heads=2, intermediate_size=48)
states = dict(n_groups=2, num_heads=8, head_dim=8, chunk_size=4, state_size=4)
jamba = dict(mamba_d_state=4, mamba_dt_rank=4, num_experts=2, use_mamba_kernels=False, attn_layer_period=2, attn_layer_offset=1)
for name, options, right in (
    ("Llama", heads, True),
    ("Mamba2", states, True),
    ("Lfm2", dict(heads, layer_types=["conv", "full_attention"]), True),
    ("Mamba", dict(state_size=4), False),
    ("FalconMamba", dict(state_size=4), False),
    ("Jamba", dict(heads, **jamba), False),
):
    expect(f"{name}, token by token: agrees to 1e-4", deviation(name, ONE, **options) < 1e-4, True)
    found = deviation(name, CHUNKS, **options)
    expect(f"{name}, parts of 9, 4 and 5: agrees to 1e-4, differs by more than 0.02", (found < 1e-4, found > 0.02), (right, not right))
for kind, right in ((minGRU, True), (minLSTM, False)):
    expect(f"{kind.__name__}, token by token: agrees to 1e-12", deviation_of_layer(kind, ONE) < 1e-12, True)
    found = deviation_of_layer(kind, CHUNKS)
    expect(f"{kind.__name__}, parts of 9, 4 and 5: agrees to 1e-12, differs by more than 0.1", (found < 1e-12, found > 0.1), (right, not right))
bamba = dict(mamba_n_heads=8, mamba_d_state=4, mamba_d_head=8, attn_layer_indices=[1])
linear = dict(head_dim=8, num_local_experts=2, num_experts_per_tok=2, layer_types=["linear_attention", "full_attention"])
for name, options in (("Bamba", dict(heads, **bamba)), ("MiniMax", dict(heads, **linear))):
    found = deviation(name, ONE, **options)
    expect(f"{name}, token by token: agrees to 1e-4, differs by more than 0.2", (found < 1e-4, found > 0.2), (False, True))
    expect(f"{name}, the same with position_ids: agrees to 1e-4", deviation(name, ONE, number_positions=True, **options) < 1e-4, True)
sys.exit(bool(failures))
PYTHON
