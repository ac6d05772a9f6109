"""Pixel models from parts: orderings, masks, backbones, heads and samplers, assembled from YAML recipes.

    import pixkit

    pixkit.build("digits-pixelcnn")                 # trains a recipe, into runs/digits-pixelcnn
    model = pixkit.load("runs/digits-pixelcnn")     # the best checkpoint, EMA weights, frozen, in eval mode
    x = model.sample(10, seed=0)                    # int64 [10, 1, 8, 8], levels 0..16
    nats = model.log_prob(x)                        # [10], natural logarithm

A model of your own in your own loop, or trained like a recipe on your own images:

    model = pixkit.build_model({"type": "autoregressive", "backbone": {"type": "pixelcnn"}}, (1, 8, 8, 17))
    model.verify()                                  # proved causal, or an error that names the layer
    loss = -model.log_prob(x).mean()
    loss.backward()
    result = pixkit.train("digits-pixelcnn", "runs/mine", images=x, callbacks=print)
    model = result.load()

These are the verbs (load build evaluate score verify sample complete upscale reconstruct compress decompress bench
register); they take runs and recipes as str or Path, and their help begins with an example: ``help(pixkit.sample)``.

    load         a run's model                      complete     fill in missing parts of images
    build        train a recipe                     upscale      the pixels between those of a small image
    evaluate     score a run's images               reconstruct  draw images again from their codes
    verify       prove causality, or find the leak  bench        how long sampling takes
    sample       draw from a run                    register     make a class a component
    compress     images to a file, without loss     decompress   and back, on any machine
    score        images one by one, and their sites

Only in Python: load_recipe (a file, a name or a dict), build_model (untrained), train (on tensors), and component,
for a single part by its name: ``pixkit.component("ordering", "hilbert").build(pixkit.ImageSpec(1, 8, 8, 17))``.

A model (`Model`) has sample, log_prob (or bound), score, verify and receptive_field; a latent one encode and decode.
Images are int64 tensors [B, C, H, W] of levels 0..K-1, described by an `ImageSpec`; scores are nats, [B].

There are also the base class of each kind of component (Ordering TapShape Backbone Head Sampler Model DataSource
Tracker Activation Norm Initialiser Encoding Optimiser Schedule ArrayConditioner), the types of their arguments
(BackboneSpec ArraySpec ComponentConfig ComponentSpec Dataset Batch ImageSpec Phase Noise Run SampleRequest BatchRequest
Drawn Known), the interface for plugins (hookimpl Registrar), and the errors, all derived from PixkitError. Everything
else is in public modules: pixkit.layers, pixkit.figures, pixkit.testing and so on. Names are imported when first used,
so ``import pixkit`` needs neither torch nor numpy.
"""

from __future__ import annotations

from typing import Any

# The only list of these names is __init__.pyi, which type checkers and editors read as it is, and pixkit.public when a
# name is first requested. A table here would have to be repeated for type checkers.


def __getattr__(name: str) -> Any:
    from pixkit.public import find

    return find(name)


def __dir__() -> list[str]:
    from pixkit.public import listed, modules

    return [*listed(), *modules()]
