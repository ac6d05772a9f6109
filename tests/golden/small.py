"""A small model around every built-in backbone, head, encoding, conditioner and model."""

from pixkit.image import ImageSpec
from pixkit.testing import named

GREY, COLOUR = ImageSpec(1, 28, 28, 4), ImageSpec(3, 8, 20, 4)
BINARY = ImageSpec(1, 28, 28, 2), ImageSpec(3, 8, 20, 2)
PIXELCNN = {"type": "pixelcnn", "width": 6, "layers": 1, "first_kernel": 5, "output_layers": 1}
GATED = {"type": "gated_pixelcnn", "width": 6, "layers": 2, "first_kernel": 5}
PIXELCNNPP = {"type": "pixelcnnpp", "filters": 3, "resnets": 1}
PIXELSNAIL = {"type": "pixelsnail", "width": 4, "blocks": 1, "residuals": 1, "key_width": 2}
LOCAL = {"type": "local_pixelcnn", "width": 6, "blocks": 1, "stages": 2, "norm": "none"}
TRANSFORMER = {"type": "transformer", "width": 6, "blocks": 1, "heads": 2}
JOINT = {"type": "raster", "colours": "joint"}
MIXTURE = {"type": "logistic_mixture", "components": 2}
LATENT = {"backbone": PIXELCNN, "features": 4, "encoder": {"width": 2, "hidden": 3}}
GAN = {**LATENT, "discriminator": {"hidden": 3, "layers": 2}}
LABELS = {"type": "label", "size": 3, "dropout": 0.2}


def around(backbone, **config):
    return "autoregressive", {"backbone": backbone, **config}


SMALL = {
    "pixelcnn": around({**PIXELCNN, "layers": 2, "output_layers": 2}),
    "pixelcnn, labels": around(
        {**PIXELCNN, "block": "full", "activation": "elu", "norm": "layer", "init": "he_uniform", "dropout": 0.1},
        context=LABELS,
    ),
    "pixelcnn, maxout": around(
        {**PIXELCNN, "block": "plain", "activation": "maxout", "norm": "batch", "init": "torch"}
    ),
    "pixelcnn, concatenated elu": around({**PIXELCNN, "activation": "concatenated_elu", "init": "xavier"}),
    "pixelcnn, one-hot levels": around(PIXELCNN, input={"type": "one_hot"}),
    "pixelcnn, embedded levels": around(PIXELCNN, input={"type": "embedded", "size": 3}),
    "pixelcnn, independent colours": around(PIXELCNN, head={"type": "softmax", "independent": True}),
    "pixelcnn, bernoulli": around(PIXELCNN, head={"type": "bernoulli"}),
    "pixelcnn, bernoulli, independent colours": around(PIXELCNN, head={"type": "bernoulli", "independent": True}),
    "pixelcnn, logistic mixture": around(PIXELCNN, head=MIXTURE),
    "pixelcnn, normal mixture": around(PIXELCNN, head={"type": "normal_mixture", "components": 2}),
    "gated_pixelcnn": around(GATED),
    "gated_pixelcnn, labels": around({**GATED, "skip": True, "dropout": 0.1}, context=LABELS),
    "local_pixelcnn": around({**LOCAL, "norm": "layer", "dropout": 0.1}, ordering="hilbert"),
    "local_pixelcnn, labels": around({**LOCAL, "stages": 1, "activation": "elu"}, context=LABELS),
    "local_pixelcnn, relu": around({**LOCAL, "stages": 1, "activation": "relu"}),
    "multiscale": around({"type": "multiscale", "width": 6, "layers": 1}, ordering={"type": "multiscale"}),
    "multiscale, labels": around(
        {"type": "multiscale", "width": 6, "layers": 1, "shared": True, "base": GATED, "dropout": 0.1},
        ordering={"type": "multiscale"},
        context=LABELS,
    ),
    "pixelcnnpp": around(PIXELCNNPP, ordering=JOINT, head=MIXTURE),
    "pixelcnnpp, labels": around(
        {**PIXELCNNPP, "activation": "elu", "short_cuts": False}, ordering=JOINT, head=MIXTURE, context=LABELS
    ),
    "pixelcnnpp, one stream": around(
        {**PIXELCNNPP, "activation": "relu", "link": False, "dropout": 0.1},
        ordering=JOINT,
        head=MIXTURE,
        context=LABELS,
    ),
    "pixelsnail": around(PIXELSNAIL, ordering=JOINT, head=MIXTURE),
    "pixelsnail, labels": around(
        {**PIXELSNAIL, "value_width": 6, "heads": 2, "dropout": 0.1}, ordering=JOINT, head=MIXTURE, context=LABELS
    ),
    "row_lstm": around({"type": "row_lstm", "units": 3, "layers": 2}, context=LABELS),
    "row_lstm, skip": around(
        {"type": "row_lstm", "units": 3, "layers": 2, "skip": True, "checkpointing": True, "init": "small_normal"}
    ),
    "diagonal_bilstm": around({"type": "diagonal_bilstm", "units": 3, "layers": 2, "skip": True}, context=LABELS),
    "diagonal_bilstm, residual": around({"type": "diagonal_bilstm", "units": 3, "layers": 2, "checkpointing": True}),
    "row_rnn": around({"type": "row_rnn", "hidden_size": 4, "width": 6, "num_layers": 2}),
    "row_rnn, labels": around(
        {
            "type": "row_rnn",
            "cell": "rnn",
            "hidden_size": 4,
            "width": 6,
            "batch_norm": True,
            "init": "he_normal",
            "dropout": 0.1,
        },
        context=LABELS,
    ),
    "row_rnn, seq2vec": around(
        {"type": "row_rnn", "mode": "seq2vec", "cell": "gru", "hidden_size": 4, "width": 6, "bidirectional": True}
    ),
    "transformer": around({**TRANSFORMER, "dropout": 0.1}, ordering="diagonal"),
    "transformer, labels": around(
        {**TRANSFORMER, "mlp": "swiglu", "hidden": 5}, ordering=JOINT, head=MIXTURE, context=LABELS
    ),
    "order_agnostic": ("order_agnostic", {"backbone": LOCAL, "orderings": ["snake", "spiral"]}),
    "order_agnostic, labels": (
        "order_agnostic",
        {"backbone": {**LOCAL, "stages": 1}, "orderings": ["snake", "spiral"], "context": LABELS},
    ),
    "any_order": ("any_order", {"backbone": LOCAL, "batch_orderings": 2}),
    "any_order, labels": (
        "any_order",
        {"backbone": {**LOCAL, "stages": 1}, "orderings": ["snake", "permutation"], "context": LABELS},
    ),
    "pixelvae": ("pixelvae", {**LATENT, "latent": 3}),
    "pixelvae, vector": ("pixelvae", {**LATENT, "latent": 3, "condition": "vector"}),
    "pixelvae, two levels": ("pixelvae", {**LATENT, "latent": 3, "spatial": {"maps": 2, "halvings": 2, "width": 3}}),
    "pixelgan": ("pixelgan", {**GAN, "gaussian": 2, "categorical": 3, "labelled": {"count": 2}}),
    "pixelgan, maps": ("pixelgan", {**GAN, "categorical": 3, "condition": "maps"}),
}
"""A model's name and configuration, by what is particular about it."""


def small(name):
    """The model of that name, as a component."""
    model, config = SMALL[name]
    return named("model", model, **config)


def specs(name):
    """The images that it is built for: 28x28 grey ones, and 8x20 in three colours."""
    return BINARY if "bernoulli" in name else (GREY, COLOUR)
