#!/usr/bin/env bash
# Levels that a distribution does not have are certain, or more than certain, by distributions for JAX: a wrong scale looks like a perfect model.
#
# Expected: log_prob of a value outside the support is -inf (or NaN, or an error), as torch's distributions and scipy's have it. Images that were
# divided by 255, or whose mask of unknown pixels is -1, or grey images scored as binary ones, are noticed at once.
# Seen with distrax 0.1.9: Categorical.log_prob of a value between two levels is 0.0, probability 1, where prob of the same value is 0; below the first
# level and above the last it is -inf, as expected. So an image of 256 levels divided by 255 costs nothing but its black and white pixels.
# With the TFP nightly that distrax installs, in its JAX form: Categorical.log_prob of -1 and of 256 is 0.0 too, and between levels it is that of the level below.
# Bernoulli.log_prob of both goes on along the line through 0 and 1: the level 255 of a grey image has +75.6 nats at logits 0.3.
# QuantizedDistribution, of both, has what is expected outside its bounds but for TFP's NaN; numpyro's are -inf or raise an error.
# validate_args=True makes TFP's Bernoulli and Categorical raise; distrax has no such option.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 distrax==0.1.9 \
    numpyro==0.22.0 tfp-nightly==0.26.0.dev20261027
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import distrax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
from tensorflow_probability.substrates import jax as tfp

failures = []
levels = jnp.array([0, 17, 128, 255])
uniform = jnp.zeros(256)


def expect(what, found, before):
    found = np.asarray(found, dtype=np.float64)
    same = np.allclose(found, before, atol=1e-3, equal_nan=True)
    print(("as before: " if same else "CHANGED:   ") + f"{what}: {np.round(found, 3).tolist()}")
    if not same:
        failures.append(what)


def raises(what, call):
    try:
        call()
    except Exception as error:
        print(f"as before: {what}: {type(error).__name__}")
    else:
        print(f"CHANGED:   {what}: no error")
        failures.append(what)


each, inf, nan = -np.log(256), np.inf, np.nan
ours = distrax.Categorical(logits=uniform)
expect("distrax Categorical, levels 0, 17, 128, 255", ours.log_prob(levels), [each] * 4)
expect("the same divided by 255", ours.log_prob(levels / 255), [each, 0, 0, each])
expect("prob of these", ours.prob(levels / 255), [1 / 256, 0, 0, 1 / 256])
expect("-1 and 256", ours.log_prob(jnp.array([-1, 256])), [-inf, -inf])

theirs = tfp.distributions.Categorical(logits=uniform)
expect("TFP Categorical, levels divided by 255", theirs.log_prob(levels / 255), [each] * 4)
expect("-1 and 256", theirs.log_prob(jnp.array([-1, 256])), [0, 0])
raises("-1, with validate_args", lambda: tfp.distributions.Categorical(logits=uniform, validate_args=True).log_prob(jnp.array(-1)))

for name, coin in (("distrax", distrax.Bernoulli(logits=jnp.array(0.3))), ("TFP", tfp.distributions.Bernoulli(logits=0.3))):
    found = coin.log_prob(jnp.array([0.0, 1.0, 2.0, 255.0]))
    expect(f"{name} Bernoulli, 0, 1, 2, 255", found, [-0.854, -0.554, -0.254, 75.646])

for name, module in (("distrax", distrax), ("TFP", tfp.distributions)):
    logistic = module.Logistic(jnp.array(100.0), jnp.array(8.0))
    base = module.Quantized if name == "distrax" else module.QuantizedDistribution
    outside = nan if name == "TFP" else -inf
    expect(f"{name} quantised logistic, -1 and 256", base(logistic, low=0.0, high=255.0).log_prob(jnp.array([-1.0, 256.0])), [outside] * 2)

expect("numpyro Categorical, -1 and 256", numpyro.Categorical(logits=uniform).log_prob(jnp.array([-1, 256])), [-inf, -inf])
raises("numpyro Categorical, levels divided by 255", lambda: numpyro.Categorical(logits=uniform).log_prob(levels / 255))
sys.exit(bool(failures))
PYTHON
