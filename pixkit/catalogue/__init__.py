"""Kinds, components, commands and recipes, as far as they can be listed without importing a plugin or torch.

The contents of plugins are known once they are imported, which takes seconds; they are kept in the cache folder
(`store`) until something that they depend on has changed (`watch` records the dependencies, and `state` checks them).
"""
