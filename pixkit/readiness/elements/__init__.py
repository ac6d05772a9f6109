"""Readiness of every element, propagated through torch's own operations while a module runs."""
