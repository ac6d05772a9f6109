"""How training grows along an axis: values, points and fits, with turns that take what is said here."""

from types import SimpleNamespace

import pytest
import torch

from pixkit.errors import NonFiniteError, RecipeError, UsageError
from pixkit.image import ImageSpec
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe import load_recipe
from pixkit.training import scaling
from pixkit.training.scaling import Fit, Point, fitted, time_scaling
from pixkit.training.throughput import plain

CPU = torch.device("cpu")
SPEC = ImageSpec(1, 8, 6, 2)
SMALL = "model.backbone.width=3", "model.backbone.layers=1", "train.batch_size=5", "train.accumulate=2"


@pytest.fixture(scope="module")
def loaded():
    return load_recipe("digits-pixelcnn", SMALL)


class Turns:
    """Stands for `Timed`: turns at batch size or side n take n seconds times each of the factors in turn."""

    def __init__(self, factors=(3.0, 1.0, 2.0), fails=None):
        self.factors, self.fails, self.made = factors, fails or {}, []

    def construct(self, recipe, spec, classes, device):
        width = recipe.model.config.backbone.config.width
        if (width, 0) in self.fails:
            raise self.fails[width, 0]
        return SimpleNamespace(width=width, side=spec.height, spec=spec, classes=classes, device=device)

    def timed(self, model, classes, setting, device, *, ranks):
        self.made.append((model, classes, setting, device, ranks))
        turns = iter(enumerate(self.factors, 1))

        def turn():
            number, factor = next(turns)
            if (model.width, number) in self.fails:
                raise self.fails[model.width, number]
            return factor * model.width * model.side

        size = setting.config.batch_size
        return SimpleNamespace(images=2 * size, memory=size * model.width**2, turn=turn, stepper=model)


@pytest.fixture
def turns(monkeypatch):
    def begin(**options):
        found = Turns(**options)
        monkeypatch.setattr(scaling, "construct", found.construct)
        monkeypatch.setattr(scaling, "Timed", found.timed)
        monkeypatch.setattr(scaling, "operations", lambda model: 7 * model.width**3)
        return found

    return begin


def test_points_are_medians_at_each_value_and_exponents_are_fitted_to_them(turns, loaded):
    found, heard = turns(), []
    over = {"width": [2, 4], "batch": [5], "side": [8, 16]}
    result = time_scaling(loaded, SPEC, 3, CPU, over, progress=lambda *told: heard.append(told))
    assert result.points == [
        Point("width", 2, 32, 10 / 32, 20, 56),
        Point("width", 4, 64, 10 / 64, 80, 448),
        Point("batch", 5, 48, 10 / 48, 45, 189),
        Point("side", 8, 48, 10 / 48, 45, 189),
        Point("side", 16, 96, 10 / 96, 45, 189),
    ]
    assert [(fit.axis, fit.figure, round(fit.exponent, 9), fit.error, fit.points) for fit in result.fits] == [
        ("width", "seconds", 1, None, 2), ("width", "memory", 2, None, 2), ("width", "operations", 3, None, 2),
        ("side", "seconds", 1, None, 2), ("side", "memory", 0, None, 2), ("side", "operations", 0, None, 2),
    ]  # fmt: skip
    assert heard == [("varying width", 0, 3), ("varying batch", 1, 3), ("varying side", 2, 3)]
    assert (result.rounds, result.ranks, result.machine["device"]) == (3, 1, "cpu")
    assert result.dump()["points"][0]["value"] == 2
    settings = {each[2].config.batch_size for each in found.made}
    assert settings == {5} and all(each[2] == plain(each[2].config) for each in found.made)
    assert {(each[0].classes, each[0].device, *each[1:2], *each[3:]) for each in found.made} == {
        (3, CPU, 3, CPU, ALONE)
    }
    assert [(each[0].spec.height, each[0].spec.width) for each in found.made[-2:]] == [(8, 8), (16, 16)]


@pytest.mark.parametrize(("axis", "values"), [
    ("width", [2, 3, 6]), ("depth", [1, 2]), ("batch", [2, 5, 10]), ("side", [4, 8, 16]), ("ranks", [1]),
    ("train.batch_size", [2, 5, 10]), ("model.backbone.layers", [1, 2]),
])  # fmt: skip
def test_an_axis_has_half_and_twice_the_recipes_value(loaded, axis, values):
    assert scaling._Axis(axis, loaded, SPEC, ALONE, []).values == values
    assert scaling._Axis(axis, loaded, SPEC, ALONE, [1]).values == [1]


def test_an_axis_changes_one_thing(loaded):
    for axis, key in (
        ("width", "model.backbone.width"),
        ("depth", "model.backbone.layers"),
        ("batch", "train.batch_size"),
    ):
        recipe, spec = scaling._Axis(axis, loaded, SPEC, ALONE, []).at(4)
        assert recipe.overrides == (*loaded.overrides, f"{key}=4") and spec == SPEC
    recipe, spec = scaling._Axis("side", loaded, SPEC, ALONE, []).at(4)
    assert recipe is loaded and spec == ImageSpec(1, 4, 4, 2)
    assert scaling._Axis("ranks", loaded, SPEC, ALONE, []).at(1) == (loaded, SPEC)


def several(size, rank=0):
    """Ranks that say they are several, and which make a group of some of them without asking the others."""
    found = Ranks(rank, 1)
    found.size, found.waited = size, []
    found.some = lambda count: (rank, count)
    found.wait = lambda: found.waited.append(1)
    return found


@pytest.mark.parametrize(("size", "usual"), [(1, [1]), (2, [1, 2]), (3, [1, 2]), (4, [1, 2, 4]), (7, [1, 2, 4])])
def test_of_the_ranks_powers_of_two_are_taken(loaded, size, usual):
    ranks = several(size)
    assert scaling._Axis("ranks", loaded, SPEC, ranks, []).values == usual
    assert scaling._Axis("ranks", loaded, SPEC, ranks, [size]).values == [size]
    with pytest.raises(UsageError) as caught:
        scaling._Axis("ranks", loaded, SPEC, ranks, [1, size + 1])
    assert caught.value.found == f"1, {size + 1}"
    assert caught.value.expected == f"1..{size}, which torchrun has started" and caught.value.where == "ranks"


def test_the_first_ranks_measure_and_the_others_say_so(turns, loaded):
    ranks, last = several(4), several(4, rank=3)
    assert [scaling._first(ranks, count) for count in (1, 2, 3, 4)] == [ALONE, (0, 2), (0, 3), ranks]
    assert [scaling._first(last, count) for count in (1, 2, 3, 4)] == [None, None, None, last]
    found = turns()
    points = time_scaling(loaded, SPEC, 3, CPU, {"ranks": [1, 4]}, ranks=last).points
    assert points == [Point("ranks", 1, note="on other ranks"), Point("ranks", 4, 48, 10 / 48, 45, 189)]
    assert [each[-1] for each in found.made] == [last] and len(last.waited) == 3
    with pytest.raises(UsageError, match="only one"):
        time_scaling(load_recipe("digits-pixelcnn"), SPEC, 3, CPU, {"width": [1]}, ranks=ranks)
    for moment in (0, 1):
        turns(fails={(2, moment): RuntimeError("lost")})
        with pytest.raises(RuntimeError, match="lost"):
            time_scaling(loaded, SPEC, 3, CPU, {"width": [2]}, ranks=ranks)


@pytest.mark.parametrize(("error", "moment"), [
    (RecipeError("odd"), 0), (RuntimeError("odd"), 0), (ValueError("odd"), 0), (RuntimeError("odd"), 2),
    (NonFiniteError("odd"), 3),
])  # fmt: skip
def test_a_value_that_fails_is_noted_and_left_out_of_the_fit(turns, loaded, error, moment):
    turns(fails={(4, moment): error})
    result = time_scaling(loaded, SPEC, 3, CPU, {"width": [2, 4, 6]}, rounds=3)
    failed = result.points.pop(1)
    assert failed == Point("width", 4, note=failed.note) and failed.note.endswith("odd")
    assert [point.value for point in result.points if not point.note] == [2, 6]
    assert {fit.points for fit in result.fits} == {2}
    turns(fails={(each, moment): error for each in (2, 4)})
    assert time_scaling(loaded, SPEC, 3, CPU, {"width": [2, 4]}).fits == []


def test_what_is_no_axis_says_what_would_be_one(loaded):
    labels = load_recipe("digits-pixelcnn", ["model.head=softmax"])
    for axis, values, where, found, expected in (
        ("width", [0, 2], "width", "0, 2", "1 or more"),
        ("model.head.type", [], "model.head.type", "model.head.type: softmax", "a whole number"),
        ("train.recompute", [], "train.recompute", "train.recompute: False", "a whole number"),
        ("train.steps.more", [], "train.steps.more", "train.steps.more: None", "a whole number"),
    ):
        with pytest.raises(UsageError, match="no values for an axis") as caught:
            scaling._Axis(axis, labels, SPEC, ALONE, values)
        error = caught.value
        assert (error.where, error.found, error.expected) == (where, found, expected)
    assert error.hint == "train.steps.more=1,2,4"
    bare = SimpleNamespace(recipe=SimpleNamespace(model=SimpleNamespace(name="bare", config=None)))
    for axis, names in (("width", "width, units"), ("depth", "layers, blocks")):
        with pytest.raises(UsageError, match=f"no key for its {axis}") as caught:
            scaling._key(axis, bare)
        error = caught.value
        assert (error.where, error.found, error.expected) == (axis, "bare", f"a backbone with {names}")


def test_a_fit_needs_two_values_and_positive_figures():
    assert fitted("a", "b", [(1, 1), (2, 2)]) == Fit("a", "b", 1, None, 2)
    assert fitted("a", "b", [(1, 1), (2, 2), (4, 4)]) == Fit("a", "b", 1, 0, 3)
    assert fitted("a", "b", [(1, 1)]) is None and fitted("a", "b", [(1, 0), (2, 2)]) is None
