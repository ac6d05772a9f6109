"""The eight ways to turn a raster; outside the long set, two in which every turn is made once and once left out.

Either flip is one of those that change the order of rows drawn at once, too.
"""

import itertools
import os

LONG = os.environ.get("PIXKIT_LONG") == "1"
KEYS = ("transpose", "flip_horizontal", "flip_vertical")
TURNS = list(itertools.product([False, True], repeat=3)) if LONG else [(True, True, False), (False, False, True)]
TURNED = [dict(zip(KEYS, turn, strict=True)) for turn in TURNS]
