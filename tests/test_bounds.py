"""Of each range that is checked, the last value on either side is taken, and the next one is refused."""

import io
import math
import struct
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pixkit.backbones.conditioners import LabelContext
from pixkit.data import idx, synthetic
from pixkit.data.base import read_whole
from pixkit.data.classes import number_of
from pixkit.data.layout import axes_of
from pixkit.data.values import labels_of, levels_of
from pixkit.errors import DataError, RecipeError, RunError, UsageError
from pixkit.figures.grids import to_bytes
from pixkit.files import TooLarge, open_regular
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.recipe import yaml
from pixkit.recipe.dump import ScalarError, resolve_scalar
from pixkit.recipe.yaml import MAX_DEPTH, parse_yaml
from pixkit.runs.holder import Holder
from pixkit.runs.runfile import RunFile
from pixkit.runs.schema import Division, Image, Lock
from pixkit.samplers.batch import check_batch_size, check_count, check_guidance, check_temperature
from pixkit.tasks.labels import repeat_codes, repeat_labels
from pixkit.tasks.masks import hide_box, hide_random, keep_edge
from pixkit.testing import named
from pixkit.training.resume import _SavedState

SPEC = ImageSpec(1, 3, 4, 3)
THIS = Path(__file__)
BODY = {"type": "pixelcnn", "width": 6, "layers": 1, "output_layers": 1}
REFUSALS = (DataError, RecipeError, RunError, UsageError, ValidationError, ScalarError, TooLarge)


def above(number):
    return math.nextafter(number, math.inf)


def below(number):
    return math.nextafter(number, -math.inf)


def spec(**sizes):
    return ImageSpec(**{"channels": 1, "height": 1, "width": 1, "levels": 2} | sizes)


def model(name, classes=None, **config):
    return named("model", name, backbone=BODY, **config).build(SPEC, classes)


def idx_of(size):
    with mock.patch.object(idx, "LARGEST", 6):
        return idx.parse_idx(io.BytesIO(b"\0\0\x08\x01" + struct.pack(">I", size) + bytes(size)), 1, "")


def entries_of_a_table(most):
    with mock.patch.object(synthetic, "LARGEST", most):
        synthetic.Synthetic.Config(source_levels=4)


def table(rows):
    return labels_of(np.array(rows), len(rows), "")


def _some(found):
    if found is None:
        raise UsageError("no such class")


def lock(**changes):
    image = {"channels": 1, "height": 1, "width": 1, "levels": 2}
    data = {"description": "", "hashes": {}}
    return Lock(**{"image": image, "data": data, "classes": None, "parameters": 1, "changes": []} | changes)


def state(**changes):
    return _SavedState(
        **{"step": 5, "evaluated": 0, "sampled": 0, "best_step": None, "best_nats": None, "stale": 0} | changes
    )


def nodes(count):
    with mock.patch.object(yaml, "MAX_NODES", 4):
        parse_yaml(f"[{'0, ' * (count - 1)}]", "")


RANGES = {
    "temperature": (check_temperature, [1e-20, 1e20], [below(1e-20), above(1e20)]),
    "guidance": (check_guidance, [-1e6, 1e6], [below(-1e6), above(1e6)]),
    "batch size": (check_batch_size, [1], [0]),
    "a count": (lambda n: check_count("n", n, 2, 4, "2..4"), [2, 4], [1, 5]),
    "seed": (lambda n: Noise(n, [0]), [0, 2**64 - 1], [-1, 2**64]),
    "image number": (lambda n: Noise(0, [n]), [0, 2**64 - 1], [-1, 2**64]),
    "channels": (lambda n: spec(channels=n), [1], [0]),
    "height": (lambda n: spec(height=n), [1], [0]),
    "width": (lambda n: spec(width=n), [1], [0]),
    "number of levels": (lambda n: spec(levels=n), [2], [1]),
    "levels of a batch": (lambda n: SPEC.check(torch.full((1, 1, 3, 4), n)), [0, 2], [-1, 3]),
    "levels of an array": (lambda n: levels_of(np.array([n]), 300, None, ""), [0, 299], [-1, 300]),
    "levels of floats": (lambda n: levels_of(np.array([float(n)]), 300, None, ""), [0, 299], [-1, 300]),
    "levels of a picture": (lambda n: to_bytes(np.full((1, 1, 1, 1), n), 5), [0, 4], [-1, 5]),
    "rows known from the top": (lambda n: keep_edge((1, 4, 6), "top", n), [0, 4], [-1, 5]),
    "columns known from the right": (lambda n: keep_edge((1, 4, 6), "right", n), [0, 6], [-1, 7]),
    "top of a box": (lambda n: hide_box((1, 4, 6), n, 0, 2, 1), [0, 2], [-1, 3]),
    "left of a box": (lambda n: hide_box((1, 4, 6), 0, n, 1, 2), [0, 4], [-1, 5]),
    "height of a box": (lambda n: hide_box((1, 4, 6), 1, 0, n, 1), [1, 3], [0, 4]),
    "width of a box": (lambda n: hide_box((1, 4, 6), 0, 1, 1, n), [1, 5], [0, 6]),
    "share of the pixels": (lambda share: hide_random((1, 4, 6), share, 0), [5e-324, 1.0], [0.0, above(1.0)]),
    "labels of an array": (lambda n: table([0, n]), [0, 2**31 - 1], [-1, 2**31]),
    "axes of labels": (lambda axes: labels_of(np.ones((1,) * axes, int), 1, ""), [1, 2], [0, 3]),
    "ones in a row of labels": (lambda ones: table([[1] * ones + [0] * (3 - ones)]), [1], [0, 2]),
    "other numbers in a row of labels": (lambda n: table([[1, n]]), [0], [-1, 2]),
    "labels of a network": (lambda n: LabelContext(3, 2).check(torch.tensor([0, n])), [0, 3], [-1, 4]),
    "labels to draw": (
        lambda n: repeat_labels(model("autoregressive", 3, context={"type": "label"}), n, 1), [0, 2], [-1, 3]
    ),
    "codes to draw": (lambda n: repeat_codes(model("pixelgan", categorical=3, gaussian=2), n, 1), [0, 2], [-1, 3]),
    "axes of images": (lambda axes: axes_of((1,) * axes, "auto", ""), [3], [2, 5]),
    "bytes of an IDX file": (idx_of, [1, 6], [0, 7]),
    "bytes of a file of a data set": (lambda n: read_whole(THIS, n), [THIS.stat().st_size], [THIS.stat().st_size - 1]),
    "entries of a table, 5**3 * 4,": (entries_of_a_table, [500], [499]),
    "digits of an integer": (lambda n: resolve_scalar("1" * n), [1, 40], [41]),
    "depth of a recipe": (lambda n: parse_yaml("[" * n + "]" * n, ""), [MAX_DEPTH], [MAX_DEPTH + 1]),
    "values of a recipe": (nodes, [4], [5]),
    "a side of a run's images": (lambda n: Image(channels=1, height=1, width=n, levels=2), [1, 2**24], [0, 2**24 + 1]),
    "sub-pixels of a run's images": (
        lambda n: Image(channels=1, height=2**14, width=n, levels=2), [2**14], [2**14 + 1]
    ),
    "classes of a run": (lambda n: lock(classes=n), [1, 2**24], [0, 2**24 + 1]),
    "names of a run's classes": (lambda n: lock(classes=2, class_names=[str(i) for i in range(n)]), [2], [1, 3]),
    "different names of a run's classes": (lambda n: lock(classes=3, class_names=["a", "b", "cab"[n]]), [0], [1, 2]),
    "a count in a run's files": (lambda n: lock(parameters=n), [0, 2**63 - 1], [-1, 2**63]),
    "parts of a run's batches": (lambda n: Division(step=1, phase="", parts=n), [1, 2**24], [0, 2**24 + 1]),
    "number of a process": (lambda n: Holder(pid=n), [1, 2**31 - 1], [0, 2**31]),
    "generation of a lock": (lambda n: Holder(pid=1, generation=n), [0], [-1]),
    "last scores of a checkpoint": (lambda n: state(evaluated=n), [0, 5], [-1, 6]),
    "last samples of a checkpoint": (lambda n: state(sampled=n), [0, 5], [-1, 6]),
    "best step of a checkpoint": (lambda n: state(best_step=n, best_nats=1.0), [0, 5], [-1, 6]),
    "the number of a class, as text": (lambda n: _some(number_of(str(n), 3, None)), [0, 2], [-1, 3]),
    "levels of a run's images": (
        lambda n: Image(channels=1, height=1, width=1, levels=n), [2, 2**24], [1, 2**24 + 1]
    ),
}  # fmt: skip
"""What is called with a number, the numbers that it takes, and those that it refuses."""


def is_refused(call, value):
    try:
        call(value)
    except REFUSALS:
        return True
    return False


@pytest.mark.parametrize("name", RANGES)
def test_the_last_value_of_a_range_is_taken_and_the_next_one_is_refused(name):
    call, taken, refused = RANGES[name]
    assert taken and [value for value in taken if not is_refused(call, value)] == taken
    assert refused and [value for value in refused if is_refused(call, value)] == refused


def test_sizes_of_files_and_lines(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc\nab\n")
    assert RunFile(path, 7).content() == b"abc\nab\n"
    assert list(RunFile(path, 7).lines_if_any(4)) == [b"abc\n", b"ab\n"]
    open_regular(path, most=7).close()
    with pytest.raises(RunError):
        RunFile(path, 6).content()
    with pytest.raises(TooLarge):
        open_regular(path, most=6)
    with pytest.raises(RunError, match="a line of more than 3 bytes"):
        list(RunFile(path, 7).lines_if_any(3))
