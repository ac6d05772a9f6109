"""What there is: kinds, components, commands and recipes, as far as it can be told without a plugin or torch.

What plugins bring is known once they are imported, which takes seconds; it is kept in the cache folder (`store`) until
something that it depends on has changed (`watch` finds out what that is, and `state` looks at it).
"""
