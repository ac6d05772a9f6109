"""Templates for new plugins: a distribution with one component, its test, a recipe and a README."""

from pixkit.starter.distribution import names_for, new_plugin
from pixkit.starter.names import Names

__all__ = ["Names", "names_for", "new_plugin"]
