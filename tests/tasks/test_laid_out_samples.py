"""How grids of samples are laid out and titled, and what is said of scores and completions."""

from types import SimpleNamespace

import pytest
import torch

from pixkit.context import ContextSpec
from pixkit.figures.grids import Titles
from pixkit.image import ImageSpec, has_values, numbers_refused, sent
from pixkit.orderings.scans import Raster
from pixkit.tasks import beside, complete, pictured, sampled
from pixkit.tasks.beside import scored_given
from pixkit.tasks.complete import Completion
from pixkit.tasks.sampled import Sampled, framed, layout_of


def pictures(*levels):
    return torch.tensor(levels).view(-1, 1, 1, 1)


@pytest.mark.parametrize(("above", "held", "found", "columns"), [
    (None, None, [1, 2, 3, 4], 2),
    (pictures(8, 9), None, [8, 9, 1, 2, 3, 4], 2),
    (None, pictures(6, 7), [6, 1, 2, 7, 3, 4], 3),
    (pictures(8, 9), pictures(6, 7), [5, 8, 9, 6, 1, 2, 7, 3, 4], 3),
])  # fmt: skip
def test_pictures_of_conditions_stand_above_and_before_samples(above, held, found, columns):
    shown, across = framed(pictures(1, 2, 3, 4), 2, above, held, 5)
    assert (shown.flatten().tolist(), across) == (found, columns)
    drawn = Sampled(pictures(1, 2, 3, 4), "", columns=2, above=above, pictures=held)
    assert drawn.beside(5)[0].flatten().tolist() == found and drawn.beside(5)[1] == columns
    shown, spec, across = drawn.figure(ImageSpec(1, 1, 1, 10), grid=False)
    assert (shown.flatten().tolist(), spec.levels, across) == ([1, 2, 3, 4], 10, 2)
    assert framed(pictures(1, 2), 1, pictures(3), pictures(6, 7))[0].flatten()[0] == 0


def test_samples_without_rows_stand_behind_their_pictures():
    drawn = Sampled(pictures(1, 2), "", pictures=pictures(6, 7))
    shown, columns = drawn.beside()
    assert shown.flatten().tolist() == [6, 1, 7, 2] and columns == pictured.PAIRS
    assert Sampled(pictures(1, 2), "").beside()[1] is None
    decoded = Sampled(pictures(1, 2), "", columns=2, decoded=pictures(200, 100))
    shown, levels, columns = decoded.figure(ImageSpec(1, 1, 1, 10))
    assert (shown.flatten().tolist(), levels, columns) == ([200, 100], 256, 2)


class Labelled:
    """A model of three classes with names."""

    labelled, classes, class_names = True, 3, ("ant", "bee", "cat")

    def require(self, capability, where):
        assert getattr(self, capability)


def test_titles_of_a_grid_are_repeated_for_each_image_that_is_continued(monkeypatch):
    monkeypatch.setattr(sampled, "pictures_of", lambda model, rows: rows.tolist())
    request = type("Request", (), {"context": torch.arange(8), "__len__": lambda self: 8})()
    found = layout_of(Labelled(), request, 2, ["ant", "cat"])
    assert found == {"columns": 2, "titles": Titles("rows", ["ant", "cat"] * 2), "pictures": [0, 2, 4, 6]}
    request.context = None
    found = layout_of(Labelled(), request, None, None)
    assert found == {"columns": 3, "titles": Titles("columns", ("ant", "bee", "cat")), "pictures": None}


def test_what_scores_are_given_is_said(monkeypatch):
    arrays = (ContextSpec("small", (1, 2, 2), 4, shrink=2, by="every"), ContextSpec("tilt", (2,)))
    spec = ImageSpec(1, 4, 4, 4, context=arrays)
    monkeypatch.setattr(beside, "conditions_of", lambda model: model.several)
    model = SimpleNamespace(spec=spec, several=SimpleNamespace(names=("tilt", "small", "label")))
    assert scored_given(model) == "tilt, small (from the image itself), the labels"
    for labelled, words in ((True, "the labels"), (False, "")):
        assert scored_given(SimpleNamespace(labelled=labelled, spec=spec, several=None)) == words


@pytest.mark.parametrize(("nats", "note"), [
    (12.3456, "exact; the true content: 12.35 nats (raster)"), (None, "clamped (raster)"),
])  # fmt: skip
def test_the_picture_of_a_completion_says_what_it_is(nats, note, tmp_path, monkeypatch):
    noted = []
    monkeypatch.setattr(complete, "save_panels", lambda panels, path, note: noted.append((len(panels), path, note)))
    spec = ImageSpec(1, 1, 2, 2)
    known, ordering = torch.tensor([[[True, False]]]), Raster(Raster.Config(), spec)
    image = torch.zeros(1, 1, 1, 2, dtype=torch.int64)
    found = Completion(image, known, ordering, nats is not None, nats, torch.zeros(1, 2), 1.0, "", image)
    found.save(tmp_path / "x.png")
    assert noted == [(2, tmp_path / "x.png", note)]
    assert (found.missing, found.kind) == (1, "exact" if nats else "clamped")
    assert found.bits == (None if nats is None else pytest.approx(12.3456 / 0.6931471805599453))


def test_tensors_without_values_and_copies_to_devices():
    x = torch.arange(3)
    assert has_values(x) and not has_values(torch.empty(3, device="meta"))
    seen = []
    torch.vmap(lambda each: seen.append(has_values(each)) or each)(x)
    assert seen == [False]
    assert sent(x, "cpu") is x and sent(x, torch.device("meta")).device.type == "meta"
    assert numbers_refused("logistic") == {
        "message": "the head 'logistic' treats levels as numbers, which palette tokens are not",
        **{"found": "logistic", "expected": "a head with a probability for each level"},
        "hint": "model.head={type: softmax}",
    }
