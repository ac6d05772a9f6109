#!/usr/bin/env bash
# A PixelCNN whose masks are not there before an optimiser has stepped, and do not reach an average of its weights.
#
# Expected: tfp.distributions.PixelCNN is autoregressive as made, whatever its weights: over all images of 2x2 pixels with 3 levels
# the probabilities sum to one, before training as after.
# Seen with tensorflow-probability 0.25.0: the masks are constraints on Keras variables, which optimisers apply after they have
# changed a variable. The kernels that the network begins with are not masked: each pixel's distribution depends on all
# pixels, itself included, and the sums were 0.4 to 2.7. One step by a Keras or a v1 optimiser masks them, and from there the sum is 1.
# Who changes weights in another way never gets masks: own updates by assign_sub leave the sum as far from one. A moving average
# of weights that began with the network keeps decay^n of what should be masked, and its likelihoods are wrong by that.
# Tests of causality on a fresh network fail, and a score before the first step, as a baseline, means nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    numpy==2.4.6 tensorflow-cpu==2.21.0 tf-keras==2.21.0 tensorflow-probability==0.25.0
TF_CPP_MIN_LOG_LEVEL=3 TF_USE_LEGACY_KERAS=1 "$folder/venv/bin/python" -W ignore - 2>"$folder/said" <<'PYTHON' || { tail -5 "$folder/said"; exit 1; }
import itertools
import sys

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

failures = []
IMAGES = np.array(list(itertools.product(range(3), repeat=4)), dtype="float32").reshape(-1, 2, 2, 1)


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def made(normed):
    tf.random.set_seed(0)
    return tfp.distributions.PixelCNN(
        image_shape=(2, 2, 1), num_resnet=1, num_hierarchies=1, num_filters=6, num_logistic_mix=2,
        dropout_p=0.0, use_weight_norm=normed, use_data_init=False, low=0, high=2,
    )


def one(model):
    """Whether the probabilities of all images sum to one."""
    return bool(abs(np.exp(model.log_prob(IMAGES, training=False).numpy()).sum() - 1) < 1e-4)


def gradients(model):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model.log_prob(IMAGES, training=True))
    weights = model.network.trainable_variables
    return list(zip(tape.gradient(loss, weights), weights))


for normed in (False, True):
    name = "with weight norm" if normed else "plain"
    model = made(normed)
    expect(f"{name}: sums to one as made", one(model), False)
    first = [weight.numpy() for weight in model.network.trainable_variables]
    for gradient, weight in gradients(model):
        weight.assign_sub(1e-3 * gradient)
    expect(f"{name}: after a step by assign_sub", one(model), False)
    optimizer = tf_keras.optimizers.Adam(1e-3)
    average = first
    for _ in range(10):
        optimizer.apply_gradients(gradients(model))
        average = [0.9 * a + 0.1 * w.numpy() for a, w in zip(average, model.network.trainable_variables)]
    expect(f"{name}: after ten steps by Keras' Adam", one(model), True)
    for weight, value in zip(model.network.trainable_variables, average):
        weight.assign(value)
    expect(f"{name}: with the average of weights since the beginning", one(model), False)
sys.exit(bool(failures))
PYTHON
# The output seen:
# plain: sums to one as made: False
# plain: after a step by assign_sub: False
# plain: after ten steps by Keras' Adam: True
# plain: with the average of weights since the beginning: False
# with weight norm: sums to one as made: False
# with weight norm: after a step by assign_sub: False
# with weight norm: after ten steps by Keras' Adam: True
# with weight norm: with the average of weights since the beginning: False
