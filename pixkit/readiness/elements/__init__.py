"""Readiness of every element, carried through torch's own operations while a module really runs."""
