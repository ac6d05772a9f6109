"""Proof of causality: when each unit of a network can be computed, and whether a prediction waits for later pixels."""

from pixkit.readiness.proof import Proof
from pixkit.readiness.proving import prove
from pixkit.readiness.report import Pixel, Report, Sight, examine
from pixkit.readiness.trace import Operation, Trace, Untraceable

__all__ = ["Operation", "Pixel", "Proof", "Report", "Sight", "Trace", "Untraceable", "examine", "prove"]
