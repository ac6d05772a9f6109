"""Naming components, finding them, and the door that plugins come through."""
