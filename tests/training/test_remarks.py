"""What a build says of a recipe that may not be meant."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pixkit as kit
from pixkit import training
from pixkit.context import ContextSpec
from pixkit.data import SOURCES
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec, Palette
from pixkit.testing import named
from pixkit.training.remarks import _classes_as_numbers, _few_levels, before_the_model, remarks
from pixkit.training.watch import Reporter

MODEL = """\
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 4, layers: 1, first_kernel: 3, output_layers: 1}
"""


class Said(Reporter):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


@pytest.fixture
def said(tmp_path, monkeypatch):
    """said(data, *overrides): the messages of a dry run of a recipe with these data."""
    monkeypatch.chdir(tmp_path)
    for name in ("ant", "bee"):
        for number in range(8):
            path = tmp_path / "all" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 10 * number).save(path)
    images = np.zeros((20, 4, 4), np.uint8)
    np.savez("a.npz", train=images, y=np.arange(20) % 2)

    def saying(data, *overrides):
        text = f"pixkit: 1\nname: r\ndata: {data}\n{MODEL}train: {{steps: 1, batch_size: 4}}\n"
        Path("r.yaml").write_text(text)
        reporter = Said()
        kit.training.dry_run("r.yaml", "cpu", reporter, overrides=overrides)
        return reporter.lines

    return saying


def test_labels_that_nobody_reads_are_remarked_on(said):
    folder = "{source: images, path: all, channels: 1}"
    arrays = "{source: arrays, path: a.npz, layout: NHW, test: null}"
    context = "model.context={type: label, size: 2}"
    for data, key in ((folder, "data.labels=true"), (arrays, "data.train_labels=y")):
        lines = [line for line in said(data, key) if "reads no labels" in line]
        assert len(lines) == 1 and lines[0].startswith(key.partition("=")[0]) and "model.context" in lines[0]
        assert not any("reads no labels" in line for line in said(data))
        assert not any("reads no labels" in line for line in said(data, key, context))
        assert not any("reads no labels" in line for line in said("{source: digits, limit_train: 8}"))


def test_arrays_that_nobody_reads_are_remarked_on(said):
    small = "data.context={small: {shrink: 2}, half: {shrink: 2, by: every}}"
    lines = said("{source: digits, limit_train: 8}", small, "model.context=[{type: image, from: small, layers: 1}]")
    assert [line for line in lines if "no conditioner of the model reads half;" in line]
    small = "data.context={small: {shrink: 2}}"
    lines = said("{source: digits, limit_train: 8}", small, "model.context=[{type: image, layers: 1}]")
    assert not [line for line in lines if "no conditioner" in line]


@pytest.mark.parametrize(
    ("stated", "high", "levels", "remarked"),
    [({}, 2, 256, True), ({}, 63, 256, True), ({}, 64, 256, False), ({}, None, 256, False), ({}, 0, 2, False),
     ({"source_levels": 256}, 2, 256, False), ({"source_levels": None}, 2, 256, False)],
)  # fmt: skip
def test_images_of_few_of_the_levels_are_remarked_on(stated, high, levels, remarked):
    config, dataset = (
        SOURCES["arrays"].Config(path="a.npz", **stated),
        SimpleNamespace(highest=high, source_levels=levels),
    )
    line = f"data.source_levels: the highest value is {high} of 0..255; if the files contain levels or classes"
    said = [*_few_levels(SimpleNamespace(config=config), dataset)]
    assert said == [f"{line} as they are, source_levels is the number of these, {(high or 0) + 1} or more"] * remarked
    assert not [*_few_levels(SimpleNamespace(config=SOURCES["digits"].Config()), dataset)]


def test_integers_that_may_be_classes_and_enter_as_a_number_are_remarked_on():
    arrays = [ContextSpec(*each) for each in (("k", (), 4), ("one", (1,), 3), ("two", (), 2), ("age", ()), ("v", (2,)))]
    backbone = {"type": "pixelcnn", "width": 2, "layers": 0, "output_layers": 1}
    context = [{"type": "vector", "from": each.name, "size": 1} for each in arrays]
    context.append({"type": "label", "from": "k", "size": 1})
    model = named("model", "autoregressive", backbone=backbone, context=context).build(
        ImageSpec(1, 4, 4, 2, context=tuple(arrays)), None
    )
    assert [*_classes_as_numbers(model)] == [
        f"model.context[{number}]: {name}, integers 0..{most}, enters as a number; if they are classes, "
        f"{{type: label, from: {name}}} gives each a vector"
        for number, name, most in ((0, "k", 3), (1, "one", 2))
    ]
    assert not model.labelled and not [*_classes_as_numbers(named("model", "autoregressive", backbone=backbone).build(
        ImageSpec(1, 4, 4, 2), None))]  # fmt: skip


def test_the_reverse_says_by_which_keys_labels_are_read(said):
    context = "model.context={type: label, size: 2}"
    with pytest.raises(RecipeError, match="no labels") as caught:
        said("{source: images, path: all, channels: 1}", context)
    assert caught.value.hint == "data.labels=true" and caught.value.exit_code == 2
    with pytest.raises(RecipeError, match="no labels") as caught:
        said("{source: arrays, path: a.npz, layout: NHW, test: null}", context)
    assert "data.train_labels=NAME" in caught.value.hint
    with pytest.raises(RecipeError, match="no labels") as caught:
        said("{source: synthetic}", context)
    assert caught.value.hint is None


def test_a_batch_larger_than_the_data_is_remarked_on(said):
    folder = "{source: images, path: all, channels: 1, test_fraction: 0.0, validation: 0.0}"
    assert not any("batch_size" in line for line in said(folder, "train.batch_size=16"))
    (line,) = (line for line in said(folder, "train.batch_size=17") if "batch_size" in line)
    assert "17 images a step" in line and "16 training images" in line


def test_channels_that_come_last_are_remarked_on(said):
    for layout, expected in (("NCHW", 1), ("NHWC", 0)):
        np.savez("a.npz", train=np.zeros((20, 6, 6, 1), np.uint8))
        text = f"{{source: arrays, path: a.npz, train: train, test: null, layout: {layout}}}"
        lines = said(text, "model.backbone.width=12")
        assert sum("permute(0, 3, 1, 2)" in line for line in lines) == expected


@pytest.mark.parametrize(("shape", "remarked"), [
    ((28, 28, 1), True), ((32, 30, 3), True), ((3, 28, 1), False), ((28, 3, 1), False), ((28, 28, 2), False),
    ((2, 8, 8), False), ((3, 8, 8), False),
])  # fmt: skip
def test_images_whose_channels_come_last_are_remarked_on(shape, remarked):
    assert len(list(before_the_model(ImageSpec(*shape, 2)))) == remarked


@pytest.mark.parametrize(
    ("shape", "remarked"),
    [
        ((1, 8, 3), True),
        ((1, 5, 4), True),
        ((1, 4, 3), False),
        ((1, 8, 5), False),
        ((3, 8, 3), False),
        ((1, 8, 8), False),
    ],
)
def test_rows_of_pictures_that_seem_to_be_images_are_remarked_on(shape, remarked):
    """Of files of one picture each, [H, W, 3], every row is read as an image."""
    assert any("np.stack makes images" in line for line in before_the_model(ImageSpec(*shape, 2))) == remarked


RED, BLUE = (Palette.of([[0, 0, 0], colour]) for colour in ([255, 0, 0], [0, 0, 255]))


@pytest.mark.parametrize(("was", "now", "said"), [
    ((None, None), (None, None), []),
    ((("a", "b"), None), (("a", "b"), None), []),
    ((None, None), (("a", "b"), None), []),
    ((("a", "b"), None), (("b", "a"), None),
     ["its classes are a, b; their weights go, in this order, to b, a"]),
    ((None, RED), (None, RED), []),
    ((None, None), (None, RED), ["it was trained on levels, not of tokens"]),
    ((None, RED), (None, BLUE), ["it was trained on tokens of another palette: data.palette=RED takes the same"]),
])  # fmt: skip
@pytest.mark.parametrize("started", [True, False])
def test_weights_of_others_are_remarked_on_and_no_others(monkeypatch, tmp_path, was, now, said, started):
    """A checkpoint's folder is no run, and nothing is known of its classes."""

    class Other:
        palette = "RED"

        def __init__(self, path):
            assert path == tmp_path / "other"
            self.started = started

        @property
        def spec(self):
            assert started
            return SimpleNamespace(palette=was[1])

        @property
        def class_names(self):
            assert started
            return was[0]

    monkeypatch.setattr(training.remarks, "Run", Other)
    recipe = SimpleNamespace(
        data=SimpleNamespace(config=None), model=None,
        train=SimpleNamespace(batch_size=4, start=SimpleNamespace(run="other")),
    )  # fmt: skip
    spec = ImageSpec(1, 2, 2, 2, now[1])
    dataset = SimpleNamespace(classes=None, class_names=now[0], spec=spec, size=lambda split: 4)
    found = list(remarks(recipe, dataset, SimpleNamespace(labelled=True), tmp_path))
    assert found == ([f"train.init_from: {text}" for text in said] if started else [])
