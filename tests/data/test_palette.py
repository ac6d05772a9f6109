"""Pictures as numbers of a palette's colours: which colours, which numbers, and the same pictures back."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit import figures
from pixkit.data import DataConfig, ImageSet, SourceImages, clusters
from pixkit.data import nearest as search
from pixkit.data.given import Reader
from pixkit.data.loading import measure
from pixkit.data.nearest import Grouped, by_brightness, nearest
from pixkit.data.palette import _parts, as_tokens, coloured, palette_for
from pixkit.errors import DataError, RecipeError, UsageError
from pixkit.image import ImageSpec, Palette
from pixkit.recipe import InvalidRecipe, revise_recipe
from pixkit.tasks import read_images
from pixkit.testing import named

FOUR = np.array([[9, 8, 30], [10, 150, 40], [250, 60, 20], [255, 250, 255]], np.uint8)
"""From dark to bright."""


def brute(colours, others):
    """The nearest, by all distances; argmin takes the first of several."""
    distances = ((colours[:, None].astype(np.int64) - others[None].astype(np.int64)) ** 2).sum(2)
    return distances.argmin(1), distances.min(1)


def pictures(folder, arrays):
    folder.mkdir()
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{number:03d}.png")
    return folder.name


def different(rng, count):
    """So many colours, all different, int64 [count, 3]."""
    codes = rng.choice(2**24, count, replace=False)
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)


@pytest.mark.parametrize("count", [1, 2, 9, 300])
@pytest.mark.parametrize("unit", [1, 16])
@pytest.mark.parametrize(("few", "at_once"), [(2**12, 2**21), (1, 2**21), (1, 100)])
def test_the_nearest_colour_is_that_of_a_search_through_all(monkeypatch, count, unit, few, at_once):
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "AT_ONCE", at_once)
    rng = np.random.default_rng(count)
    colours, others = rng.integers(0, 256, (300, 3)), rng.integers(0, 255 * unit + 1, (count, 3))
    grouped = Grouped(colours * unit, unit)
    found, squares = grouped.nearest(others)
    expected, distances = brute(colours[grouped.order] * unit, others)
    assert (found == expected).all() and (squares == distances).all()


@pytest.mark.parametrize("few", [2**12, 1])
def test_of_colours_at_one_distance_the_first_is_taken(monkeypatch, few):
    monkeypatch.setattr(search, "FEW", few)
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), -1).reshape(-1, 3)
    colours, others = grid, grid[grid.sum(1) % 2 == 1]
    assert (nearest(colours, others) == brute(colours, others)[0]).all()
    same = np.array([[7, 7, 7], [200, 0, 0], [7, 7, 7]])
    assert nearest(np.array([[8, 8, 8]]), same).tolist() == [0]


def test_rounds_of_clustering_never_raise_the_error(monkeypatch):
    rng = np.random.default_rng(1)
    colours, counts = different(rng, 600), rng.integers(1, 50, 600)
    errors = {clusters.UNIT: [], 1: []}

    class Watched(Grouped):
        def __init__(self, colours, unit=1):
            super().__init__(colours, unit)
            self.unit = unit

        def nearest(self, others):
            found, squares = super().nearest(others)
            if len(self.colours) == len(colours):
                errors[self.unit].append(int((squares * counts[self.order]).sum()))
            return found, squares

    monkeypatch.setattr(clusters, "Grouped", Watched)
    clusters.cluster(colours, counts, 20, 0)
    for way in errors.values():
        assert len(way) > 1 and way == sorted(way, reverse=True)


def test_how_far_clustering_is_is_told():
    """From the first colours on: of thousands they take longer than any round."""
    told, colours = [], different(np.random.default_rng(1), 300)
    clusters.cluster(colours, np.ones(300, np.int64), 7, 0, lambda *far: told.append(far))
    assert told[:7] == [("choosing first colours", number, 7) for number in range(7)]
    assert len(told) > 9 and {(what, total) for what, _, total in told[7:]} == {("clustering colours", 0)}


def test_each_colour_is_the_mean_of_the_pixels_that_are_nearest_to_it():
    """What makes a palette a local minimum, to the rounding of a level."""
    rng = np.random.default_rng(2)
    colours, counts = different(rng, 400), rng.integers(1, 9, 400)
    palette = clusters.cluster(colours, counts, 16, 3)
    found = brute(colours, palette)[0]
    assert len(np.unique(palette, axis=0)) == 16 and set(found) == set(range(16))
    means = [np.average(colours[found == k], axis=0, weights=counts[found == k]) for k in range(16)]
    assert np.abs(np.array(means) - palette).max() < 2


def test_separate_clusters_are_found():
    rng = np.random.default_rng(3)
    centres = np.array([[20, 20, 20], [40, 120, 60], [200, 40, 90], [120, 130, 250], [220, 230, 210]])
    cloud = (centres[:, None] + rng.integers(-6, 7, (5, 300, 3))).reshape(-1, 3)
    colours, counts = np.unique(cloud, axis=0, return_counts=True)
    for seed in range(8):
        assert np.abs(clusters.cluster(colours, counts, 5, seed) - centres).max() <= 1


def test_a_colour_that_nothing_is_nearest_to_moves_to_where_the_error_is():
    """Of 65 colours in one corner and far from each other two fall into one: 64 of them are in the palette."""
    corner = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
    colours = np.concatenate([corner, [[255, 255, 255]]])
    counts = np.ones(65, np.int64)
    palette = clusters.cluster(colours, counts, 64, 0)
    assert len(np.unique(palette, axis=0)) == 64
    assert brute(colours, palette)[1].sum() == 1
    start = np.zeros((64, 3), np.int64)
    moved = clusters._moved(colours, counts, start, 1, None)
    assert len(np.unique(moved, axis=0)) == 64


@pytest.mark.parametrize("asked", [4, 5, 512])
def test_images_of_four_colours_are_these_exactly(make, tmp_path, asked):
    rng = np.random.default_rng(4)
    originals = FOUR[rng.integers(0, 4, (20, 6, 5))]
    data = make("images", path=pictures(tmp_path / "p", originals), palette=asked, validation=0.0, test_fraction=0.0)
    assert data.spec == ImageSpec(1, 6, 5, 4, Palette.of(FOUR))
    assert data.size("train") == 20 and data.part("train").moved == 0
    x = data.batch("train", torch.arange(20)).x
    assert x.dtype == torch.int64 and x.shape == (20, 1, 6, 5)
    assert (figures.in_colour(x, data.spec) == originals).all()
    assert (figures.to_bytes(x, data.spec) == originals.transpose(0, 3, 1, 2)).all()
    assert any("have 4 colours: the palette has these" in note for note in data.notes) == (asked > 4)


@pytest.mark.parametrize(("asked", "levels"), [(3, 3), (4, 4), (512, 4), ("p.npy", 5), (None, 256)])
def test_the_shape_of_tokens_takes_no_clustering(monkeypatch, tmp_path, asked, levels):
    monkeypatch.setattr("pixkit.data.palette.cluster", lambda *_: pytest.fail("colours are clustered"))
    np.save(tmp_path / "x.npy", FOUR[np.random.default_rng(4).integers(0, 4, (20, 6, 5))])
    np.save(tmp_path / "p.npy", np.vstack([FOUR, FOUR[:1] + 1]))
    config = {"train": "x.npy", "test": None, "layout": "NHWC", "palette": asked}
    spec = ImageSpec(3 if asked is None else 1, 6, 5, levels)
    assert measure(named("data", "arrays", **config), tmp_path) == (spec, None)


def test_tokens_are_of_the_nearest_colours_and_the_distance_is_told(make, tmp_path):
    rng = np.random.default_rng(5)
    originals = rng.integers(0, 256, (40, 3, 3, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", originals)
    data = make("arrays", train="x.npy", test=None, layout="NHWC", palette=20)
    colours = data.spec.palette.array()
    assert data.spec.levels == 20 and data.description.startswith("arrays, tokens of 20 colours (palette ")
    for split in data.SPLITS:
        part = data.part(split)
        assert len(part) and part.pixels.dtype == torch.uint8
    seen = figures.in_colour(data.batch("train", torch.arange(5)).x, data.spec)
    assert {tuple(colour) for colour in seen.reshape(-1, 3)} <= {tuple(colour) for colour in colours}


def test_a_palette_is_the_same_again_and_another_by_another_seed(make, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(6).integers(0, 256, (20, 3, 3, 3), dtype=np.uint8))
    first, again, other = (
        make("arrays", train="x.npy", test=None, layout="NHWC", palette=30, split_seed=seed) for seed in (1, 1, 2)
    )
    assert first.spec == again.spec and first.spec != other.spec
    assert torch.equal(first.part("train").pixels, again.part("train").pixels)


def test_only_the_colours_of_training_images_are_clustered(make, tmp_path):
    train, test = (np.zeros((12, 4, 4, 3), np.uint8) for _ in range(2))
    train[:, :2], test[:] = 100, 255
    np.savez(tmp_path / "x.npz", train=train, test=test)
    data = make("arrays", path="x.npz", layout="NHWC", palette=2)
    without = make("arrays", path="x.npz", layout="NHWC", palette=2, validation=0)
    assert any(note.endswith("levels RMS: train 0.00, test 155.00") for note in without.notes)
    assert data.spec.palette.array().tolist() == [[0] * 3, [100] * 3]
    assert (data.batch("test", torch.arange(12)).x == 1).all()
    assert data.part("test").moved == 155 and data.part("train").moved == 0
    assert (
        "colours were moved to the nearest of the palette's, levels RMS: train 0.00, validation 0.00, test 155.00"
        in (data.notes)
    )


@pytest.mark.parametrize(("config", "shape", "found", "hint"), [
    ({"layout": "NHW"}, (), "1 channels of 256 levels", "data.levels=K reduces levels of grey"),
    ({"source_levels": 1000}, (3,), "3 channels of 1000 levels", "data.source_levels=256"),
    ({}, (4,), "4 channels of 256 levels", None),
])  # fmt: skip
def test_images_without_such_colours_are_refused(make, tmp_path, config, shape, found, hint):
    np.save(tmp_path / "x.npy", np.zeros((10, 3, 3, *shape), np.uint8))
    with pytest.raises(RecipeError, match="a palette needs colours") as caught:
        make("arrays", train="x.npy", test=None, palette=4, **{"layout": "NHWC", **config})
    assert (caught.value.found, caught.value.hint) == (found, hint)


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_that_were_read_without_colours_or_with_opacity_can_be_read_in_colour(make, tmp_path, channels):
    folder = pictures(tmp_path / "p", FOUR[np.zeros((9, 3, 3), np.int64)])
    with pytest.raises(RecipeError, match="a palette needs colours") as caught:
        make("images", path=folder, channels=channels, palette=4)
    assert caught.value.hint == "data.channels=3"


def test_images_of_one_colour_have_no_palette(make, tmp_path):
    np.save(tmp_path / "x.npy", np.full((10, 3, 3, 3), 7, np.uint8))
    with pytest.raises(DataError, match="one colour"):
        make("arrays", train="x.npy", test=None, layout="NHWC", palette=4)


RECIPE = {
    "pixkit": 1,
    "name": "tokens",
    "data": {"source": "cifar10", "palette": 16},
    "model": {"type": "autoregressive", "backbone": {"type": "pixelcnn"}},
}


@pytest.mark.parametrize(("override", "text"), [
    ("model.head={type: logistic_mixture}", "treats levels as numbers"),
    ("model.head={type: normal_mixture}", "treats levels as numbers"),
    ("data.levels=16", "palette makes levels: give"),
    ("data.binarise=threshold", "palette makes levels: give"),
    ("data.palette=1", "at least 2"),
    ("data.palette=4097", "at most 4096"),
    ("data.palette=2.5", "wrong type"),
    ("data.palette='16'", "without quotes, 16, or a file as ./16"),
])  # fmt: skip
def test_what_makes_no_sense_of_tokens_is_refused_by_the_recipe(override, text):
    assert revise_recipe(RECIPE).data.config.palette == 16
    with pytest.raises(InvalidRecipe, match=text):
        revise_recipe(RECIPE, [override])


def test_a_mixture_is_refused_without_a_recipe_too():
    recipe = revise_recipe({**RECIPE, "data": "digits"}, ["model.head={type: logistic_mixture}"])
    with pytest.raises(RecipeError, match="treats levels as numbers") as caught:
        recipe.model.build(ImageSpec(1, 4, 4, 4, Palette.of(FOUR)))
    assert caught.value.hint == "model.head={type: softmax}" and caught.value.where == "model.head.type"


def test_bits_of_tokens_are_not_called_bits_of_pixels():
    spec, pixels = ImageSpec(1, 4, 4, 4, Palette.of(FOUR)), ImageSpec(1, 4, 4, 4)
    assert (spec.rate, pixels.rate) == ("bits_per_token", "bits_per_dim")
    assert spec.bits(16 * np.log(4)) == pytest.approx(2) == pixels.bits_per_dim(16 * np.log(4))
    with pytest.raises(UsageError, match="not in bits/dim"):
        spec.bits_per_dim(1.0)


def test_specs_of_other_palettes_are_other_specs():
    one, other = (ImageSpec(1, 4, 4, 4, Palette.of(colours)) for colours in (FOUR, FOUR[::-1]))
    assert one != other and str(one) != str(other)
    assert one != ImageSpec(1, 4, 4, 4) and one.pictures == ImageSpec(3, 4, 4, 256)
    assert (one.blank, other.blank) == (0, 3)
    assert one.of_size(2, 3) == ImageSpec(1, 2, 3, 4, one.palette)
    for wrong in ({"channels": 3}, {"levels": 5}):
        with pytest.raises(DataError, match="one channel and as many levels"):
            ImageSpec(**{"channels": 1, "height": 4, "width": 4, "levels": 4, "palette": one.palette} | wrong)
    with pytest.raises(DataError, match="all different"):
        Palette.of(FOUR[[0, 0]])


SPEC = ImageSpec(1, 6, 5, 4, Palette.of(FOUR))


def test_what_is_written_of_tokens_is_read_back_exactly(tmp_path):
    x = torch.randint(4, (7, 1, 6, 5), generator=torch.Generator().manual_seed(0))
    figures.save_npz(x, SPEC, tmp_path / "x.npz")
    files = figures.save_images(x, SPEC, tmp_path / "out")
    assert np.asarray(Image.open(files[3])).tolist() == FOUR[x[3, 0]].tolist()
    for given in (tmp_path / "x.npz", tmp_path / "out"):
        reader = Reader(SPEC)
        assert torch.equal(torch.stack([image for _, image in reader.read(given)]), x) and not reader.notes


def test_tokens_of_another_palette_are_read_by_their_colours(tmp_path):
    x = torch.randint(4, (3, 1, 6, 5), generator=torch.Generator().manual_seed(1))
    other = ImageSpec(1, 6, 5, 4, Palette.of(FOUR[[3, 1, 0, 2]]))
    figures.save_npz(x, other, tmp_path / "x.npz")
    found = read_images([tmp_path / "x.npz"], SPEC)
    assert (figures.in_colour(found, SPEC) == figures.in_colour(x, other)).all() and not torch.equal(found, x)
    colours = read_images([tmp_path / "x.npz"], SPEC.pictures)
    assert (colours.numpy() == figures.to_bytes(x, other)).all()
    with pytest.raises(DataError, match="shape does not fit"):
        read_images([tmp_path / "x.npz"], ImageSpec(1, 6, 5, 4))


def test_numbers_without_colours_are_no_tokens(tmp_path):
    figures.save_npz(torch.zeros(3, 1, 6, 5, dtype=torch.int64), 4, tmp_path / "x.npz")
    with pytest.raises(DataError, match="shape does not fit"):
        read_images([tmp_path / "x.npz"], SPEC)
    np.savez(tmp_path / "y.npz", samples=np.full((3, 1, 6, 5), 4), palette=FOUR)
    with pytest.raises(DataError, match="out of range") as caught:
        read_images([tmp_path / "y.npz"], SPEC)
    assert (caught.value.found, caught.value.expected) == ("4..4", "0..3")
    np.savez(tmp_path / "y.npz", samples=np.full((1, 6, 5), 2), palette=FOUR)
    assert read_images([tmp_path / "y.npz"], SPEC).unique().tolist() == [2]
    np.savez(tmp_path / "y.npz", samples=np.zeros((3, 3, 6, 5), np.uint8), palette=FOUR)
    with pytest.raises(DataError, match="tokens must have one channel"):
        read_images([tmp_path / "y.npz"], SPEC)


def test_colours_are_numbers():
    for strange, kind in ((np.full((2, 3), None), "object"), (FOUR + 1j, "complex128"), (np.full((2, 3), "1"), "<U1")):
        with pytest.raises(DataError, match="this is not a palette") as caught:
            Palette.of(strange)
        assert caught.value.found == f"{kind} of shape {strange.shape}"


@pytest.mark.parametrize(("colours", "text"), [
    (FOUR.astype(np.int64) + 10, "not levels(.|\n)*int64 in 18..265"),
    (-FOUR.astype(np.int64), "not levels"),
    (FOUR / 255, "not levels(.|\n)*float64"),
    (FOUR + np.nan, "not levels"),
    (np.hstack([FOUR, FOUR[:, :1]]), r"this is not a palette(.|\n)*\(4, 4\)"),
    (FOUR[0], r"this is not a palette(.|\n)*\(3,\)"),
])  # fmt: skip
def test_what_cannot_be_colours_becomes_no_others(tmp_path, colours, text):
    """As bytes they would be: numbers modulo 256, cut floats, every fourth value in another column."""
    with pytest.raises(DataError, match=text):
        Palette.of(colours)
    if colours.dtype.kind != "f":  # levels are whole numbers in any file
        np.savez(tmp_path / "x.npz", samples=np.zeros((1, 1, 6, 5), np.uint8), palette=colours)
        with pytest.raises(DataError, match=text) as caught:
            read_images([tmp_path / "x.npz"], SPEC)
        assert caught.value.where == f"{tmp_path / 'x.npz'}: palette"
    assert Palette.of(FOUR.astype(np.float32)) == Palette.of(torch.from_numpy(FOUR)) == SPEC.palette


def test_by_how_much_a_picture_is_moved_is_said(tmp_path):
    picture = FOUR[np.zeros((6, 5), np.int64)]
    picture[0, 0, 1] += 9
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.warns(RuntimeWarning, match=rf"nearest of 4, by levels RMS: .*a.png {np.sqrt(81 / 90):.2f}$"):
        found = read_images([tmp_path / "a.png"], SPEC)
    assert (found == 0).all()


def test_tokens_of_many_images_are_those_of_few(monkeypatch):
    x = torch.randint(256, (9, 3, 4, 4), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    whole, far = as_tokens(x, Palette.of(FOUR))
    monkeypatch.setattr("pixkit.data.palette.PIXELS", 32)
    parts, again = as_tokens(x, Palette.of(FOUR))
    colours = x.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    expected, distances = brute(colours, FOUR)
    assert torch.equal(whole, parts) and whole.flatten().tolist() == expected.tolist()
    assert far == again == pytest.approx(np.sqrt(distances.sum() / colours.size))
    some = torch.tensor([8, 2])
    assert torch.equal(as_tokens(x, Palette.of(FOUR), some)[0], whole[some])
    for pixels, sizes in ((32, [2, 2, 2, 2, 1]), (31, [1] * 9), (1, [1] * 9), (2**20, [9])):
        monkeypatch.setattr("pixkit.data.palette.PIXELS", pixels)
        assert [len(part) for _, part in _parts(x, None)] == sizes


def test_grids_and_previews_are_in_colour(tmp_path):
    x = torch.arange(4).view(4, 1, 1, 1).expand(-1, -1, 6, 5)
    grid = np.asarray(Image.open(figures.save_grid(x, SPEC, tmp_path / "g.png", columns=2)))
    assert {tuple(colour) for colour in grid.reshape(-1, 3)} == {(96, 96, 96), *map(tuple, FOUR.tolist())}
    assert "38;2;250;60;20" in figures.preview(x, SPEC, figures.truecolour)


def test_colours_are_counted_in_the_images_that_are_the_splits_own():
    """The pixels of others lie beside them."""
    pixels = torch.from_numpy(np.stack([np.full((3, 2, 2), number, np.uint8) for number in (9, 50, 90, 200)]))
    pixels[1, :, 0] = 60
    images = SourceImages(ImageSet(pixels, rows=torch.tensor([3, 1])), ImageSet(pixels[:0]), 256)
    source = SimpleNamespace(config=DataConfig(palette=4))
    palette, notes = palette_for(source, images, torch.tensor([0, 1]), None)
    assert palette.array()[:, 0].tolist() == [50, 60, 200] and "have 3 colours" in notes[0]


def test_tokens_of_one_image_or_none_have_colours():
    palette = Palette.of(FOUR)
    one = np.array([[[0, 3], [1, 2]]])
    assert np.array_equal(coloured(one, palette, "here"), FOUR[one[0]].transpose(2, 0, 1))
    assert coloured(np.zeros((0, 1, 2, 2), np.int64), palette, "here").shape == (0, 3, 2, 2)
    picture = torch.from_numpy(FOUR[one[0]].transpose(2, 0, 1).copy())
    assert as_tokens(picture[None], palette)[0][0].tolist() == one.tolist()


def test_brightness_weighs_colours_as_people_see_them():
    """Thousandths: 299 of red, 587 of green, 114 of blue; these differ by a few of them."""
    for darker, brighter in (((196, 0, 0), (0, 100, 0)), ((0, 100, 0), (196, 0, 1)), ((0, 0, 100), (39, 0, 0))):
        found = by_brightness(np.array([brighter, darker]))
        assert found.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("count", "size", "seed", "rounds", "digest"),
    [(900, 24, 3, (6, 8, 2), "7867f3fdcc5ea00c"), (30, 20, 0, (4, 2, 2), "af9f6570ddc5b52c")],
)
def test_the_same_colours_and_seed_give_the_same_palette_everywhere(count, size, seed, rounds, digest):
    """Also of fewer colours than there are cells of the grid for a start."""
    steps = np.stack([np.arange(count) * step % 256 for step in (37, 101, 59)], 1) // np.array([1, 2, 3])
    colours, told = np.unique(steps, axis=0), []
    palette = clusters.cluster(colours, 1 + np.arange(len(colours)) % 7, size, seed, lambda *far: told.append(far))
    assert hashlib.sha256(palette.tobytes()).hexdigest()[:16] == digest
    assert told[size:] == [("clustering colours", turn, 0) for many in rounds for turn in range(many)]


def test_a_runs_palette_is_kept_and_goes_with_no_other_levels():
    palette, images = (
        Palette.of(FOUR),
        SourceImages(ImageSet(torch.zeros(2, 3, 2, 2).byte()), ImageSet(torch.zeros(0)), 256),
    )
    source = SimpleNamespace(config=DataConfig(palette=7))
    assert palette_for(source, images, torch.arange(2), palette) == (palette, [])
    for config in (DataConfig(levels=4), DataConfig(binarise="static")):
        with pytest.raises(RecipeError, match="the run's images are tokens of its palette") as caught:
            palette_for(SimpleNamespace(config=config), images, torch.arange(2), palette)
        assert (caught.value.where, caught.value.found) == ("data", "levels or binarise")
    assert palette_for(SimpleNamespace(config=DataConfig()), images, torch.arange(2), None) == (None, [])
