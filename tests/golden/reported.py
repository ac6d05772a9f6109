"""A page about two runs, part by part: its texts, its places, and every pixel of its pictures.

One of the runs was extended, resumed elsewhere and stopped, and has losses that are not finite and steps without a row.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from pixkit.distribution import version
from pixkit.figures.fields import painted_order
from pixkit.report import page
from pixkit.report.chart import COLOURS, FEW, Line, chart, swatch
from pixkit.report.curve import Curve
from pixkit.report.field import _figure

LEGACY = Path(__file__).parents[1] / "legacy" / "runs" / "digits-tiny"
TAGS = re.compile(r"(?=<(?:tr|path|text|svg|image|img|p|h[1-6]|li|rect|details|pre)\b)")
"""Before these elements a line ends."""
DAY = 1_700_000_000
"""When all files of the runs were last written to."""
CHANGES = {
    "recipe.lock.yaml": (
        ("lr: 0.03", "lr: 0.3"), ("overrides: []", "overrides: [seed=1, train.steps=4]"),
        ("changes: []", "changes: ['data.root: a -> b']\n  class_names: [a, b, c, d, e, f, g, h, i, j]"),
        ("  parameters: 705", "  parameters: 705\n  segments: [{step: 0, steps: 12}, {step: 12, steps: 4}]\n"
                              "  parts: [{phase: train, step: 3, parts: 2}]"),
    ),
}  # fmt: skip


def edited(run):
    """The second run, whose files say more than the first one's."""
    for name, changes in CHANGES.items():
        text = (run / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (run / name).write_text(text, encoding="utf-8")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row.get("event") == "train":
            row["images_per_second"] = row["images_per_second"] / 20_000
            if row["step"] in (5, 6, 11):
                row["bits_per_dim"] = None
    kept = [row for row in rows if row.get("step") != 9]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in kept), encoding="utf-8")
    environment = json.loads((run / "env.json").read_text(encoding="utf-8"))
    environment["previous"] = [environment.copy()]
    (run / "env.json").write_text(json.dumps(environment), encoding="utf-8")
    (run / "scores.json").unlink()


def reported(folder):
    """The lines of the page, by the heading above them."""
    runs = [Path(shutil.copytree(LEGACY, folder / name)) for name in ("one", "two")]
    edited(runs[1])
    for path in folder.rglob("*"):
        os.utime(path, (DAY, DAY))
    told = []
    text = page(runs, say=told.append).replace(str(folder), "FOLDER").replace(version(), "VERSION")
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+\d:]*", "DATE", text)
    text = re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"sha256-[\w+/=]+", "STYLE", text)
    head, *sections = re.split(r"<section ", _shown(text))
    found = {"head": _lines(head)}
    for each in sections:
        found[re.search(r'id="(\w+)"', each)[1]] = _lines(each)
    return found | {"told": told} | parts()


def line(number, values, scores=(), again=()):
    steps = np.arange(1, len(values) + 1)
    raw = Curve(steps.astype(float), np.array(values, float), steps)
    return Line(number, raw, raw.smoothed(3.0), scores, [f"at {x}" for x, _ in scores], again)


def parts():
    """Charts of lines that are not in the page, and the numbers of an ordering of several colours."""
    lost = line(1, [1e9, 2.0, 3.0, np.nan, 2.5, 1.5, np.inf, 1.25], [(4, 2.0), (8, 1.0)], [5])
    many = line(COLOURS + 2, np.linspace(3, 1, 8), [(x / 8, 2.0) for x in range(FEW + 1)])
    steps = np.arange(12).reshape(2, 2, 3)
    found = {
        "what is lost": chart("a", "title", "said", [lost], across="step", up="nats"),
        "many scores": chart("b", "title", "said", [line(2, [], [(3.0, 4.0)]), many], across="hour", up="nats"),
        "a swatch": swatch(many),
        "colours": _figure("c", "title", "said", painted_order(steps), steps),
    }
    return {name: _lines(_shown(str(each))) for name, each in found.items()}


def _shown(text):
    """With a checksum of the pixels in place of each picture."""
    return re.sub(r"data:image/png;base64,([\w+/=]+)", lambda found: _pixels(found[1]), text)


def _lines(text):
    return [line for part in text.split("\n") for line in TAGS.split(part) if line]


def _pixels(encoded):
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        pixels = np.asarray(image)
    return f"{'x'.join(map(str, pixels.shape))} {hashlib.sha256(pixels.tobytes()).hexdigest()[:16]}"
