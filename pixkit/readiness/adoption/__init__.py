"""Foreign networks rewritten with pixkit's layers, so that they are proved, planned and sampled like its own."""

from pixkit.readiness.adoption.export import adopted
from pixkit.readiness.adoption.separable import NotSeparable

__all__ = ["NotSeparable", "adopted"]
