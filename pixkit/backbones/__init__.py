"""The base of backbones, how levels enter them, and what they are conditioned on."""
