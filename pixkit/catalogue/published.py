"""Published figures for the models of recipes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A figure on the test images, with its model, and its source."""

    figure: str
    source: str


_PIXELRNN = "van den Oord et al. (2016), arXiv 1601.06759"
_GATED = "van den Oord et al. (2016), arXiv 1606.05328"
_LOCAL = "Jain et al. (2020), arXiv 2006.12486"

PUBLISHED = {
    "mnist-pixelcnn": Published("81.30 nats (static, the authors' size)", _PIXELRNN),
    "mnist-gated": Published("80.10 nats (static, the authors' size)", _GATED),
    "mnist-row_lstm": Published("80.54 nats (static, the authors' size)", _PIXELRNN),
    "mnist-diagonal_bilstm": Published("79.20 nats (static, 7 layers of 16)", _PIXELRNN),
    "mnist-pixelvae": Published(
        "<= 80.08 nats (static, the authors' size)", "Gulrajani et al. (2016), arXiv 1611.05013"
    ),
    "mnist-vae": Published("86.8 nats (static, IWAE's estimate for a VAE)", "Burda et al. (2015), arXiv 1509.00519"),
    "mnist-local-8orders": Published("77.56 nats (8 orderings, dynamic, the authors' size)", _LOCAL),
    "mnist-pixelgan-categorical": Published("clustering error 5.27%", "Makhzani and Frey (2017), arXiv 1706.00531"),
    "cifar10-pixelcnn": Published("3.14 bits/dim", _PIXELRNN),
    "cifar10-gated": Published("3.03 bits/dim", _GATED),
    "cifar10-row_lstm": Published("3.07 bits/dim", _PIXELRNN),
    "cifar10-pixelcnnpp": Published("2.92 bits/dim", "Salimans et al. (2017), arXiv 1701.05517"),
    "cifar10-pixelsnail": Published("2.85 bits/dim", "Chen et al. (2017), arXiv 1712.09763"),
    "cifar10-local-8orders": Published("2.887 bits/dim (8 orderings)", _LOCAL),
}
"""By the names of packaged recipes; for the others none is published. recipes/README.md has the same figures."""
