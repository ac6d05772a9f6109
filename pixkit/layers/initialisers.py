"""Initialisers of weights, by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from pixkit.components.chosen import chosen
from pixkit.components.config import ComponentConfig
from pixkit.components.faults import built
from pixkit.components.spec import ComponentSpec


class Initialiser(ABC):
    """Base of initialisers: ``Initialiser(config)``, which fills a layer's weights given its number of inputs.

    Attributes:
        config: its keys.
    """

    class Config(ComponentConfig):
        """No keys."""

    # Any: each class has its own Config
    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def fill(self, weight: Tensor, fan_in: float, fan_out: float) -> None:
        """Fill a weight in place, from torch's generator.

        Args:
            weight: [outputs, inputs, ...], part of which may be masked.
            fan_in: the number of unmasked inputs that an output reads; at least 1.
            fan_out: the number of outputs that read an input; at least 1.
        """

    def fill_bias(self, bias: Tensor, fan_in: float) -> None:
        """Fill the bias in place; with 0 by default."""
        nn.init.zeros_(bias)


class TorchDefault(Initialiser):
    """Torch's default for convolutions: uniform in +-1/sqrt(n), biases too."""

    def fill(self, weight: Tensor, fan_in: float, fan_out: float) -> None:
        """Uniform in +-1/sqrt(n)."""
        _uniform(weight, fan_in**-0.5)

    def fill_bias(self, bias: Tensor, fan_in: float) -> None:
        """The same."""
        _uniform(bias, fan_in**-0.5)


class HeNormal(Initialiser):
    """Normal of variance 2/n, biases 0 (He et al., 2015, arXiv 1502.01852)."""

    def fill(self, weight: Tensor, fan_in: float, fan_out: float) -> None:
        """Normal of variance 2/n."""
        nn.init.normal_(weight, std=(2 / fan_in) ** 0.5)


class HeUniform(Initialiser):
    """Uniform of variance 2/n, biases 0 (He et al., 2015, arXiv 1502.01852)."""

    def fill(self, weight: Tensor, fan_in: float, fan_out: float) -> None:
        """Uniform of variance 2/n."""
        _uniform(weight, (6 / fan_in) ** 0.5)


class Xavier(Initialiser):
    """Uniform of variance 2/(n + m), biases 0 (Glorot and Bengio, 2010)."""

    def fill(self, weight: Tensor, fan_in: float, fan_out: float) -> None:
        """Uniform of variance 2/(n + m)."""
        _uniform(weight, (6 / (fan_in + fan_out)) ** 0.5)


class SmallNormal(Initialiser):
    """Normal of deviation 0.01, biases 0.1, which keeps ReLUs alive at the start."""

    def fill(self, weight: Tensor, fan_in: float, fan_out: float) -> None:
        """Normal of deviation 0.01."""
        nn.init.normal_(weight, std=0.01)

    def fill_bias(self, bias: Tensor, fan_in: float) -> None:
        """0.1."""
        nn.init.constant_(bias, 0.1)


INITIALISERS: Mapping[str, type[Initialiser]] = MappingProxyType(
    {
        "torch": TorchDefault,
        "he_normal": HeNormal,
        "he_uniform": HeUniform,
        "xavier": Xavier,
        "small_normal": SmallNormal,
    }
)


def initialiser(name: ComponentSpec | str) -> Initialiser:
    """An initialiser, as a configuration has it, or by its name.

    Raises:
        PluginError: if there is none of that name, or it cannot be constructed.

    Example:
        >>> weight = torch.empty(64, 100)
        >>> initialiser("he_uniform").fill(weight, fan_in=100, fan_out=64)
        >>> bool(weight.abs().max() <= (6 / 100) ** 0.5)
        True
    """
    made: Initialiser = built(chosen("initialiser", name))
    return made


def _uniform(values: Tensor, bound: float) -> None:
    nn.init.uniform_(values, -bound, bound)
