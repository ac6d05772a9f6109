import errno
import hashlib

import pytest
import torch
from pydantic import ValidationError

from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import DataConfig, DataSource, ImageSet, SourceImages, levels, loading
from pixkit.data.base import hold_out, read_whole, set_apart
from pixkit.data.dataset import digest
from pixkit.errors import DataError, RecipeError, UsageError
from pixkit.image import ImageSpec


def ramp(count, offset=0, levels=256):
    """Images [count, 1, 2, 5] of which the first pixel is the image's number."""
    pixels = (torch.arange(count * 10).view(count, 1, 2, 5) * 7 % levels).to(torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(count) + offset
    return ImageSet(pixels, (torch.arange(count) + offset) % 3)


class Ramp(DataSource):
    """40 training and 10 test images of known content."""

    images = SourceImages(ramp(40), ramp(10, 40), levels=256, classes=3, notes=("a note",))

    class Config(DataConfig):
        """The common keys."""

    def load(self, progress=None):
        return self.images


@pytest.fixture
def ramps(make):
    return lambda **config: make("ramp", Ramp, **config)


def everything(data, split, draw=0):
    return torch.cat([batch.x for batch in data.batches(split, 7, draw)])


def numbers(data, split):
    return everything(data, split)[:, 0, 0, 0].tolist()


def test_splits_are_disjoint_complete_and_seeded(ramps):
    data = ramps(validation=0.25)
    assert [data.size(split) for split in ("train", "validation", "test")] == [30, 10, 10]
    assert sorted(numbers(data, "train") + numbers(data, "validation")) == list(range(40))
    assert numbers(data, "test") == list(range(40, 50))
    again, other = ramps(validation=0.25), ramps(validation=0.25, split_seed=1)
    assert numbers(again, "validation") == numbers(data, "validation") != numbers(other, "validation")


def test_a_limit_is_taken_after_the_split_and_is_a_choice_not_a_prefix(ramps):
    whole, data = ramps(), ramps(limit_train=6, limit_test=4)
    assert numbers(data, "validation") == numbers(whole, "validation")
    assert set(numbers(data, "train")) < set(numbers(whole, "train"))
    assert data.size("train") == 6 and data.size("test") == 4
    assert numbers(data, "train") != numbers(whole, "train")[:6]
    assert set(numbers(data, "test")) < set(numbers(whole, "test"))
    assert numbers(data, "test") != numbers(whole, "test")[:4]
    assert ramps(limit_train=1000).size("train") == 36


def test_without_validation_every_training_image_is_trained_on(ramps):
    data = ramps(validation=0.0)
    assert data.size("train") == 40 and data.size("validation") == 0
    assert list(data.batches("validation", 8)) == []


def test_at_least_one_image_is_set_apart_and_too_few_are_refused(make):
    def of(count, **config):
        images = SourceImages(ramp(count), ramp(0), levels=256, classes=3)
        return make("ramp", type("Few", (Ramp,), {"images": images}), **config)

    assert of(2, validation=0.01).size("validation") == 1
    with pytest.raises(DataError, match="too few images") as caught:
        of(1)
    assert "data.validation=0" in str(caught.value)
    assert of(1, validation=0.0).size("train") == 1
    with pytest.raises(DataError, match="no training images"):
        of(0)


@pytest.mark.parametrize(
    ("count", "fraction", "groups", "apart"),
    [
        (10, 0.0, None, 0),
        (10, 0.01, None, 1),
        (10, 0.25, None, 2),
        (10, 0.36, None, 4),
        (2, 0.5, None, 1),
        (0, 0.0, None, 0),
        (6, 0.3, [0, 0, 0, 1, 1, 2], 3),
        (6, 0.5, [0, 0, 0, 1, 1, 2], 3),
        (6, 0.01, [0, 1, 1, 1, 2, 2], 1),
        (6, 0.7, [0, 0, 1, 1, 2, 2], 4),
        (6, 0.0, [0, 0, 0, 0, 0, 0], 0),
    ],
)
def test_so_many_are_set_apart_and_whole_groups(count, fraction, groups, apart):
    order = torch.arange(count).flip(0)
    groups = None if groups is None else torch.tensor(groups).flip(0)
    kept, set_aside = set_apart(order, fraction, where="here", key="k", groups=groups)
    assert torch.equal(set_aside, order[:apart]) and torch.equal(kept, order[apart:])


@pytest.mark.parametrize(
    ("count", "fraction", "groups", "apart"),
    [(1, 0.1, None, 1), (2, 0.9, None, 2), (0, 0.5, None, 1), (4, 0.25, [3, 3, 3, 3], 4), (4, 0.5, [1, 2, 2, 2], 4)],
)
def test_where_all_would_be_set_apart_there_are_too_few(count, fraction, groups, apart):
    groups = None if groups is None else torch.tensor(groups)
    with pytest.raises(DataError, match="too few images") as caught:
        set_apart(torch.arange(count), fraction, where="here", key="k", groups=groups)
    said = (caught.value.where, caught.value.found, caught.value.expected, caught.value.hint)
    assert said == ("here", f"{count} images", f"more than {apart}", "data.k=0 sets none apart")


def test_of_images_that_share_pixels_those_set_apart_are_their_own():
    shared = ImageSet(ramp(8).pixels, rows=torch.tensor([6, 1, 5, 3]))
    train, test = hold_out(shared, torch.tensor([2, 0, 3, 1]), 0.25, "here")
    assert (train.levels()[:, 0, 0, 0].tolist(), test.levels()[:, 0, 0, 0].tolist()) == ([6, 1, 3], [5])


def test_a_batch_holds_the_images_asked_for(ramps):
    data = ramps()
    batch = data.batch("train", torch.tensor([3, 0, 3]))
    assert batch.x.dtype == batch.labels.dtype == batch.indices.dtype == torch.int64
    assert batch.x.shape == (3, 1, 2, 5)
    assert batch.indices.tolist() == [3, 0, 3]
    assert torch.equal(batch.x[0], batch.x[2])
    assert torch.equal(batch.labels, batch.x[:, 0, 0, 0] % 3)
    original = Ramp.images.train.pixels[batch.x[:, 0, 0, 0]]
    assert torch.equal(batch.x, original.long())


def test_batches_come_in_order_and_the_last_may_be_small(ramps):
    data = ramps()
    assert [len(batch.x) for batch in data.batches("train", 16)] == [16, 16, 4]
    assert [len(batch.x) for batch in data.batches("train", 16, limit=20)] == [16, 4]
    assert [len(batch.x) for batch in data.batches("train", 18)] == [18, 18]
    assert [len(batch.x) for batch in data.batches("train", 35)] == [35, 1]
    assert [len(batch.x) for batch in data.batches("test", 16, limit=99)] == [10]
    assert torch.cat([batch.indices for batch in data.batches("train", 16)]).tolist() == list(range(36))


NUMBERS = ("images must be chosen by a list of their numbers", "ramp, train", "an integer tensor of shape (B,)")
NONE = ("no such image", "ramp, train", "0..35")


@pytest.mark.parametrize(
    ("split", "indices", "said", "found"),
    [
        ("dev", torch.tensor([0]), ("no such split", "ramp", "train, validation, test"), "dev"),
        ("train", torch.tensor([36]), NONE, "numbers 36..36"),
        ("train", torch.tensor([-1]), NONE, "numbers -1..-1"),
        ("train", torch.tensor([0, 36]), NONE, "numbers 0..36"),
        ("train", torch.tensor([35, -1]), NONE, "numbers -1..35"),
        ("train", torch.tensor([0.0]), NUMBERS, "torch.float32 (1,)"),
        ("train", torch.tensor([True]), NUMBERS, "torch.bool (1,)"),
        ("train", torch.tensor(0), NUMBERS, "torch.int64 ()"),
    ],
)
def test_images_that_do_not_exist_are_refused(ramps, split, indices, said, found):
    with pytest.raises(UsageError) as caught:
        ramps().batch(split, indices)
    error = caught.value
    assert ((error.message, error.where, error.expected), error.found) == (said, found)


def test_a_batch_without_images_is_refused(ramps):
    with pytest.raises(UsageError) as caught:
        next(ramps().batches("train", 0))
    assert (caught.value.where, caught.value.found) == ("batch_size", "0")
    assert next(ramps().batches("train", 1)).indices.tolist() == [0]


def test_quantising(ramps):
    data = ramps(levels=4)
    assert data.spec == ImageSpec(1, 2, 5, 4)
    assert torch.equal(everything(data, "test"), everything(ramps(), "test") * 4 // 256)
    assert data.description == "ramp, 4 levels, quantised from 256"
    assert ramps(levels=256).description == ramps().description == "ramp, 256 levels"
    with pytest.raises(RecipeError, match="reduce the number of levels") as caught:
        ramps(levels=257)
    error = caught.value
    assert (error.where, error.found, error.expected) == ("data.levels", "257", "at most 256, the levels of ramp")


def test_a_file_of_a_data_set_may_be_as_large_as_is_said(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_whole(path, 5) == b"12345"
    missing = "cannot be read", "No such file or directory", None
    too_large = "far too large", "5 bytes", "at most 4"
    for place, said in ((path, too_large), (tmp_path / "b", missing)):
        with pytest.raises(DataError) as caught:
            read_whole(place, 4)
        error = caught.value
        assert (error.message, error.found, error.expected) == said and error.where == str(place)


def test_a_class_has_a_name_of_its_own():
    with pytest.raises(ValidationError, match="names must be unique"):
        DataConfig(class_names=["a", "b", "a"])


def test_binarise_and_levels_are_not_given_together():
    with pytest.raises(ValidationError, match="not both"):
        Ramp.Config(levels=4, binarise="static")


def test_levels_are_changed_some_images_at_a_time(ramps, monkeypatch):
    whole = ramps(levels=4, validation=0.125)
    monkeypatch.setattr(levels, "AT_ONCE", 20)
    assert [whole.size(split) for split in whole.SPLITS] == [35, 5, 10]
    for split in whole.SPLITS:
        assert torch.equal(everything(ramps(levels=4, validation=0.125), split), everything(whole, split))


def test_threshold_binarisation(ramps):
    data = ramps(binarise="threshold", threshold=0.25)
    assert torch.equal(everything(data, "train"), (everything(ramps(), "train") >= 63.75).long())
    assert data.description == "ramp, threshold binarisation at 0.25"
    assert data.spec.levels == 2


def test_static_binarisation_is_one_draw_for_good(ramps):
    data = ramps(binarise="static")
    for split in ("train", "validation", "test"):
        first = everything(data, split)
        assert set(first.unique().tolist()) == {0, 1}
        assert torch.equal(first, everything(data, split, draw=3))
        assert torch.equal(first, everything(ramps(binarise="static"), split))
        assert not torch.equal(first, everything(ramps(binarise="static", split_seed=1), split))
    assert data.description == "ramp, seeded static binarisation (seed 0)"


class Grey(Ramp):
    """40 images that are all alike, told apart by their labels."""

    images = SourceImages(
        ImageSet(torch.full((40, 1, 8, 8), 128, dtype=torch.uint8), torch.arange(40)),
        ImageSet(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)),
        levels=256,
        classes=40,
    )


@pytest.mark.parametrize(("binarise", "draw"), [("static", 0), ("dynamic", 3)])
def test_an_images_draws_do_not_depend_on_the_split(make, binarise, draw):
    def by_label(validation, *splits):
        data = make("grey", Grey, binarise=binarise, validation=validation)
        batches = [batch for split in splits for batch in data.batches(split, 40, draw)]
        return {int(label): x for batch in batches for label, x in zip(batch.labels, batch.x, strict=True)}

    whole, half = by_label(0.0, "train"), by_label(0.5, "train")
    assert len(whole) == 40 and len(half) == 20
    assert len({x.numpy().tobytes() for x in whole.values()}) == 40
    assert all(torch.equal(x, whole[label]) for label, x in half.items())
    if binarise == "static":
        assert all(torch.equal(x, whole[label]) for label, x in by_label(0.5, "validation").items())


def test_dynamic_binarisation_renews_train_images_alone(ramps):
    data = ramps(binarise="dynamic")
    visits = [everything(data, "train", draw) for draw in (0, 1, 2)]
    assert not torch.equal(visits[0], visits[1]) and not torch.equal(visits[1], visits[2])
    assert torch.equal(visits[1], everything(ramps(binarise="dynamic"), "train", 1))
    static = ramps(binarise="static")
    for split in ("validation", "test"):
        assert torch.equal(everything(data, split, 0), everything(data, split, 1))
        assert torch.equal(everything(data, split), everything(static, split))
    assert data.description == "ramp, dynamic binarisation (validation and test drawn once, seed 0)"


def test_a_visit_does_not_depend_on_the_batch(ramps):
    data = ramps(binarise="dynamic")
    whole = everything(data, "train", 5)
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    for part in order.split(5):
        assert torch.equal(data.batch("train", part, draw=5).x, whole[part])
    assert torch.equal(data.batch("train", torch.tensor([4]), draw=5).x[0], whole[4])


def test_visits_average_to_the_grey_level(ramps):
    grey, data = everything(ramps(), "train")[:4].double(), ramps(binarise="dynamic")
    draws = torch.stack([data.batch("train", torch.arange(4), draw).x for draw in range(1500)]).double().mean(0)
    p = grey / 255
    assert ((draws - p).abs() <= 5 * (p * (1 - p) / 1500).sqrt()).all()


def test_hashes_tell_images_labels_and_splits_apart(make, ramps):
    def changed(**parts):
        images = SourceImages(parts.get("train", ramp(40)), parts.get("test", ramp(10, 40)), levels=256, classes=3)
        return make("ramp", type("Changed", (Ramp,), {"images": images})).hashes()

    data = ramps()
    base = data.hashes()
    data.hashes().clear()
    assert data.hashes() == base
    assert set(base) == {"train", "test", "split"} and all(len(value) == 64 for value in base.values())
    assert changed() == base == ramps(binarise="dynamic").hashes()
    pixels = ramp(40).pixels
    pixels[39, 0, 1, 4] ^= 1
    assert changed(train=ImageSet(pixels, ramp(40).labels))["train"] != base["train"]
    assert changed(train=ImageSet(ramp(40).pixels, ramp(40).labels.flip(0)))["train"] != base["train"]
    assert changed(test=ImageSet(ramp(10).pixels, ramp(10).labels))["test"] != base["test"]
    for config in ({"split_seed": 1}, {"limit_train": 5}, {"validation": 0.5}):
        other = ramps(**config).hashes()
        assert other["split"] != base["split"] and other["train"] == base["train"]


def test_a_digest_covers_shapes_types_and_absence():
    zeros = torch.zeros(4, dtype=torch.uint8)
    others = (zeros, zeros.view(2, 2), zeros.view(torch.int8), zeros.view(torch.int32), None)
    assert len({digest(other) for other in others}) == 5
    assert digest(zeros, None) != digest(None, zeros) != digest(zeros)
    assert digest(torch.tensor([258])) == digest(torch.tensor([0, 258])[1:])
    known = hashlib.sha256(b"int16(2, 1);" + bytes([1, 2, 3, 0])).hexdigest()
    assert digest(torch.tensor([[513], [3]], dtype=torch.int16)) == known


def test_a_data_set_says_what_it_is(ramps):
    data = ramps()
    assert (data.name, data.classes, data.notes) == ("ramp", 3, ("a note",))
    assert data.spec == ImageSpec(1, 2, 5, 256)
    assert isinstance(data.source, Ramp)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (SourceImages(ramp(4), ImageSet(torch.zeros(1, 1, 2, 4, dtype=torch.uint8)), 256, 3), "different shapes"),
        (SourceImages(ImageSet(torch.zeros(4, 2, 5)), ramp(1), 256, 3), "shape"),
        (SourceImages(ImageSet(torch.zeros(4, 1, 2, 5)), ImageSet(torch.zeros(1, 1, 2, 5)), 256), "integers"),
        (SourceImages(ramp(4), ramp(1, 255), 200, 3), "out of range"),
        (SourceImages(ramp(4), ramp(1), 256, 2), "labels out of range"),
        (SourceImages(ImageSet(ramp(2).pixels, torch.tensor([-1, 2])), ramp(1), 256, 3), "labels out of range"),
        (SourceImages(ramp(4), ramp(1), 256), "go together"),
        (SourceImages(ramp(4), ImageSet(ramp(1).pixels), 256, 3), "go together"),
        (SourceImages(ramp(4), ramp(1), 256, 3, class_names=("a", "b")), "one name each"),
        (SourceImages(ramp(4), ramp(1), 256, 3, class_names=("a", "b", "a")), "one name each"),
        (SourceImages(ImageSet(ramp(4).pixels, torch.zeros(3).long()), ramp(1), 256, 3), "do not match"),
        (SourceImages(ImageSet(ramp(4).pixels, torch.zeros(4)), ramp(1), 256, 3), "do not match"),
    ],
)
def test_a_source_that_breaks_its_promises_is_caught(make, images, message):
    with pytest.raises(DataError, match=message):
        make("ramp", type("Broken", (Ramp,), {"images": images}))


def test_what_a_source_promised_is_told_with_the_split_that_breaks_it(make):
    def refused(**parts):
        images = SourceImages(**{"train": ramp(4), "test": ramp(1), "levels": 256, "classes": 3} | parts)
        with pytest.raises(DataError) as caught:
            make("ramp", type("Broken", (Ramp,), {"images": images}))
        return caught.value.where, caught.value.found, caught.value.expected

    five = ImageSet(ramp(2).pixels, torch.tensor([5, -1]))
    assert refused(test=five) == ("ramp, test images", "-1..5", "0..2")
    assert refused(validation=five) == ("ramp, validation images", "-1..5", "0..2")
    assert refused(train=ImageSet(ramp(2).pixels, torch.zeros(3, dtype=torch.int64))) == (
        *("ramp, train images", "torch.int64 (3,)", "torch.int64 (2,)"),
    )
    assert refused(classes=None) == ("ramp, train images", "classes = None", None)
    assert refused(train=ImageSet(torch.zeros(4, 2, 5))) == ("ramp, train images", "3 axes", None)
    assert refused(class_names=("a", "b")) == ("ramp", "a, b", "3 names, all different")


def test_a_split_without_images_keeps_any_promise(make):
    nothing = ImageSet(torch.zeros(0, 1, 2, 5, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    images = SourceImages(ramp(4), nothing, levels=256, classes=3)
    assert make("ramp", type("Few", (Ramp,), {"images": images})).size("test") == 0


def test_the_values_that_occur_are_said_of_those_that_could(make):
    def values(*found, levels=256):
        pixels = torch.tensor(found, dtype=torch.uint8).view(-1, 1, 1, 1)
        images = SourceImages(ImageSet(pixels), ImageSet(pixels[:0]), levels=levels)
        return make("ramp", type("Few", (Ramp,), {"images": images}), validation=0.0).values

    assert [values(0, 255), values(0, 254), values(1, 255), values(3, 7, levels=8)] == [
        *("values 0..255", "values 0..254 of 0..255", "values 1..255 of 0..255", "values 3..7 of 0..7")
    ]


def test_what_is_to_be_known_of_images_takes_one_pass_over_them(make, monkeypatch):
    passes, blocks = [], ImageSet.blocks
    monkeypatch.setattr(ImageSet, "blocks", lambda self: passes.append(self.pixels.shape) or blocks(self))
    data = make("ramp", Ramp)
    assert [shape[0] for shape in passes if len(shape) == 4] == [40, 10]
    images = Ramp.images
    assert data.hashes()["train"] == digest(images.train, images.train.labels) and data.values == "values 0..255"


def test_relative_paths_start_from_the_base(tmp_path):
    source = Ramp(Ramp.Config(), tmp_path)
    assert source.resolve("a/b") == tmp_path / "a" / "b"
    assert source.resolve(str(tmp_path / "c")) == tmp_path / "c"


def test_what_the_system_says_of_a_source_names_the_file(make, tmp_path):
    class Closed(Ramp):
        def load(self, progress=None):
            raise PermissionError(errno.EACCES, "Permission denied", "some/file")

        def known_classes(self):
            return self.load()

    ref = ComponentSpec(Entry("data", "closed", Closed, "pixkit", "0"), Closed.Config())
    for call in (lambda: make("closed", Closed), lambda: loading.classes_of(ref, tmp_path)):
        with pytest.raises(DataError) as caught:
            call()
        error = caught.value
        assert (error.message, error.where, error.found) == ("cannot be read", "some/file", "Permission denied")
