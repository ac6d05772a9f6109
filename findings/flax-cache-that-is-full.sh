#!/usr/bin/env bash
# A decoder's cache that is full goes on: each further token takes the last one's place, and nothing is said.
#
# Expected: an attention layer with a cache for 12 tokens refuses the 13th, as it refuses a token of another shape; or it drops the
# oldest, as a sliding window does. An image whose number of pixels was miscounted (a row too few, a start token) is then noticed.
# Seen with flax 0.12.8 (jax 0.10.2), in nnx.MultiHeadAttention and in linen's MultiHeadDotProductAttention with decode=True: token 13 is accepted and
# replaces token 12 in the cache, 14 replaces 13; each of them gets, to rounding, what it would if it came after the first eleven alone.
# Nothing is said. Up to the twelfth token both layers agree with one masked pass over the sequence to rounding, as one would test it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 flax==0.12.8
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

jax.config.update("jax_enable_x64", True)
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def far(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


x = jax.random.normal(jax.random.PRNGKey(0), (1, 14, 4))
kept = 12
wide = {"dtype": jnp.float64, "param_dtype": jnp.float64}


def steps_of_nnx():
    layer = nnx.MultiHeadAttention(num_heads=2, in_features=4, qkv_features=8, decode=False, rngs=nnx.Rngs(0), **wide)
    layer.init_cache((1, kept, 4), dtype=jnp.float64)
    parts = [layer(x[:, i : i + 1], decode=True) for i in range(14)]
    return parts, lambda inputs: layer(inputs, mask=linen.make_causal_mask(jnp.ones(inputs.shape[:2])))


def steps_of_linen():
    layer = linen.MultiHeadDotProductAttention(num_heads=2, qkv_features=8, decode=True, **wide)
    held = layer.init(jax.random.PRNGKey(1), x[:, :kept])
    whole = linen.MultiHeadDotProductAttention(num_heads=2, qkv_features=8, **wide)
    cache, parts = held["cache"], []
    for i in range(14):
        part, changed = layer.apply({"params": held["params"], "cache": cache}, x[:, i : i + 1], mutable=["cache"])
        cache = changed["cache"]
        parts.append(part)

    def full(inputs):
        mask = linen.make_causal_mask(jnp.ones(inputs.shape[:2]))
        return whole.apply({"params": held["params"]}, inputs, mask=mask)

    return parts, full


for name, steps in (("nnx", steps_of_nnx), ("linen", steps_of_linen)):
    parts, full = steps()
    whole = full(x)
    expect(f"{name}: 12 tokens as in one pass", far(jnp.concatenate(parts[:kept], 1), whole[:, :kept]) < 1e-12)
    for i in (12, 13):
        seen = jnp.concatenate([x[:, : kept - 1], x[:, i : i + 1]], 1)  # the first eleven, and itself
        expect(f"{name}: token {i + 1} is accepted, and is not as in one pass", far(parts[i][:, 0], whole[:, i]) > 1e-3)
        expect(f"{name}: it sees the first eleven and itself", far(parts[i][:, 0], full(seen)[:, -1]) < 1e-12)
sys.exit(bool(failures))
PYTHON
