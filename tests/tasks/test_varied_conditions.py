"""What varies along the rows and columns of a grid, and what is held meanwhile: conditions and the noise of pixels."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pixkit.context import ContextSpec
from pixkit.errors import UsageError
from pixkit.figures import Titles
from pixkit.image import ImageSpec
from pixkit.tasks import drawer as of_drawer
from pixkit.tasks import varied
from pixkit.tasks.beside import Conditioning
from pixkit.tasks.drawer import open_drawer
from pixkit.tasks.sampled import Sampled
from pixkit.tasks.varied import axes_of, require_variable, varied_request, vary
from pixkit.testing import named

SPEC = ImageSpec(1, 4, 4, 5, context=(ContextSpec("small", (1, 2, 2), 5), ContextSpec("tilt", (2,))))
PARTS = [
    {"type": "image", "from": "small", "size": 1, "layers": 1},
    {"type": "vector", "from": "tilt", "size": 1, "dropout": 0.5},
    {"type": "label", "size": 1, "dropout": 0.5},
]
BACKBONE = {"type": "pixelcnn", "width": 2, "layers": 0, "first_kernel": 3, "output_layers": 1}
SMALL, TILTS = torch.arange(16).view(4, 1, 2, 2) % 5, torch.tensor([[0.5, 1.0], [2.0, 3.0], [0.5, 1.0], [4.0, 5.0]])
LABELS = torch.tensor([2, 0, 1, 2])
HELD = {"small": SMALL[:1], "tilt": TILTS[:1], "label": LABELS[:1]}


def model_of(context, names=None):
    model = named("model", "autoregressive", backbone=BACKBONE, context=context).build(SPEC, 3).eval()
    model.class_names = names
    return model


@pytest.fixture
def drawer(monkeypatch):
    """A drawer of a model whose run's validation images have the arrays above beside them."""
    model = model_of(PARTS, ("ant", "bee", "cat"))
    rows = model.several.given({"small": SMALL, "tilt": TILTS, "label": LABELS}, 4)
    reads = []
    monkeypatch.setattr(of_drawer, "load_data", lambda run, progress: reads.append(run) or reads)
    monkeypatch.setattr(varied, "rows_in_turn", lambda model, data, count: rows[torch.arange(count) % 4])
    yield replace(open_drawer(model, seed=3), run="its run")
    assert len(reads) <= 1, "data are read once"


def rows_of(drawer, *changes):
    """A row for each of the changes of what is held."""
    each = [{name: torch.as_tensor(value)[None] for name, value in changed.items()} for changed in changes]
    return torch.cat([drawer.model.several.given(HELD | changed, 1) for changed in each])


def asked(drawer, *axes, n=None, labels=None, context=None):
    return vary(drawer, axes, n, labels=labels, context=context, each=3)


def held(*but, **changed):
    return {name: value for name, value in (HELD | changed).items() if name not in but}


def laid_out(drawer, *axes, n=None, **given):
    wish = {"labels": None, "given": None, "rows": None, "context": None, "guidance": 0.0, **given}
    request, layout = varied_request(drawer, axes, n, each=3, **wish)
    return request, Sampled(torch.zeros(len(request), 1, 4, 4).long(), "", **layout)


@pytest.mark.parametrize(("axes", "given", "changes", "noise", "columns"), [
    (["label"], {}, [{"label": 0}, {"label": 1}, {"label": 2}], [0] * 3, 3),
    (["label"], {"labels": [2, 1, 0], "n": 2}, [{"label": 2}, {"label": 1}], [0] * 2, 2),
    (["small"], {"n": 2}, [{"small": SMALL[0]}, {"small": SMALL[1]}], [0] * 2, 2),
    (["small"], {"labels": 1, "n": 2}, [{"small": each, "label": 1} for each in SMALL[:2]], [0] * 2, 2),
    (["tilt"], {"context": held(tilt=TILTS[1:3])}, [{"tilt": TILTS[1]}, {"tilt": TILTS[2]}], [0] * 2, 2),
    (["label"], {"context": held("label", tilt=TILTS[:2]), "n": 2},
     [{"tilt": TILTS[0], "label": 0}, {"tilt": TILTS[0], "label": 1},
      {"tilt": TILTS[1], "label": 0}, {"tilt": TILTS[1], "label": 1}], [0, 0, 1, 1], 2),
    (["small"], {"context": held("small"), "n": 2}, [{"small": SMALL[0]}, {"small": SMALL[1]}], [0] * 2, 2),
    (["pixels"], {"context": held(tilt=TILTS[:2]), "n": 2},
     [{"tilt": TILTS[0]}, {"tilt": TILTS[0]}, {"tilt": TILTS[1]}, {"tilt": TILTS[1]}], [0, 1, 0, 1], 2),
    (["label", "tilt"], {"labels": [2, 0], "n": 2},
     [{"label": 2, "tilt": TILTS[0]}, {"label": 2, "tilt": TILTS[1]},
      {"label": 0, "tilt": TILTS[0]}, {"label": 0, "tilt": TILTS[1]}], [0] * 4, 2),
    (["tilt", "label"], {"labels": [2, 0], "context": held("label", tilt=TILTS[2:])},
     [{"label": 2, "tilt": TILTS[2]}, {"label": 0, "tilt": TILTS[2]},
      {"label": 2, "tilt": TILTS[3]}, {"label": 0, "tilt": TILTS[3]}], [0] * 4, 2),
    (["label", "pixels"], {"labels": [2, 0], "n": 2}, [{"label": 2}] * 2 + [{"label": 0}] * 2, [0, 1, 0, 1], 2),
    (["pixels", "label"], {"n": 2}, [{"label": 0}, {"label": 1}] * 3, [0, 0, 1, 1, 2, 2], 2),
])  # fmt: skip
def test_what_varies_and_what_is_held(drawer, axes, given, changes, noise, columns):
    found = asked(drawer, *axes, **given)
    assert torch.equal(found.context, rows_of(drawer, *changes))
    assert (found.noise, found.columns) == (noise, columns)


def test_what_is_named_is_held_in_place_of_what_an_image_has(drawer, monkeypatch):
    monkeypatch.setattr(Conditioning, "_of_images", lambda self, names: dict(HELD))
    found = asked(drawer, "tilt", context=["test:9", {"tilt": TILTS[1:3], "label": 1}])
    assert torch.equal(found.context, rows_of(drawer, *({"tilt": tilt, "label": 1} for tilt in TILTS[1:3])))


def test_values_of_the_data_are_taken_once(drawer, monkeypatch):
    """A condition that has few values would fill a row with equal images."""
    found = asked(drawer, "tilt")
    assert torch.equal(found.context, rows_of(drawer, *({"tilt": TILTS[row]} for row in (0, 1, 3))))
    with pytest.raises(UsageError, match="not that many values to vary") as caught:
        asked(drawer, "tilt", n=4)
    assert (caught.value.where, caught.value.found) == ("vary", "3 of tilt")
    first = varied.rows_in_turn(drawer.model, None, 1)
    monkeypatch.setattr(varied, "rows_in_turn", lambda model, data, count: first.repeat(count, 1))
    with pytest.raises(UsageError, match="equal images would stand side by side"):
        asked(drawer, "tilt")


def test_a_model_of_labels_varies_them_and_the_noise():
    drawer = open_drawer(model_of({"type": "label", "size": 1, "dropout": 0.1}))
    for axes, given, labels, noise in (
        (["label"], {}, [0, 1, 2], [0, 0, 0]),
        (["label"], {"labels": [2, 1]}, [2, 1], [0, 0]),
        (["pixels"], {"labels": [2, 1], "n": 2}, [2, 2, 1, 1], [0, 1, 0, 1]),
        (["label", "pixels"], {"labels": [2, 1], "n": 2}, [2, 2, 1, 1], [0, 1, 0, 1]),
        (["pixels"], {"n": 2}, [0, 0], [0, 1]),
    ):
        found = asked(drawer, *axes, **given)
        assert (found.context.tolist(), found.noise) == (labels, noise)
    with pytest.raises(UsageError, match="no list of conditions"):
        asked(drawer, "label", context="test:5")


def test_a_grid_shows_what_varies_above_and_beside_its_images(drawer):
    """Pictures of 2x2 are enlarged to 4x4."""
    pictures = SMALL.repeat_interleave(2, 2).repeat_interleave(2, 3)
    request, drawn = laid_out(drawer, "small", "label", n=2)
    assert request.noise.images == [0] * 6 and drawn.above is None and torch.equal(drawn.pictures, pictures[:3])
    assert drawn.titles == Titles("columns", ["", "ant", "bee"])
    shown, columns = drawn.beside()
    assert columns == 3 and torch.equal(shown[::3], pictures[:3])
    _, drawn = laid_out(drawer, "label", "small", labels="bee,cat")
    assert torch.equal(drawn.above, pictures[:3]) and drawn.pictures is None
    assert drawn.titles == Titles("rows", ["", "bee", "cat"])
    _, drawn = laid_out(drawer, "label", "tilt")
    assert torch.equal(drawn.pictures, pictures[:1].expand(3, -1, -1, -1)), "that which is held"
    assert drawn.titles == Titles("rows", ["ant", "bee", "cat"]) and drawn.above is None
    _, drawn = laid_out(drawer, "label", n=2)
    assert drawn.titles == Titles("columns", ["", "ant", "bee"]) and torch.equal(drawn.pictures, pictures[:1])
    assert laid_out(drawer, "pixels")[1].titles is None and laid_out(drawer, "label", n=0)[1].columns == 0


@pytest.mark.parametrize(("axes", "given", "message"), [
    (["small"], {"context": {"small": SMALL[:1]}, "n": 8}, "equal images(.|\n)*1 of small(.|\n)*8 or more values"),
    (["small"], {"context": {"small": SMALL[:1]}}, "equal images(.|\n)*small=FILE(.|\n)*leave small= out"),
    (["label"], {"n": 4}, "not that many values to vary(.|\n)*3 of label(.|\n)*4 or more values"),
    (["label"], {"labels": "cat"}, "equal images(.|\n)*such as label=ant,bee"),
    (["label"], {"labels": "none"}, "no label is no value to vary"),
    (["label", "tilt"], {"context": held("label", "tilt", small=SMALL[:2])}, "are held at one value(.|\n)*2 of them"),
])  # fmt: skip
def test_what_would_not_vary_is_refused(drawer, axes, given, message):
    with pytest.raises(UsageError, match=message):
        asked(drawer, *axes, **given)


@pytest.mark.parametrize("wrong", [(), ("a", "a"), ("a", "b", "c"), ("a", None), 3])
def test_a_grid_has_two_directions(wrong):
    assert axes_of("a") == ("a",) and axes_of(["a", "b"]) == ("a", "b")
    with pytest.raises(UsageError, match="rows and columns, which differ in one thing each") as caught:
        axes_of(wrong)
    assert caught.value.found == (str(wrong) if wrong == 3 else ", ".join(map(str, wrong)) or "nothing")


def test_each_of_two_things_has_to_be_there(drawer):
    with pytest.raises(UsageError, match="did you mean 'small'"):
        require_variable(drawer.model, ["label", "smal"])
    with pytest.raises(UsageError, match="a latent model varies one thing at a time"):
        require_variable(SimpleNamespace(conditions=(), has_latent=True), ["latent", "pixels"])


def test_a_model_alone_has_no_data():
    drawer = open_drawer(model_of(PARTS))
    with pytest.raises(UsageError, match="not opened with its run has no data"):
        asked(drawer, "tilt", context=held("tilt"))
    with pytest.raises(UsageError, match="not opened with its run has no data"):
        str(drawer.data)
