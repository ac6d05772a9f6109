"""The page in a headless browser: PIXKIT_LONG=1 PIXKIT_BROWSER=FOLDER pytest -m long tests/studio.

FOLDER is one in which `npm install @sparticuz/chromium puppeteer-core` was said; the browser comes with these.
"""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from pixkit.image import ImageSpec
from pixkit.studio import Studio, StudioServer
from pixkit.tasks.drawer import open_drawer
from pixkit.testing import named, plain_backbone, randomise

FOLDER = os.environ.get("PIXKIT_BROWSER")


@pytest.mark.long
@pytest.mark.skipif(FOLDER is None, reason="PIXKIT_BROWSER names no folder with a browser")
def test_a_drawing_is_completed_in_a_browser(tmp_path):
    model = named("model", "autoregressive", backbone=plain_backbone()).build(ImageSpec(1, 6, 6, 3), None).eval()
    randomise(model, seed=1)
    server = StudioServer(Studio(open_drawer(model), "tiny"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = ["node", str(Path(__file__).with_name("page.mjs")), server.url, str(tmp_path / "page.png")]
    ran = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=600, check=False)
    server.shutdown()
    server.server_close()
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["problems"] == []
    assert {*told["hosts"]} == {server.url.split("/")[2]}
    first, sight, second = told["asked"]
    assert first == ["draw", first[1] | {"known": [*range(6)], "levels": [2] * 6, "count": 4, "label": None}]
    assert sight == ["sight", {"pixel": [0, 5, 5], "known": [*range(6)]}]
    assert second[1]["known"] == [*range(16)] and second[1]["levels"] == [0] * 15 + [2]
    assert (told["given"], told["undone"]) == ("The first 6 of 36 steps are given", "The first 0 of 36 steps are given")
    assert (told["painted"], told["cleared"]) == ("The first 16 of 36 steps are given", told["undone"])
    assert re.search(r"What is given[0-9.]+ nats.*The whole image[0-9.]+ nats[0-9.]+ bits/dim", told["numbers"])
    assert re.match(r"Row 5, column 5: step 35 of 36; reads [0-9]+ earlier pixels", told["pixel"])
    assert (tmp_path / "page.png").stat().st_size > 10_000
