"""One of two plugins that bring the same name."""

import torch

import pixkit

pixkit_api_version = 1


class Zigzag(pixkit.Ordering):
    """The second plugin's."""

    def site_steps(self, height, width):
        return torch.arange(height * width).view(height, width)


@pixkit.hookimpl
def pixkit_register(registry):
    registry.add("ordering", "zigzag", Zigzag)
