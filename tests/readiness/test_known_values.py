"""Small functions of the proof, by tables of known values at their bounds."""

import copy
import itertools
import math
import os
import types
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nets import net_of
from test_report import Branching
from torch import nn

from pixkit.errors import CausalityError, UsageError
from pixkit.image import ImageSpec
from pixkit.layers import KeepBefore, MaskedConv2d, Pointwise, Shift, ShiftedConv2d, ShiftedConvTranspose2d
from pixkit.readiness import advice, code, evidence, explaining, law, libraries, probe, report, settings, slots, watch
from pixkit.readiness.adoption.export import _alike
from pixkit.readiness.asked import _described, _guess, _part, question
from pixkit.readiness.check import effort, verify
from pixkit.readiness.elements.marks import LATEST, Marks
from pixkit.readiness.elements.tape import Line as Running
from pixkit.readiness.proof import Evidence, Line, Proof, Reliance, Step, _require_index
from pixkit.testing import component, named, network

pytestmark = pytest.mark.quick
INF, NAN = math.inf, math.nan


def shape(*sizes):
    return torch.Size(sizes)


@pytest.mark.parametrize(("dims", "proved", "expected"), [
    (1, True, (1, 4)), (16, True, (16, 4)), (17, True, (16, 4)), (784, True, (16, 4)),
    (1, False, (1, 1)), (17, False, (17, 1)), (128, False, (128, 1)), (129, False, (64, 1)),
])  # fmt: skip
def test_how_many_sub_pixels_are_swapped(dims, proved, expected):
    assert effort(dims, proved=proved) == expected


def test_a_warning_names_the_line_that_asked():
    net = net_of(Branching, ImageSpec(1, 2, 2, 2))
    model = named("model", "autoregressive", backbone=component("backbone", Branching), head="softmax")
    model = model.build(ImageSpec(1, 2, 2, 2), 0)
    for ask in (lambda: verify(net), lambda: [model.verify()]):
        with pytest.warns(RuntimeWarning, match="no leak was seen") as warned:
            ask()
        assert [(each.filename, each.lineno) for each in warned] == [(__file__, ask.__code__.co_firstlineno)]


@pytest.mark.parametrize(("found", "wanted", "expected"), [
    (shape(2, 5), shape(2, 5, 3), "steps[..., None]"), (shape(2), shape(2, 5, 3), "steps[..., None, None]"),
    (shape(), shape(3), "steps[..., None]"), (shape(5), shape(2, 5), None), (shape(2, 5, 3), shape(2, 5), None),
    (shape(2, 5), shape(2, 4), "steps.narrow(1, 0, 1), if steps are equal along axis 1"),
    (shape(2, 5), shape(3, 5), "steps.narrow(0, 0, 1), if steps are equal along axis 0"),
    (shape(3, 5), shape(2, 4), None), (shape(2, 5), shape(2, 5), None),
])  # fmt: skip
def test_how_steps_may_be_made_to_fit(found, wanted, expected):
    said = _guess(found, wanted)
    assert said is None if expected is None else said.startswith(f"out_steps={expected}")


def test_which_of_several_outputs_is_meant():
    assert [*map(_described, ({"a": 1, "b": 2}, (1, 2), [1], 3))] == [
        *("a dictionary of a, b", "tuple of 2", "list of 1", "int"),
    ]
    given = SimpleNamespace(a=1, values=lambda: ())
    parts = [_part({"a": 1}, "a"), _part((1, 2), 1), _part([1, 2], -1), _part(given, "a"), _part({0: 3}, 0)]
    assert parts == [1, 2, 2, 1, 3]
    for value, key in (({"a": 1}, "b"), ((1,), 1), (given, "b"), (3, 0), ((1,), "a")):
        assert _part(value, key) is None


@pytest.mark.parametrize(("steps", "found"), [
    (torch.zeros(2), "torch.float32"), (torch.zeros(2, dtype=torch.bool), "torch.bool"), ([0, 1], "list"),
    (torch.zeros(2, dtype=torch.complex64), "torch.complex64"), (torch.tensor([0, -1]), "-1"),
])  # fmt: skip
def test_what_are_no_steps(steps, found):
    for given in ({"steps": steps, "out_steps": None}, {"steps": torch.tensor([0, 1]), "out_steps": steps}):
        with pytest.raises(UsageError) as caught:
            question(nn.Identity(), torch.zeros(2), strict=True, output=None, **given)
        assert caught.value.found == found
    with pytest.raises(UsageError, match="this is a class"):
        question(nn.Identity, torch.zeros(2), torch.zeros(2).int(), out_steps=None, strict=True, output=None)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64])
def test_what_are_steps(kind):
    found = question(nn.Identity(), torch.zeros(3, 2), torch.tensor([0, 4], dtype=kind), out_steps=None, strict=False,
                     output=None)  # fmt: skip
    assert found.steps.tolist() == [[0, 4]] * 3 and found.steps.dtype == torch.int64
    assert found.allowed(shape(3, 2)).tolist() == [[1, 5]] * 3
    assert question(nn.Identity(), torch.zeros(0), torch.zeros(0, dtype=kind), out_steps=None, strict=True,
                    output=None).steps.shape == (0,)  # fmt: skip


def values_of(tensors):
    return [each.tolist() for each in tensors]


def test_inputs_that_are_tried_instead():
    others = evidence._others
    assert values_of(others(torch.tensor([True, False]), (9.0,))) == [[False, True]]
    assert values_of(others(torch.tensor([1 + 2j]), (9.0,))) == [[-2 - 2j]]
    assert values_of(others(torch.zeros(0, dtype=torch.int64), ())) == []
    x = torch.tensor([0.5, -2.0])
    noise = torch.randn(2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [x + noise, -x - 1, noise * 100, noise * -3]
    for found, wanted in zip(others(x, (100.0, -3.0)), expected, strict=True):
        assert found.dtype == x.dtype and torch.equal(found, wanted.float())
    x = torch.arange(2, 60)
    mirrored, random, *ends = others(x, (9.0,))
    assert torch.equal(mirrored, x.flip(0)) and [int(each) for each in ends] == [2, 59, 0, 1]
    assert 2 <= random.min() < random.max() <= 59 and not torch.equal(random, x)
    assert [int(each) for each in evidence._ends(0, 1)] == [0, 1]
    twice = torch.tensor([4, 5] * 40)
    assert set([*others(twice, ())][1].tolist()) == {4, 5}


@pytest.mark.parametrize(("given", "expected"), [
    ([1.0, -3.0, INF, NAN], 3.0), ([2.0, -1.0], 2.0), ([INF, -INF], 0.0), ([], 0.0),
])  # fmt: skip
def test_the_largest_finite_output(given, expected):
    assert evidence._largest(torch.tensor(given)) == expected


def test_what_has_moved():
    def moved(before, after, rounding, watched=(True, True)):
        return evidence._moved(torch.tensor(before), torch.tensor(after), rounding, torch.tensor(watched))

    assert moved([1.0, 1.0], [1.0, 1.5], 0.5) is None and moved([1.0, 1.0], [1.0, 1.5], 0.4) == (1,)
    assert moved([1.0, 1.0], [0.5, 0.5], 0.4) == (0,) and moved([1.0, 1.0], [2.0, 1.0], 0.0, (False, True)) is None
    assert moved([INF, 1.0], [1.0, NAN], 0.0) is None and moved([NAN, 1.0], [1.0, INF], 0.0) is None


def watching(module=None, allowed=None, **changed):
    x = changed.pop("x", torch.arange(8.0))
    asked = question(module or nn.Linear(8, 8), x, torch.arange(8), out_steps=None, strict=True, output=None)
    allowed = asked.steps if allowed is None else allowed
    return evidence.Watch(asked, allowed, torch.ones(8, dtype=torch.bool), changed.pop("fixed", ()))


@pytest.mark.parametrize(("later", "thresholds", "deadlines"), [
    (0, 8, range(8)), (0, 7, (0, 2, 4, 6)), (0, 4, (0, 2, 4, 6)), (0, 3, (0, 3, 6)), (0, 1, (0,)),
    (3, 6, (3, 4, 5, 6, 7)), (7, 6, (7,)), (8, 6, ()),
])  # fmt: skip
def test_which_inputs_are_changed_at_once(later, thresholds, deadlines):
    watch_, steps = watching(allowed=torch.arange(8) + later), torch.arange(8)
    found = [*watch_._changes(None, thresholds)]
    assert values_of(one for one, _ in found) == [(steps >= each).tolist() for each in deadlines]
    assert values_of(other for _, other in found) == [(steps + later == each).tolist() for each in deadlines]
    (changed, watched), *rest = watch_._changes(((2,), (1,)), thresholds)
    assert (changed.nonzero().tolist(), watched.nonzero().tolist(), len(rest)) == ([[2]], [[1]], len(found))


def test_parameters_that_are_tried_instead():
    module = nn.ParameterDict({"one": torch.ones(2, 4), "two": torch.ones(3), "kept": torch.ones(2, 2)})
    module["whole"] = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
    module["none"] = nn.Parameter(torch.ones(2, 0))
    given = {name: value.clone() for name, value in module.named_parameters()}
    evidence._redraw(module, 0, 1.0, frozenset())
    assert all(torch.equal(value, given[name]) for name, value in module.named_parameters())
    evidence._redraw(module, 0, 3.0, frozenset({"kept"}))
    assert module["one"].eq(3).all() and module["kept"].eq(1).all() and module["whole"].tolist() == [1, 2]
    evidence._redraw(module, 5, 2.0, frozenset({"kept"}))
    draws = torch.Generator().manual_seed(5)
    expected = {name: torch.randn(size, generator=draws, dtype=torch.float64)
                for name, size in sorted((("one", (2, 4)), ("two", (3,))))}  # fmt: skip
    assert torch.equal(module["one"], (expected["one"] / 2 * 2).float())
    assert torch.equal(module["two"], (expected["two"] * 2).float()) and module["kept"].eq(1).all()


def test_how_a_trial_is_named():
    double, single, x = torch.float64, torch.float32, torch.arange(8)

    def said(trial):
        return None if trial is None else (trial.how, trial.dtype, trial.x.dtype)

    at = watching()._trial
    assert said(at(0, 1.0, double)) == ("float64, its own parameters", double, double)
    assert said(at(0, 1.0, None)) == ("float32, its own parameters", single, single)
    assert said(at(2, 1.0, double)) == ("float64, parameters drawn at random", double, double)
    assert said(at(1, 1e4, None)) == ("float32, parameters drawn at random times 10000", single, single)
    whole = watching(nn.Embedding(8, 2), x=x)._trial
    assert said(whole(0, 1.0, double)) == ("float64, its own parameters", double, torch.int64)
    function = watching(torch.tanh)._trial
    assert function(1, 1.0, None) is function(0, 2.0, None) is None and function(0, 1.0, None).module is torch.tanh

    class Single(nn.Module):
        def __deepcopy__(self, memo):
            raise copy.Error

    lone = watching(Single())._trial
    assert lone(0, 1.0, double) is lone(1, 1.0, None) is lone(0, 2.0, None) is None
    assert said(lone(0, 1.0, None)) == ("its own parameters", single, single)


LINE = Line("net.py", 7, "forward", "return x", "flip", "part (Net)")
WHOLE = Proof(
    *("leaks", LINE, (Step((0, 1), (1, 2), 2, None), Step((0, 0), (1, 2), 2, LINE), Step((0, 0), (1, 2), LATEST,
      Line("", 0, "", "", "mul", "")))),
    *(torch.tensor([[2, 2]]), torch.tensor([[1, 2]]), (Reliance("mask", (2, 2), "ab" * 32),), ("a reason",)),
    *(Evidence((0, 1), (0, 0), 1.0, 1.23456789, 3, "float64, its own parameters"), 0.123456, 9),
)  # fmt: skip
TEXT = """\
leaks: an output element depends on an input element that it must not see
  blamed: net.py:7, in forward (flip): return x, in part (Net)
  a reason
  seen: with input (0, 1) and 2 later ones changed, output (0, 0) goes from 1 to 1.23457 (float64, its own parameters)
  largest influence found, with large inputs and weights: 0.123
  output (0, 0) may be ready at 1, and is at an unknown step, by this path:
    input (0, 1), known at 2
    flip (0, 0) of [1, 2], ready at 2, line 7: return x  <-- blamed
    mul (0, 0) of [1, 2], ready at an unknown step, \n\
  relies on mask [2, 2], SHA-256 abababababababab..."""


def test_a_proof_says_all_of_it():
    assert str(WHOLE) == TEXT
    assert repr(WHOLE) == "<Proof: leaks, net.py:7 (flip); 9 operations>"
    plain = WHOLE.dump()
    assert plain["influence"] == 0.123456 and plain["operations"] == 9 and plain["path"][1]["line"] == vars(LINE)
    one = Evidence((1,), (0,), 0.0, 1.0, 1, "how")
    assert str(one) == "with input (1,) changed, output (0,) goes from 0 to 1 (how)"
    assert str(Line("", 0, "", "", "mul", "")) == "outside every module (mul)"
    assert str(Line("", 0, "", "", "mul", "part (Net)")) == "part (Net) (mul)"
    bare = Proof("proved", None, (), torch.zeros(1), torch.zeros(1))
    assert str(bare) == "proved: no output element can depend on an input element that it must not see"
    assert repr(bare) == "<Proof: proved; 0 operations>"


@pytest.mark.parametrize(("index", "there"), [
    ((1, 2), True), ((-2, -3), True), ((0, slice(None)), True), ((2, 0), False), ((0, 3), False), ((-3, 0), False),
    ((0, -4), False), ((0,), False), ((0, 0, 0), False),
])  # fmt: skip
def test_which_elements_there_are(index, there):
    if there:
        _require_index(index, shape(2, 3))
    else:
        with pytest.raises(UsageError) as caught:
            _require_index(index, shape(2, 3))
        assert (caught.value.found, caught.value.expected) == (str(index), "one of [2, 3]")


@pytest.mark.parametrize(("excess", "expected"), [
    ([0, 2, 2, 2, 1], 2), ([0, 2, 2, 0, 0], 2), ([3, 0, 0, 0, 0], 0), ([1, LATEST, 5, LATEST + 9, LATEST], 3),
])  # fmt: skip
def test_which_late_output_is_told(excess, expected):
    allowed = torch.arange(5)
    assert explaining._telling(allowed + torch.tensor(excess), allowed) == (expected,)
    pairs = allowed[:, None].expand(5, 2)
    assert explaining._telling(pairs + torch.tensor(excess)[:, None], pairs) == (expected, 0)
    assert explaining._telling(torch.tensor(1), torch.tensor(0)) == ()


@pytest.mark.parametrize(("values", "fixed", "subtracted", "expected"), [
    ([-1e9, -INF, -5e9, 3.0], [1, 1, 0, 1], False, -1e9), ([1e9, INF, 5e9, -3.0], [1, 1, 0, 1], True, -1e9),
    ([-1.0, -2.0], [0, 0], False, 0.0), ([-INF, 1.0], [1, 0], False, 0.0), ([-7, 1], [1, 1], False, 0.0),
])  # fmt: skip
def test_how_low_a_mask_goes(values, fixed, subtracted, expected):
    marks = Marks(torch.zeros(len(values), dtype=torch.int64), torch.tensor(fixed).bool(), torch.tensor(values))
    assert explaining._lowest(marks, subtracted) == expected


def test_a_line_is_told_without_its_comment():
    class Spoken(Running):
        text = "return x  # as it is"

    said = explaining.line_at(Spoken("net.py", 7, "forward", "part (Net)"), "aten._softmax.default")
    assert said == Line("net.py", 7, "forward", "return x", "_softmax", "part (Net)")
    said = explaining.line_at(Running("", 0, "", "part (Net)"), "own::op.out")
    assert said == Line("", 0, "", "part (Net)", "own::op.out", "part (Net)")


def test_whose_code_it_is():
    known = ("torch", "torch.nn.functional", "pixkit.layers", "numpy", "pydantic", "pydantic_core.core", "os.path")
    assert all(map(libraries.is_known, known)) and all(map(libraries.is_own, known))
    assert libraries.is_own("pixkit_plugins.pixelcnn") and not libraries.is_known("pixkit_plugins.pixelcnn")
    for name in (None, "", "__main__", "__main__.part", "torchvision", "my.torch"):
        assert not libraries.is_known(name) and not libraries.is_own(name), name
    beside = os.path.join(os.path.dirname(os.__file__), "json", "__init__.py")
    inside = [None, os.__file__, beside, "/home/me/code.py", "/home/me/json/__init__.py"]
    assert [*map(libraries._is_pythons, inside)] == [True, True, True, False, False]


def test_what_an_object_holds():
    class Slotted:
        __slots__ = ("one", "two")

    class Both(Slotted):
        pass

    class Text(str):
        pass

    class Array(np.ndarray):
        pass

    value = Both()
    value.one, value.three = 1, 3
    assert slots.slots(value) == ("one", "two") and slots.in_slots(value) == [1, None]
    assert slots.slots(slice(1)) == ("start", "stop", "step") and slots.slots(1) == ()
    opened = [Slotted(), value, SimpleNamespace(), slice(1), type("Plain", (), {})()]
    assert all(map(slots.is_open, opened))
    assert not any(map(slots.is_open, [Text(), np.zeros(1).view(Array), type("List", (list,), {})(), 1, "", object]))


def test_tensors_are_found_and_compared():
    one, two = torch.tensor([1.0, NAN]), torch.tensor([2.0, NAN])
    assert [*watch.tensors_in({"a": [one, (two, 3)], "b": {one}})] == [one, two]
    assert watch.same(one, one.clone()) and not watch.same(one, two) and not watch.same(one, one.double())
    assert not watch.same(one[:1], one[:1].expand(2)) and not watch.same(one, torch.tensor([NAN, 1.0]))
    module = nn.BatchNorm1d(2, device="cpu")
    module.own = [one]
    names = ["own", "weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert [name for name, _ in watch.owned(module, "")] == names
    assert [name for name, _ in watch.owned(module, "a.b")] == [f"a.b.{name}" for name in names]
    held = watch.Held([one, two])
    assert not held.written() and not held.changed()
    one.data.mul_(1)  # by torch, and uncounted
    two.numpy()[0] = 9.0
    assert not held.written() and held.changed()
    one.mul_(1)
    assert held.written()
    with torch.inference_mode():
        assert watch.version_of(torch.zeros(1).add_(1)) == 0


def test_what_torch_is_set_to():
    first = settings.settings()
    for change in (torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu"),
                   lambda: torch.device("meta"), settings.memory_filled):  # fmt: skip
        with change():
            assert settings.settings() != first
        assert settings.settings() == first
    with torch.autocast("cpu", torch.bfloat16):
        second = settings.settings()
    with torch.autocast("cpu", torch.float16):
        assert settings.settings() != second
    assert not settings.moded()
    with torch.device("cpu"):
        assert not settings.moded()
    for mode in (torch.overrides.TorchFunctionMode, torch.utils._python_dispatch.TorchDispatchMode):
        with mode():
            assert settings.moded()


@pytest.mark.parametrize("before", [(False, False), (True, True), (True, False)])
@pytest.mark.parametrize("fills", [False, True])
def test_memory_is_filled_and_settings_are_put_back(before, fills):
    def now():
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    own = now(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    torch.utils.deterministic.fill_uninitialized_memory = fills
    try:
        with settings.memory_filled():
            assert now() == (True, True) and torch.empty(2).isnan().all() and torch.empty(2, dtype=torch.bool).all()
        assert (now(), torch.utils.deterministic.fill_uninitialized_memory) == (before, fills)
    finally:
        torch.use_deterministic_algorithms(own[0][0], warn_only=own[0][1])
        torch.utils.deterministic.fill_uninitialized_memory = own[1]


class Noted:
    """Stands for a network whose parameters move by so much with pixels that are drawn later."""

    def __init__(self, moves=0.0):
        self.spec, self.moves, self.seen, self.backbone = ImageSpec(3, 2, 3, 4), moves, [], None
        self.ordering = network(named("backbone", "pixelcnn", width=6, layers=1), self.spec).ordering

    def example_context(self, count):
        return None

    def __call__(self, x, context):
        self.seen.append(x)
        params = torch.full((1, 6, 2, 3), 2.0, dtype=torch.float64)
        params[0, 0, 0, 0] += self.moves * float(x.sum())
        return params


@pytest.mark.parametrize(("probes", "together", "sizes"), [
    (18, 1, [1] * 18), (18, 4, [4, 4, 4, 4, 2]), (5, 1, [1] * 5), (5, 3, [3, 2]),
])  # fmt: skip
def test_which_sub_pixels_are_swapped(probes, together, sizes):
    net = Noted()
    probe._look(net, probes, 3, together)
    base, *others = net.seen
    assert base.min() == 0 and base.max() == 3 and all(x.min() >= 0 and x.max() <= 3 for x in others)
    swapped = [(x != base).flatten().nonzero()[:, 0] for x in others]
    assert [*map(len, swapped)] == sizes and len(set(torch.cat(swapped).tolist())) == probes
    if together > 1:
        order = [net.ordering.steps.flatten()[each] for each in swapped]
        assert all(one.max() <= other.min() for one, other in itertools.pairwise(order))


def test_what_moves_more_than_rounding_leaks():
    probe._look(Noted(1e-10), 18, 0, 4)
    net = Noted(1e-8)
    with pytest.raises(CausalityError, match=r"colour 0, row 0, column 0\)"):
        probe._look(net, 18, 0, 4)
    assert len(net.seen) > 2, "the pixel that moved it is looked for by itself"


@pytest.mark.parametrize(("spec", "expected"), [
    (ImageSpec(1, 1, 1, 2), (0, 0, 0)), (ImageSpec(3, 5, 4, 2), (2, 2, 2)), (ImageSpec(2, 2, 3, 2), (1, 1, 1)),
])  # fmt: skip
def test_the_pixel_in_the_middle(spec, expected):
    net = SimpleNamespace(spec=spec)
    assert report.chosen_pixel(net, None) == expected
    for place in ((0, 0), 3, (0, 0, 0, 0), (0, 0, 1.0), [0, spec.height, 0]):
        with pytest.raises(UsageError, match="there is no such sub-pixel") as caught:
            report.chosen_pixel(net, place)
        assert caught.value.found == (",".join(map(str, place)) if isinstance(place, tuple | list) else repr(place))
    assert report.chosen_pixel(net, [0, spec.height - 1, spec.width - 1]) == [0, spec.height - 1, spec.width - 1]


def blamed(module, kind="mixing", label="part (Part)"):
    return SimpleNamespace(module=module, kind=kind, label=label)


def test_what_is_advised():
    raster = named("ordering", "raster").build(ImageSpec(1, 3, 4, 2), "joint")
    masked, pointwise, keep = MaskedConv2d(1, 1, 3, "B", raster), Pointwise(1, 1, raster), KeepBefore(raster, 5)
    itself = "which lets a site see itself"
    first = f'put a pixkit.layers.MaskedConv2d with mask_type "A" between the pixels and part (Part), {itself}'
    check = "check the forward of part (Part) against its `ready`, which says that it reads pixels drawn too late"
    after = "or put pixkit.layers.Shift(1, 0) or Shift(0, 1) after it"
    ends = f"give part (Part) rows or columns that end earlier, {after}"
    given = [
        (Shift(0, 0), False, f"give part (Part) a larger shift, {after}"),
        (ShiftedConv2d(1, 1, (0, 0), (0, 0)), True, ends),
        (ShiftedConvTranspose2d(1, 1, (0, 0), (0, 0), (3, 4)), False, ends),
        (masked, True, 'give part (Part) mask_type="A": it reads pixels, and "B" lets a site see itself'),
        (pointwise, True, first), (keep, True, first),
        (masked, False, check),
    ]  # fmt: skip
    for layer, pixels, said in given:
        assert advice.advice(blamed(layer), pixels=pixels, groups=1, hidden=None) == said
    said = advice.advice(blamed(masked), pixels=True, groups=1, hidden=blamed(keep, label="keep (KeepBefore)"))
    assert said.startswith("let only predictions of step 5 and later read the output of keep (KeepBefore)")
    hooked = nn.Sequential(nn.ReLU())
    hooked[0].register_forward_hook(lambda *args: None)
    assert advice.advice(blamed(hooked, "all"), pixels=True, groups=1, hidden=None).startswith("move what the hook of")
    assert advice.advice(blamed(None, "elementwise"), pixels=True, groups=1, hidden=None) == first
    assert "make parts of a multiple of 3 maps" in advice.advice(
        blamed(None, "split"), pixels=False, groups=3, hidden=None
    )
    assert "separately for each colour" in advice.advice(blamed(None, "channels"), pixels=False, groups=3, hidden=None)


@pytest.mark.parametrize(("stride", "instead"), [
    (1, "MaskedConv2d with mask_type {mask}"), (2, "MaskedDownsample, if the stride halves the scale"),
    ((1, 2), "MaskedDownsample, if the stride halves the scale"),
    ((2, 1), "MaskedDownsample, if the stride halves the scale"),
])  # fmt: skip
def test_what_is_put_instead_of_a_convolution(stride, instead):
    convolution = nn.Conv2d(1, 1, 3, stride=stride)
    assert advice._instead("Conv2d", convolution) == instead
    assert (
        advice._instead("roll_", None) == advice._instead("flip", None) == advice._instead("ZeroPad2d", None) == "Shift"
    )
    assert advice._instead("erfinv", None) is None
    names = advice._names(blamed(convolution)), advice._names(blamed(None, label="flip (flip_1)"))
    assert names[0][:2] == ["Conv2d", "_ConvNd"] and names[1] == ["flip"]


def test_names_that_code_may_import():
    places = code.Places(types.FunctionType(compile("import one.two", "f", "exec"), {"__package__": "a.b"}))
    names = [*places._imported()]
    assert names[0] == "one.two" and [*places.names] == ["one.two", "one"]
    assert names[2:] == ["a.b", "a.b.one.two", "a.b.one", "a", "a.one.two", "a.one"]
    outside = code.Places(types.FunctionType(compile("x", "f", "exec"), {}))
    assert [*outside._imported()] == ["x"] and outside.found == [] and outside.values() == [None]
    assert code.inside(types.CellType()) == [] and code.inside(types.CellType(None)) == [None]


def test_what_a_rewritten_network_may_be_off_by():
    one = torch.tensor([1.0, 1000.0, NAN], dtype=torch.float64)
    assert _alike(one, one.clone()) and not _alike(one, one[:2]) and not _alike(one, one.float())
    assert _alike(one, one + 9e-7) and not _alike(one, one + 3e-6), "relative to the largest"
    small = one / 1e6
    assert _alike(small, small + 9e-10) and not _alike(small, small + 2e-9)
    single = one.float()
    assert _alike(single, single * (1 + 9e-5)) and not _alike(single, single * (1 + 2e-4))
    none = torch.zeros(0, dtype=torch.float64)
    assert _alike(none, none) and not _alike(one, one.nan_to_num())


def test_of_operations_that_mix_everything_the_most_telling_is_named():
    def named_of(*kinds, position=-1):
        made = [blamed(nn.Identity() if "(" in label else None, "all", label) for label in kinds]
        made = [blamed(None, "elementwise", "relu") if each.label == "relu" else each for each in made]
        return law._named(made, len(made) + position).label

    assert named_of("roll", "view") == "roll" and named_of("view", "roll", "flatten", "view") == "roll"
    assert named_of("part (Part)", "roll", "view") == "part (Part)" and named_of("view", "flatten") == "flatten"
    assert named_of("roll", "relu", "view") == "view" and named_of("roll", "view", "mean", position=-2) == "roll"
    assert named_of("flip", "roll", "view") == "roll" and named_of("a (A)", "b (B)", "view") == "b (B)"
