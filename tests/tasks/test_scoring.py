"""Images scored one by one: eval's numbers, whatever the batch, in order, and a row for what cannot be read."""

import math
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import pixkit
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import SOURCES, prepare, stored
from pixkit.errors import DataError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.runs.load import load_data
from pixkit.runs.record import _of_source
from pixkit.tasks import inputs
from pixkit.tasks.scoring import ImageScore, Tally, common_top, several, uniform_nats, unlikely
from pixkit.tasks.scoring.labels import LabelsAsked
from pixkit.tasks.scoring.stream import Stream
from pixkit.testing import named, random_images, randomise

SPEC = ImageSpec(1, 3, 4, 3)
SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
LOCAL = {"type": "local_pixelcnn", "width": 4, "blocks": 1, "stages": 1, "norm": "none"}


def model_of(kind="autoregressive", classes=None, **options):
    model = named("model", kind, **{"backbone": SMALL, **options}).build(SPEC, classes).eval().double()
    randomise(model, seed=1)
    return model


def labelled(dropout=0.0):
    return model_of(classes=3, context={"type": "label", "size": 2, "dropout": dropout})


def latent():
    return model_of("pixelvae", latent=2, features=4, encoder={"width": 2, "hidden": 4})


@pytest.mark.parametrize("model", [model_of, lambda: model_of("order_agnostic", backbone=LOCAL, orderings=[
    "raster", {"type": "raster", "flip_vertical": True}])], ids=["one", "ensemble"])  # fmt: skip
def test_scores_are_those_of_eval_whatever_the_batch(model):
    built, x = model(), random_images(SPEC, 7)
    rows = list(pixkit.score(built, x, batch_size=3, maps=True))
    alone = list(pixkit.score(built, x, batch_size=1))
    evaluated = pixkit.evaluate(built, x)
    assert [row.image for row in rows] == [*"0123456"]
    assert [row.nats for row in rows] == pytest.approx([row.nats for row in alone], rel=1e-12)
    assert [float(row.sites.sum()) for row in rows] == pytest.approx([row.nats for row in rows], rel=1e-12)
    assert {row.kind for row in rows} == {"exact"} and {row.sites for row in alone} == {None}
    tally = Tally()
    for row in rows:
        tally.add(row)
    assert (tally.mean, tally.scored) == (pytest.approx(evaluated.nats, rel=1e-12), 7)
    assert rows[0].bits == pytest.approx(rows[0].nats / (12 * math.log(2)), rel=1e-12)
    for name, mean in evaluated.parts.items():
        assert np.mean([row.parts[name] for row in rows]) == pytest.approx(mean, rel=1e-12)


def test_a_bound_is_the_images_own_and_its_map_is_of_the_same_draw():
    model, x = latent(), random_images(SPEC, 5)
    state = torch.get_rng_state()
    rows = list(pixkit.score(model, x, batch_size=2, maps=True))
    other = list(pixkit.score(model, x.flip(0)[:3], batch_size=3))
    assert torch.equal(torch.get_rng_state(), state)
    assert [row.nats for row in other] == pytest.approx([row.nats for row in rows[:1:-1]], rel=1e-12)
    batches, assess = [], model.assess_sites
    model.assess_sites = lambda batch: batches.append(len(batch.x)) or assess(batch)
    list(pixkit.score(model, x, batch_size=2))
    model.draws_by_number = False
    assert [row.nats for row in pixkit.score(model, x, batch_size=4)] == pytest.approx(
        [row.nats for row in rows], rel=1e-12
    )
    assert batches == [2, 2, 1, 1, 1, 1, 1, 1]
    assert next(pixkit.score(model, x[:1], seed=1)).nats != rows[0].nats
    for row in rows:
        assert row.kind == "bound"
        assert row.nats == pytest.approx(row.parts["reconstruction"] + row.parts["kl_1"], rel=1e-12)
        assert float(row.sites.sum()) == pytest.approx(row.parts["reconstruction"], rel=1e-12)
    [estimate] = pixkit.score(model, x[:1], importance=50)
    assert estimate.kind == "estimate" and estimate.nats < rows[0].nats + 1
    with pytest.raises(UsageError, match="an estimate has no map"):
        pixkit.score(model, x, maps=True, importance=5)


def test_an_unknown_label_is_a_mixture_and_the_likeliest_is_told(tmp_path):
    model, x = labelled(), random_images(SPEC, 4)
    model.class_names = ("cat", "dog", "owl")
    with torch.no_grad():
        each = torch.stack([model.log_prob(x, torch.full((4,), label)) for label in range(3)])
    rows = list(pixkit.score(model, x, batch_size=3, maps=True))
    expected = -(each.logsumexp(0) - math.log(3))
    assert [row.nats for row in rows] == pytest.approx(expected.tolist(), rel=1e-12)
    assert [row.label for row in rows] == each.argmax(0).tolist()
    assert [row.parts["best label"] for row in rows] == pytest.approx((-each.max(0).values).tolist(), rel=1e-12)
    assert [float(row.sites.sum()) for row in rows] == pytest.approx(expected.tolist(), rel=1e-12)
    assert rows[0].class_name == model.class_names[rows[0].label]
    dumped = rows[0].dump(SPEC)
    assert [*dumped] == ["image", "kind", "nats", "bits_per_dim", "label", "class", "best_label"]
    assert (dumped["class"], dumped["best_label"]) == (rows[0].class_name, rows[0].parts["best label"])
    assert [row.nats for row in pixkit.score(model, x, labels="dog")] == pytest.approx((-each[1]).tolist(), rel=1e-12)
    model.class_names, own = None, [0, 1, 2, 0]
    np.save(tmp_path / "labels.npy", own)
    for labels, expected in ((own, own), (tmp_path / "labels.npy", own), (1, [1] * 4)):
        given = list(pixkit.score(model, x, labels=labels, batch_size=3))
        assert [row.nats for row in given] == pytest.approx([-float(each[k, i]) for i, k in enumerate(expected)])
        assert [(row.label, row.class_name) for row in given] == [(k, str(k)) for k in expected]
    [alone] = pixkit.score(model, x[:1], labels=[2])
    assert alone.nats == pytest.approx(-float(each[2, 0]))


def test_no_label_is_one_that_the_model_knows():
    model, x = labelled(0.3), random_images(SPEC, 2)
    rows = list(pixkit.score(model, x, labels="none"))
    assert [row.nats for row in rows] == pytest.approx((-model.log_prob(x)).tolist(), rel=1e-12)
    assert [(row.label, row.class_name) for row in rows] == [(None, None)] * 2


@pytest.mark.parametrize(("labels", "error", "text"), [
    ([0, 1, 2], DataError, "fewer labels than images"), ([0, 1, 2, 0, 1], DataError, "labels of other images"),
    ([0], DataError, "found: 1 labels"), ([], UsageError, "no labels"), ("cow", UsageError, "no such class"),
    ("none", UsageError, "no images without a label"),
])  # fmt: skip
def test_labels_that_do_not_fit(labels, error, text):
    with pytest.raises(error, match=text):
        list(pixkit.score(labelled(), random_images(SPEC, 4), labels=labels))


def test_images_of_a_runs_data_have_their_own_labels():
    run = pixkit.Run.open(Path(__file__).parents[1] / "legacy" / "runs" / "digits-tiny")
    model = named("model", "autoregressive", backbone=SMALL, context={"type": "label", "size": 2}).build(run.spec, 10)
    own = load_data(run).batch("test", torch.arange(6))
    stream = Stream(["test:1:3", "test:5", "test:4:5"], model, run, None)
    found = list(stream)
    assert [each.name for each in found] == ["test:1", "test:2", "test:5", "test:4"] and stream.total == 4
    assert torch.equal(torch.stack([each.image for each in found]), own.x[[1, 2, 5, 4]])
    assert [each.label for each in found] == own.labels[[1, 2, 5, 4]].tolist()
    asked, unknown, none = LabelsAsked(model, None), LabelsAsked(model, "all"), LabelsAsked(model_of(), None)
    assert [each.of(found[2], 2) for each in (asked, unknown, none)] == [found[2].label, None, None]
    unlabelled = model_of(classes=3)  # it has classes, and does not look at them
    assert [(each.name, each.label) for each in Stream(["test::2"], unlabelled, run, None)] == [
        ("test:0", None), ("test:1", None),
    ]  # fmt: skip
    one, several, rest = "there is no image with that number", "there are no such images", ": is all from there on"
    for name, text, hint in (("test:9:3", several, None), ("test:32:", several, None), ("test:3:3", several, None),
        ("test:32", one, None), ("test:32:33", several, None), ("test:1:33", several, f"test:1{rest}"),
        ("test::33", several, f"test:{rest}")):  # fmt: skip
        with pytest.raises(UsageError, match=r"numbers in 0\.\.31") as caught:
            list(Stream([name], model, run, None))
        assert (caught.value.message, caught.value.found, caught.value.hint) == (text, name, hint)


def replace_in(stand, **others):
    return SimpleNamespace(**{**vars(stand), **others})


def test_labelled_pictures_of_a_runs_data_are_in_memory_one_at_a_time(tmp_path, monkeypatch):
    """Labels are known by the files' names, in the model's numbers; a file that cannot be read has a row."""
    names, spec, count = ("c", "b", "a"), ImageSpec(3, 96, 96, 256), 30
    for number in range(count):
        (folder := tmp_path / "abc"[number % 3]).mkdir(exist_ok=True)
        Image.new("RGB", (96, 96), (number % 3, number, 0)).save(folder / f"{number}.png")
    entry = Entry("data", "images", SOURCES["images"], "pixkit", "0")
    ref = ComponentSpec(entry, SOURCES["images"].Config(path=str(tmp_path), labels=True, test_fraction=0.8), "x")
    run = SimpleNamespace(recipe=lambda: SimpleNamespace(data=ref), spec=spec, classes=3, class_names=("b", "c", "a"))
    run.source_levels, run.path = None, "its run"
    run.settings = lambda: {"lock": {"data": {"hashes": {}, "files": data.files}}}
    model = SimpleNamespace(spec=spec, labelled=True, classes=3, class_names=names)
    data = prepare(ref, tmp_path)
    expected = [(int(green), 2 - int(kind)) for kind, green in data.part("test").levels(slice(None))[:, :2, 0, 0]]
    monkeypatch.setattr(inputs, "load_data", None)
    given = iter(stream := Stream(["validation:0", "test::", "train:2"], model, run, None))
    assert (first := next(given)).label == 2 - int(first.image[0, 0, 0]) and first.name == "validation:0"
    [as_of_run] = Stream(["validation:0"], replace_in(model, class_names=None), run, None)
    assert as_of_run.label == [2, 0, 1][2 - first.label], "of a model that knows only numbers, they are the run's"
    bare = ComponentSpec(entry, ref.config.model_copy(update={"labels": False}), "x")
    with pytest.raises(DataError, match="images given their labels, and these have none"):
        next(iter(Stream(["test:0"], model, replace_in(run, recipe=lambda: SimpleNamespace(data=bare)), None)))
    bad = expected[4][0]
    (tmp_path / "abc"[bad % 3] / f"{bad}.png").write_bytes(b"no picture")
    found = []
    with pytest.warns(RuntimeWarning, match="its run: .* sizes or labels of the images' files have changed"):
        list(Stream(["test::"], model, run, None))  # what is imported for it counts as memory, too
    tracemalloc.start()
    for number, each in enumerate(given):
        found.append((each.name, None if each.image is None else (int(each.image[1, 0, 0]), each.label)))
        assert (each.error is None) == (number != 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected[4] = None
    assert found[:-1] == [(f"test:{number}", one) for number, one in enumerate(expected)] and len(expected) == 24
    assert found[-1][0] == "train:2" and stream.total == 26 and peak < count * 96 * 96 * 3 // 2


def test_an_array_that_changes_while_it_is_read_has_a_row_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "AT_ONCE", 24)
    model, path = model_of(), tmp_path / "x.npy"
    x = np.random.default_rng(0).integers(0, 3, (1000, 3, 4), dtype=np.uint8)
    np.save(path, x)
    stream = Stream([path], model, None, None)
    rows = iter(stream)
    assert next(rows).name == f"{path} 0" and stream.total == 1000
    np.save(path, x + 3)
    *_, before, last = rows = list(rows)  # what the system's buffer holds is as it was
    assert (last.name, last.error) == (str(path), f"{path}: the file has changed while it was read")
    assert before.error is None and stream.total == 1 + len(rows) < 1000


def test_a_file_has_the_levels_of_the_images_that_a_run_was_built_with(tmp_path):
    """Also where only the arrays tell how many, as booleans do, and none of them is there any more."""
    x = np.random.default_rng(0).integers(0, 2, (8, 3, 4)).astype(bool)
    for name in ("train", "test", "other"):
        np.save(tmp_path / f"{name}.npy", x)
    data = {"source": "arrays", "train": str(tmp_path / "train.npy"), "test": str(tmp_path / "test.npy")}
    recipe = {
        "pixkit": 1, "name": "x", "data": {**data, "levels": 2}, "sample": {"count": 1},
        "model": {"type": "autoregressive", "backbone": SMALL}, "train": {"steps": 1, "batch_size": 2},
    }  # fmt: skip
    run = pixkit.build(recipe, out=tmp_path / "run").run
    assert run.settings()["lock"]["data"]["levels"] == 2 == run.source_levels
    own = [row.nats for row in pixkit.score(run.path, "test::")]
    (tmp_path / "train.npy").unlink()
    (tmp_path / "test.npy").unlink()
    assert [row.nats for row in pixkit.score(run.path, tmp_path / "other.npy")] == own
    found = inputs.each_image([tmp_path / "other.npy"], run.spec, run)
    assert np.array_equal(found[7][1][0], x[7])


@pytest.mark.parametrize(
    ("stated", "levels", "kept"), [(None, 256, {}), (None, 2, {"levels": 2}), (7, 7, {}), (None, None, {})]
)
def test_the_lock_keeps_levels_that_no_configuration_tells(stated, levels, kept):
    source = SOURCES["arrays"](SOURCES["arrays"].Config(source_levels=stated, levels=2), Path())
    assert _of_source(SimpleNamespace(source=source, source_levels=levels, files=None)) == kept


@pytest.mark.parametrize("labels", ["all", "none", 1, [], "absent.npy"], ids=str)
def test_a_model_that_takes_no_labels_refuses_them(labels):
    with pytest.raises(UsageError, match="takes no labels"):
        pixkit.score(model_of(), random_images(SPEC, 1), labels=labels)


def test_files_come_in_order_and_bad_ones_have_a_row(tmp_path):
    """Of folders, arrays and pictures; progress tells the images that are known."""
    for name, level in (("a", 0), ("c", 255)):
        Image.new("L", (4, 3), level).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    np.save(tmp_path / "two.npy", np.ones((2, 3, 4), np.uint8) * 2)
    model, told = model_of(), []
    names = [tmp_path, tmp_path / "two.npy", tmp_path / "none.npz", tmp_path / "c.png"]
    rows = list(pixkit.score(model, names, batch_size=2, progress=lambda *count: told.append(count)))
    assert [(row.image.removeprefix(f"{tmp_path}/"), row.error is None) for row in rows] == [
        ("a.png", True), ("b.png", False), ("c.png", True), ("two.npy 0", True), ("two.npy 1", True),
        ("none.npz", False), ("c.png", True)]  # fmt: skip
    assert rows[2].nats == rows[6].nats == rows[3].nats
    assert rows[1].dump(SPEC) == {"image": str(tmp_path / "b.png"), "error": rows[1].error}
    assert "no readable image" in rows[1].error.replace("not a readable", "no readable")
    assert math.isnan(rows[1].nats) and told == [(2, 6), (4, 7), (6, 7), (7, 7)]
    frames = [Image.new("L", (4, 3), level) for level in (0, 255)]
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    with pytest.warns(RuntimeWarning, match=r"further frames, of which the first was read: .*b\.tif"):
        [framed] = pixkit.score(model, tmp_path / "b.tif")
    assert framed.nats == rows[0].nats
    tally = Tally()
    for row in rows:
        tally.add(row)
    with pytest.raises(DataError, match="2 of 7 could not be read"):
        tally.check()


def test_names_and_levels_may_come_from_a_generator(tmp_path):
    np.save(tmp_path / "two.npy", np.ones((2, 3, 4), np.uint8) * 2)
    model, taken = model_of(), []
    x = random_images(SPEC, 2)

    def each():
        for one in (x[0], tmp_path / "two.npy", x[1]):
            taken.append(one)
            yield one

    told = []
    rows = pixkit.score(model, each(), batch_size=2, progress=lambda *count: told.append(count))
    first, second = next(rows), next(rows)
    assert (first.image, second.image, len(taken)) == ("0", f"{tmp_path}/two.npy 0", 2)
    third, last = rows
    assert (third.image, last.image, told) == (f"{tmp_path}/two.npy 1", "2", [(2, 3), (4, 4)])
    assert [row.nats for row in (first, last)] == pytest.approx([row.nats for row in pixkit.score(model, x)], rel=1e-12)
    with pytest.raises(UsageError, match="there are no images"):
        pixkit.score(model, iter([]))
    with pytest.raises(DataError, match="image 1: "):
        list(pixkit.score(model, iter([x[0], x[0, :, :1]])))


def test_columns_are_those_of_labelled_and_unlabelled_images():
    model = model_of("order_agnostic", 3, backbone=LOCAL, orderings=["raster", "diagonal"],
        context={"type": "label", "size": 2})  # fmt: skip
    x = random_images(SPEC, 2)
    common, given, unknown = ["kind", "nats", "bits_per_dim"], ["one_ordering", "spread"], ["best_label"]
    for labels, parts in ((None, given + unknown), ("all", unknown), ([1, 2], given)):
        rows = pixkit.score(model, x, labels=labels)
        assert rows.columns == [*common, "label", "class", *parts]
        assert {name for row in rows for name in row.dump(SPEC)} <= {"image", *rows.columns}
    assert pixkit.score(labelled(0.3), x, labels="none").columns == common
    assert pixkit.score(model_of(), x, complexity=True).columns == [*common, "complexity"]
    assert pixkit.score(latent(), x).columns == [*common, "reconstruction", "kl_1"]
    estimated = latent()
    estimated.importance = None
    assert pixkit.score(estimated, x, importance=2).columns == common, "and nothing is estimated for them"


def test_what_cannot_be_scored_is_refused_at_once():
    with pytest.raises(UsageError, match="importance: ") as caught:
        pixkit.score(model_of(), random_images(SPEC, 1), importance=5)
    assert caught.value.where == "importance"
    with pytest.raises(UsageError, match="there are no images"):
        pixkit.score(model_of(), [])
    with pytest.raises(UsageError, match="no likelihood"):
        pixkit.score(model_of("pixelgan", gaussian=2), random_images(SPEC, 1))
    with pytest.raises(UsageError, match="not opened with its run"):
        list(pixkit.score(model_of(), "test::"))
    with pytest.raises(DataError, match="wrong shape"):
        pixkit.score(model_of(), torch.zeros(1, 1, 2, 2, dtype=torch.int64))


def test_unlikely_sites_are_those_that_cost_more_than_knowing_nothing():
    spec = ImageSpec(3, 1, 3, 4)
    assert uniform_nats(spec) == pytest.approx(3 * math.log(4))
    assert common_top(spec) == 5.0 and common_top(replace(spec, levels=6)) == pytest.approx(3 * math.log(6))
    sites = torch.tensor([[4.1, 4.2, 0.0]])
    assert unlikely(sites, spec).tolist() == [[False, True, False]]
    assert unlikely(sites, spec, 4.1 - 1e-6).tolist() == [[True, True, False]]
    assert unlikely(sites, spec, 0.0).tolist() == [[True, True, False]], "and not those that cost just as much"
    with pytest.raises(UsageError, match="not a number"):
        unlikely(sites, spec, math.nan)


def test_a_tally_loses_nothing_of_large_sums():
    tally, row = Tally(), ImageScore("x", "exact", 1e16, 0.0)
    for nats in (1e16, 1.0, -1e16, 2.0):
        tally.add(replace(row, nats=nats))
    assert tally.mean == 0.75
    tally.add(replace(row, nats=math.nan, error="unreadable"))
    assert (tally.images, tally.scored, tally.mean) == (5, 4, 0.75)
    for kind, sign in (("exact", ""), ("bound", "<= "), ("estimate", "~ ")):
        tally.kind = kind
        assert tally.summary(SPEC) == f"4 images, mean {sign}0.750 nats, {sign}0.0902 bits/dim"
    one = Tally()
    one.add(replace(row, kind="bound"))
    assert one.kind == "bound"
    assert one.summary(SPEC) == Tally().summary(SPEC) == "" and math.isnan(Tally().mean)


def test_several_looks_no_further_than_the_second():
    taken = []
    rows, count = several(taken.append(n) or n for n in range(5))
    assert (count, taken) == (2, [0, 1])
    assert list(rows) == [0, 1, 2, 3, 4]


def test_models_without_sites_are_scored_without_a_map():
    model, x = model_of(), random_images(SPEC, 2)
    type(model).mapped, before = False, type(model).mapped
    try:
        assert [row.nats for row in pixkit.score(model, x)] == model.score(Batch(x, None, torch.arange(2))).tolist()
        with pytest.raises(UsageError, match="maps: the model does not give each site's share"):
            pixkit.score(model, x, maps=True)
    finally:
        type(model).mapped = before
