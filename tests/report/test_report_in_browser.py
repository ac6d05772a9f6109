"""The page in a headless browser: PIXKIT_LONG=1 PIXKIT_BROWSER=FOLDER pytest -m long tests/report.

FOLDER is one in which `npm install @sparticuz/chromium puppeteer-core` was said; the browser comes with these.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

FOLDER = os.environ.get("PIXKIT_BROWSER")


def texts(one):
    """The pieces of text right within an element, as a browser has them."""
    return "|".join(filter(None, (one.text, *(inner.tail for inner in one))))


@pytest.mark.long
@pytest.mark.skipif(FOLDER is None, reason="PIXKIT_BROWSER names no folder with a browser")
def test_a_browser_reads_what_was_written_and_shows_it_in_every_light(both, parsed, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(both.rstrip(), encoding="utf-8")  # what stands after </html> is read as part of the body
    command = ["node", str(Path(__file__).with_name("report.mjs")), str(path), str(tmp_path)]
    ran = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["problems"] == [], "nothing that its policy forbids"
    assert {*told["loaded"]} - {"data"} == {path.as_uri()}
    written = [[one.tag, dict(one.attrib), texts(one)] for one in parsed(both).iter()]
    assert len(written) == len(told["elements"]) > 500
    assert [pair for pair in zip(written, told["elements"], strict=True) if pair[0] != pair[1]] == []
    light, dark, narrow, printed = (told["seen"][name] for name in ("light", "dark", "narrow", "print"))
    assert light["paper"] == printed["paper"] == "rgb(255, 255, 255)" and dark["paper"] == "rgb(22, 24, 27)"
    assert [one["broken"] for one in told["seen"].values()] == [0] * 4
    assert light["over"] == dark["over"] == narrow["over"] == 0, "wide tables are scrolled by themselves"
    assert (light["recipe"], printed["recipe"]) == (False, True), "on paper recipes are open"
    assert light["contents"] > 0 and printed["contents"] == 0
    assert min((tmp_path / f"{name}.png").stat().st_size for name in told["seen"]) > 10_000
