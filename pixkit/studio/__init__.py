"""A page to play with a trained model: draw a part of an image, and watch the model complete it in its order.

It is served only to this machine (`server.py`), from files in the wheel (`page/`); nothing comes from elsewhere.
"""

from pixkit.studio.server import StudioServer, serve
from pixkit.studio.studio import Studio

__all__ = ["Studio", "StudioServer", "serve"]
