"""A page to play with a trained model: draw a part of an image, and watch it being completed in the model's order.

It is served to this machine alone (`server.py`), from files in the wheel (`page/`); nothing of it comes from elsewhere.
"""

from pixkit.studio.server import StudioServer, serve
from pixkit.studio.studio import Studio

__all__ = ["Studio", "StudioServer", "serve"]
