"""Pixels as pictures embedded in the page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def data_uri(pixels: np.ndarray) -> str:
    """A PNG of uint8 [H, W, 3], pixel by pixel; in greyscale if all pixels are grey."""
    grey = bool((pixels == pixels[..., :1]).all())
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels)).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
