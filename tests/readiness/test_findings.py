"""What is found of a network: from its trace, from torch's operations, and from the probe; and what is said of it."""

import copy
import warnings
from types import SimpleNamespace

import pytest
import torch
from test_known_values import LINE, WHOLE

from pixkit.errors import CausalityError
from pixkit.image import ImageSpec
from pixkit.readiness import check, report
from pixkit.readiness.check import Finding, accepted, find
from pixkit.readiness.proof import Line, Proof
from pixkit.readiness.trace import Untraceable
from pixkit.readiness.whole import leak_error, line_of, pixels_seen, tells_more

pytestmark = pytest.mark.quick
FOLLOWED = "  torch's operations, followed: "
BLAMED = f"  line to blame: {LINE}"


def proof_of(verdict, blame=LINE, reasons=("a reason",)):
    return Proof(verdict, blame, (), torch.zeros(1), torch.zeros(1), (), reasons, influence=0.25)


def untraceable():
    return Untraceable("no trace", where="Net", found="a branch", expected="no branch", lines=["  a line"])


def seen():
    return CausalityError("the network leaks", where="Net", found="what moved", lines=["  a swap"])


def law():
    return CausalityError("not proved causal", where="Net", lines=["  a path"])


OPERATION = SimpleNamespace(kind="elementwise", module=None, label="relu (relu)", node=SimpleNamespace(target="relu"))
TRACE = SimpleNamespace(operations={"relu": OPERATION})
LEAK = SimpleNamespace(blamed=OPERATION)


class Found:
    """What `find` makes of a network of so many sub-pixels of which all this is known."""

    def __init__(self, monkeypatch, known, proof, error, dims=40):
        self.asked, self.widths = [], []
        network = SimpleNamespace(spec=SimpleNamespace(dims=dims), check_width=lambda: self.widths.append(1))
        network.backbone = torch.nn.Tanh()
        self.network, self.told = network, []

        def probe(network, **how):
            self.asked.append((how["probes"], how["together"]))
            if error is not None:
                raise error

        def told(trace, leak, *, seen=False):
            self.told.append((trace, leak, seen))
            return CausalityError("not causal", where="Net", lines=["  a path"])

        for name, value in (("_prove", lambda network: known), ("prove_whole", lambda network: proof)):
            monkeypatch.setattr(check, name, value)
        monkeypatch.setattr(check, "probe", probe)
        monkeypatch.setattr(check, "law_error", told)
        self.found = find(network)
        assert self.widths == [1] and self.found.probes == self.asked[0][0] and len(self.asked) == 1


def test_a_proof_by_the_trace_asks_nothing_more(monkeypatch):
    made = Found(monkeypatch, (TRACE, None, None), "not asked for", None)
    assert made.found == Finding(TRACE, None, None, 16, None, None) and made.asked == [(16, 4)]


@pytest.mark.parametrize("known", [(None, None, untraceable()), (TRACE, LEAK, law())])
def test_a_proof_by_operations_stands_for_the_trace(known, monkeypatch):
    proof = proof_of("proved", None, ())
    made = Found(monkeypatch, known, proof, None)
    assert made.found == Finding(None, None, None, 16, None, proof) and made.asked == [(16, 4)]


@pytest.mark.parametrize("verdict", ["unproved", "underflow"])
def test_what_neither_proves_is_probed_one_by_one_and_says_what_is_known(verdict, monkeypatch):
    problem, proof = untraceable(), proof_of(verdict)
    made = Found(monkeypatch, (None, None, problem), proof, None)
    assert made.found == Finding(None, None, problem, 40, None, proof) and made.asked == [(40, 1)]
    assert [*problem.lines] == ["  a line", FOLLOWED + verdict, "  a reason", BLAMED] and problem.hint is None
    problem = law()
    made = Found(monkeypatch, (TRACE, LEAK, problem), proof_of(verdict, None), None)
    assert made.found.problem is problem and made.found.trace is TRACE and made.found.leak is LEAK
    assert [*problem.lines] == ["  a path", FOLLOWED + verdict, "  a reason"]


def test_a_leak_that_operations_show_is_one_though_no_swap_shows_it(monkeypatch):
    problem, proof = untraceable(), proof_of("leaks")
    found = Found(monkeypatch, (None, None, problem), proof, None).found
    assert found.problem is problem and [*problem.lines] == ["  a line"]
    assert str(found.seen) == str(leak_error(SimpleNamespace(backbone=torch.nn.Tanh()), proof))


def test_of_a_leak_that_swaps_show_it_is_told_how_to_learn_more(monkeypatch):
    problem, proof, error = untraceable(), proof_of("unproved"), seen()
    found = Found(monkeypatch, (None, None, problem), proof, error).found
    assert (found.problem, found.seen, found.proof) == (problem, error, proof)
    assert error.hint == f"{check.HIDE}; to learn which layer does not, provide no branch (found: a branch)"
    assert [*error.lines] == ["  a swap", BLAMED] and [*problem.lines] == ["  a line", BLAMED]


def test_of_a_leak_that_the_trace_knows_it_is_told_which_layer(monkeypatch):
    error = seen()
    made = Found(monkeypatch, (TRACE, LEAK, law()), proof_of("unproved"), error)
    assert made.told == [(TRACE, LEAK, True)] and made.found.problem.message == "not causal"
    assert [*made.found.problem.lines] == ["  a path", BLAMED] and [*error.lines] == ["  a swap", BLAMED]
    assert made.found.seen is error and error.hint is None and made.found.trace is TRACE and made.found.leak is LEAK


@pytest.mark.parametrize("traced", [True, False])
def test_a_line_that_operations_show_comes_before_a_guess(traced, monkeypatch):
    guessed = copy.copy(OPERATION)
    guessed.kind, guessed.label = "all", "roll (roll)"
    problem, proof, error = law() if traced else untraceable(), proof_of("leaks"), seen()
    trace, leak = (TRACE, SimpleNamespace(blamed=guessed)) if traced else (None, None)
    made = Found(monkeypatch, (trace, leak, problem), proof, error)
    assert str(made.found.seen) == str(leak_error(made.network, proof, error))
    assert made.found.problem is (made.found.seen if traced else problem)
    assert (made.found.trace, made.found.leak, made.found.proof) == (trace, leak, proof)


def test_what_is_found_is_refused_or_warned_of():
    problem, leaking, error = untraceable(), law(), seen()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert accepted(found := Finding(TRACE, None, None, 16, None)) is found
        with pytest.raises(CausalityError) as caught:
            accepted(Finding(None, None, problem, 16, error))
        assert caught.value is error
        with pytest.raises(CausalityError) as caught:
            accepted(Finding(TRACE, LEAK, leaking, 16, error))
        assert caught.value is leaking and caught.value.__cause__ is error
    for proof in (None, proof_of("unproved")):
        with pytest.warns(RuntimeWarning) as warned:
            accepted(Finding(None, None, problem, 16, None, proof))
        assert str(warned[0].message) == f"the network is not proved causal, though no leak was seen: {problem}"
    with pytest.warns(RuntimeWarning) as warned:
        accepted(Finding(None, None, problem, 16, None, proof_of("underflow")))
    assert str(warned[0].message) == (
        "the network is causal only by underflow; the largest influence found with large inputs and weights is 0.25: "
        f"{problem}"
    )


def operation(kind="all", module=None, label="roll (roll)", target="roll"):
    return SimpleNamespace(kind=kind, module=module, label=label, node=SimpleNamespace(target=target))


def at(text="return x", module="", file="net.py"):
    return proof_of("leaks", Line(file, 7, "forward", text, "flip", module))


PART = operation(module=torch.nn.Tanh(), label="part (Tanh)", target="part")


@pytest.mark.parametrize(("proof", "blamed", "operations", "more"), [
    (None, None, [], False), (proof_of("leaks", None), None, [], False), (proof_of("unproved"), None, [], False),
    (at(file=""), None, [], False), (at(file=check.__file__), None, [], False), (at(), None, [], True),
    (at(), operation("mixing"), [], False), (at(), operation("channels"), [], False),
    (at(module="network.part (Tanh)"), PART, [], False), (at(module="network.part.inner (Tanh)"), PART, [], False),
    (at(module="network.parts (Tanh)"), PART, [], True), (at(module="network (Net)"), PART, [], True),
    (at("x.roll(1)"), operation(), [operation()], False), (at("x.flip(1)"), operation(), [operation()], True),
    (at("x.roll(1)"), operation(), [operation(), operation()], True),
    (at("x.roll(1)"), operation(), [operation(), operation(target="flip")], False),
])  # fmt: skip
def test_when_a_line_tells_more_than_the_trace(proof, blamed, operations, more):
    assert tells_more(proof, blamed, operations) is more


def test_a_leak_is_told_with_its_line_first():
    network = SimpleNamespace(backbone=torch.nn.Tanh())
    error = leak_error(network, WHOLE)
    assert error.message == f"the network leaks; the value that is ready too late comes from {LINE}"
    assert error.where == "Tanh" and error.expected == "dependence on earlier steps only"
    assert error.found == "a prediction depends on a sub-pixel that is drawn at its step or later"
    assert [*error.lines] == [f"  {row}" for row in str(WHOLE).splitlines()[1:]]
    error = leak_error(network, proof_of("leaks", None), seen())
    assert (error.message, error.found) == ("the network leaks", "what moved")
    assert line_of(WHOLE) == [BLAMED]
    assert line_of(None) == line_of(proof_of("leaks", None)) == line_of(at(file="")) == []


@pytest.mark.parametrize(("seen_", "problem", "proof", "verdict"), [
    (None, None, None, "proved"), (None, untraceable(), None, "unproved"), (seen(), None, None, "leaks"),
    (None, untraceable(), proof_of("underflow"), "underflow"), (None, law(), proof_of("unproved"), "unproved"),
    (seen(), law(), proof_of("underflow"), "leaks"),
])  # fmt: skip
def test_the_verdict_of_a_report(seen_, problem, proof, verdict):
    assert report._verdict(Finding(None, None, problem, 16, seen_, proof)) == verdict


class Seeing:
    """A proof of an image in which every prediction sees everything."""

    verdict, sides = "proved", (2, 2)

    def receptive_field(self, index):
        self.asked = index
        return torch.ones(1, 4, *self.sides, dtype=torch.bool)


def network_of(height=2, width=2):
    steps = torch.arange(4 * height * width).view(4, height, width)
    ordering = SimpleNamespace(steps=steps, groups=2, group_steps=steps[2:])
    return SimpleNamespace(ordering=ordering, spec=ImageSpec(4, height, width, 2), backbone=torch.nn.Tanh())


def test_what_a_prediction_sees_by_a_proof():
    net, proof = network_of(), Seeing()
    assert pixels_seen(net, proof, 1, 0, 1).shape == (4, 2, 2)
    assert proof.asked == (0, slice(1, None, 2), 0, 1)
    found = Finding(None, None, None, 16, None, proof)
    made = report.report_of(net, found, (3, 0, 1))
    assert proof.asked == (0, slice(1, None, 2), 0, 1) and made.step == 13
    assert made.sight.flatten().tolist() == [1] * 13 + [4] * 3
    assert repr(made) == "<Report of Tanh: proved; (3, 0, 1) sees 13 sub-pixels>"
    proof.sides = 8, 8
    assert report._sight(network_of(8, 8), found, (3, 0, 1)).shape == (4, 8, 8), "256 sub-pixels"
    assert report._sight(network_of(8, 9), found, (3, 0, 1)) is None
    for other in (None, proof_of("unproved")):
        assert report._sight(net, Finding(None, None, None, 16, None, other), (3, 0, 1)) is None
    bare = report.report_of(net, Finding(None, None, untraceable(), 16, None), (3, 0, 1))
    assert repr(bare) == "<Report of Tanh: unproved>"


def test_which_problem_a_report_gives():
    net, trouble, error, leaking = network_of(), untraceable(), seen(), law()
    for found, expected in (
        (Finding(None, None, trouble, 16, None), (trouble, None)),
        (Finding(None, None, trouble, 16, error), (error, "what moved")),
        (Finding(None, None, leaking, 16, error), (leaking, "what moved")),
        (Finding(None, None, None, 16, None), (None, None)),
    ):
        made = report.report_of(net, found, (0, 0, 0))
        assert (made.problem, made.seen_leak) == expected
