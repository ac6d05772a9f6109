"""`prove` on networks in plain torch: verdicts, the line to blame, what it says of itself, and what it refuses."""

import contextlib
import json
import math

import pytest
import torch
import torch.nn.functional as F
from plain_causal import CAUSAL, TOKENS, WIDTH, Case, delayed
from plain_causal_more import ORDER
from plain_leaks import LEAKS, leaking_line
from plain_leaks_called import StateOfTwoRounds
from plain_leaks_in_time import NotPutBack
from plain_leaks_more import Unet
from torch import nn
from torch._dynamo import eval_frame

from pixkit.errors import UsageError
from pixkit.readiness import prove

STEPS = torch.arange(TOKENS)[None, :, None].expand(1, -1, WIDTH)
X = torch.linspace(-1, 1, TOKENS * WIDTH).view(STEPS.shape)


def of(forward, *, strict=False, x=X, steps=STEPS, **parts):
    """The proof of a module that has some parts and this forward."""

    class Some(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            for name, part in parts.items():
                if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                    self.register_buffer(name, part)
                else:
                    setattr(self, name, part)

        def forward(self, x):
            return forward(self, x)

    return prove(Some().eval(), x, steps, strict=strict)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_network_is_proved(name):
    case = CAUSAL[name]
    proof = prove(*case.asked(), **case.options)
    assert proof.verdict == "proved", proof
    assert proof.blame is None and not proof.path and bool((proof.readiness <= proof.allowed).all())


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_shown_and_its_line_is_blamed(name):
    case = LEAKS[name]
    proof = prove(*case.asked(), **case.options)
    assert proof.verdict == "leaks", proof
    assert (proof.blame.file, proof.blame.line) == (
        __import__(case.module.__module__).__file__,
        leaking_line(case.module),
    )
    changed, moved = proof.evidence.changed, proof.evidence.moved
    assert case.steps[changed] + 1 > proof.allowed[moved], "what was changed may not be seen there"


def test_the_path_names_the_line_that_was_run_where_its_caller_is_blamed():
    proof = prove(*LEAKS[StateOfTwoRounds.__name__].asked(), strict=False)
    assert proof.blame.operation in {step.line.operation for step in proof.path if step.line is not None}
    assert proof.blame.text == "h = self.cell(each, h)" and proof.blame.function == "StateOfTwoRounds.forward"
    assert {step.line.function for step in proof.path if step.line} >= {"StateOfTwoRounds.cell"}


def test_a_threshold_that_only_large_inputs_pass_is_seen():
    proof = of(lambda self, x: torch.where(x[:, -1:, :1] > 60, 2 * x, x))
    assert proof.verdict == "leaks" and proof.evidence.changed[1] == TOKENS - 1


@pytest.mark.parametrize("name", ["Gpt", "Made", "PixelCnn", "Permuted"])
def test_a_batch_may_have_other_steps_for_each_of_its_elements(name):
    case = CAUSAL[name]
    module, x, steps = case.asked()
    out_steps = case.options.get("out_steps", steps).clone()
    late = prove(module, x, steps + 5, **{**case.options, "out_steps": out_steps + 5})
    early = prove(module, x, steps, **{**case.options, "out_steps": (out_steps - 1).clamp(min=0)})
    assert (late.verdict, early.verdict) == ("proved", "leaks")


@pytest.mark.parametrize(
    "hidden",
    [
        lambda scores, later: scores + later * -1e4,
        lambda scores, later: scores.masked_fill(later, -1e9),
        lambda scores, later: torch.where(later, torch.finfo(scores.dtype).min, scores),
    ],
)
def test_a_large_finite_mask_is_an_underflow(hidden):
    def forward(self, x):
        scores = hidden(x @ x.mT, self.later)
        return torch.softmax(scores, -1) @ x

    proof = of(forward, later=torch.ones(TOKENS, TOKENS).triu(1).bool())
    assert proof.verdict == "underflow", proof
    assert proof.blame.text.startswith(("lambda scores, later", "return torch", "scores = "))
    assert proof.influence is not None and proof.evidence is None
    assert "is finite" in str(proof)


def test_inputs_that_overcome_a_finite_mask_are_found():
    def forward(self, x):
        return torch.softmax(x @ x.mT - 100 * self.later, -1) @ x

    proof = of(forward, later=torch.ones(TOKENS, TOKENS).triu(1))
    assert proof.verdict == "underflow" and proof.influence > 0.1, proof


@pytest.mark.parametrize("start", [torch.zeros(TOKENS, TOKENS), torch.eye(TOKENS)])
def test_parameters_that_happen_to_hide_the_future_hide_nothing(start):
    proof = of(lambda self, x: self.weight @ x, weight=nn.Parameter(start))
    assert proof.verdict == "leaks", proof
    assert "drawn at random" in proof.evidence.how


def test_a_parameter_that_is_named_is_a_constant():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(TOKENS, TOKENS).tril(), requires_grad=False)

        def forward(self, x):
            return self.weight @ x

    module = Mixed()
    assert prove(module, X, STEPS, strict=False).verdict == "leaks"
    proof = prove(module, X, STEPS, strict=False, fixed=["weight"])
    assert proof.verdict == "proved"
    (relied,) = proof.relies_on
    assert (relied.name, relied.shape, len(relied.sha256)) == ("weight", (TOKENS, TOKENS), 64)
    with pytest.raises(UsageError, match="no such parameter"):
        prove(module, X, STEPS, fixed=["wieght"])


def test_a_leak_that_nobody_has_seen_is_not_proved_and_its_line_is_told():
    def forward(self, x):
        secret = (x[:, -1:] == 12345.678).to(x.dtype)
        return x + secret

    proof = of(forward)
    assert proof.verdict == "unproved"
    assert proof.blame.text == "return x + secret"
    assert any("nothing moved" in reason for reason in proof.reasons)


def test_values_that_are_taken_to_python_are_told_with_their_line():
    def forward(self, x):
        if float(x.sum()) > 1e6:
            return x * 2
        return x * 3

    proof = of(forward)
    assert proof.verdict == "unproved"
    assert proof.blame.text == "if float(x.sum()) > 1e6:"
    assert any("passed to Python" in reason for reason in proof.reasons)


TABLE = torch.arange(TOKENS)
LATER = torch.ones(TOKENS, TOKENS).triu(1).bool()


def caught(self, x):
    try:
        return x + TABLE[(9 * x[:, -1, 0]).long()]
    except IndexError:
        return x


def suppressed(self, x):
    with contextlib.suppress(RuntimeError):
        torch.linalg.cholesky(x[0, :WIDTH, :WIDTH])
    return x


@pytest.mark.parametrize("forward", [caught, suppressed])
def test_an_error_that_depends_on_values_and_is_caught_says_something_of_them(forward):
    proof = of(forward)
    assert proof.verdict != "proved" and any("passed to Python" in reason for reason in proof.reasons)


def test_an_index_of_constants_may_raise_errors_where_it_likes():
    def forward(self, x):
        try:
            return x[:, TABLE.clamp(max=0)]
        except IndexError:
            return x

    assert of(forward).verdict == "proved"


def test_constants_that_are_no_buffers_are_listed_where_they_are_held():
    bias = torch.zeros(TOKENS, TOKENS).masked_fill(LATER, -math.inf)

    def forward(self, x):
        scores = (x @ x.mT).masked_fill(LATER, -math.inf).softmax(-1) @ x
        return (x @ x.mT + bias).softmax(-1) @ (scores @ self.tables["low"])

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = {"low": torch.ones(WIDTH, WIDTH)}

        def forward(self, x):
            return (x @ x.mT + bias).softmax(-1) @ x.masked_fill(self.tables["low"][0] == 0, 0.0) + forward(self, x)

    proof = prove(Net(), X, STEPS, strict=False)
    names = [each.name for each in proof.relies_on]
    assert proof.verdict == "proved" and len(set(names)) == len(names)
    assert {name.partition(" of ")[0] for name in names} >= {"LATER", "bias"}
    assert "LATER of test_proving.py" in names and all(len(each.sha256) == 64 for each in proof.relies_on)


@pytest.mark.parametrize("place", [0, 1])
def test_derivatives_along_a_direction_are_followed(place):
    proof = of(lambda self, x: torch.func.jvp(lambda z: torch.tanh(z).cumsum(1), (x,), (x.flip(2),))[place])
    assert proof.verdict == "proved" and proof.readiness[0, :, 0].tolist() == list(range(1, TOKENS + 1))


def test_random_numbers_are_told_and_training_mode_with_them():
    drop = nn.Dropout(0.5)
    assert prove(drop.eval(), X, STEPS, strict=False).verdict == "proved"
    proof = prove(drop.train(), X, STEPS, strict=False)
    assert proof.verdict == "unproved"
    assert any("not deterministic" in reason for reason in proof.reasons)
    assert any("training mode" in reason for reason in proof.reasons)


def test_a_network_that_hides_nothing_is_told_so():
    proof = of(lambda self, x: torch.tanh(x), strict=True)
    assert proof.verdict == "leaks" and "every output sees its own input" in str(proof)


def test_a_module_that_gives_its_input_as_it_is_leaks_without_a_line():
    proof = prove(nn.Identity(), X, STEPS)
    assert proof.verdict == "leaks" and proof.blame is None and proof.path == ()


def test_the_receptive_field_of_a_dilated_convolution():
    case = CAUSAL["WaveNet"]
    proof = prove(*case.asked(), **case.options)
    field = proof.receptive_field((0, 2, 7))
    assert field.shape == case.x.shape
    assert field.any(1)[0].tolist() == [False, False, True, True, True, True, True, False]
    blind = proof.blind_spot((0, 2, 7))
    assert blind.any(1)[0].tolist() == [True, True, *[False] * 6]
    with pytest.raises(UsageError, match="no such element"):
        proof.receptive_field((0, 2, 8))


def test_a_proof_is_plain_data_and_can_be_read():
    case = LEAKS["NoMask"]
    proof = prove(*case.asked(), **case.options)
    plain = json.loads(json.dumps(proof.dump()))
    assert plain["verdict"] == "leaks" and plain["blame"]["line"] == leaking_line(case.module)
    assert plain["path"][0]["line"] is None and plain["path"][-1]["index"] == list(proof.path[-1].index)
    assert repr(proof).startswith("<Proof: leaks, ") and "plain_leaks.py" in repr(proof)
    text = str(proof)
    assert "h = h + F.scaled_dot_product_attention(q, k, v)" in text and "<-- blamed" in text and "seen: with" in text


def test_the_module_is_left_as_it_is():
    case = LEAKS["BatchStatistics"]
    module, x, steps = case.asked()
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    prove(module, x, steps, **case.options)
    assert module.training and torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out_steps": None}, r"out_steps=steps\[\.\.\., None\]"),
        ({"out_steps": torch.zeros(1, 3, dtype=torch.int64)}, "does not fit the output"),
        ({"steps": torch.zeros(2, TOKENS)}, "not integers"),
        ({"steps": torch.full((2, TOKENS), -1)}, "negative"),
        ({"steps": torch.zeros(3, 5, dtype=torch.int64)}, "does not fit the input"),
        ({"x": [1, 2]}, "not a tensor"),
        ({"module": 3}, "cannot be called"),
        ({"module": nn.LazyLinear(2)}, r"uninitialized: weight, bias[\s\S]*call it once first"),
        ({"module": nn.Sequential(nn.LazyBatchNorm1d(affine=False))}, r"uninitialized: 0\.running_mean, 0\."),
        ({"output": "logits"}, "has no tensor 'logits'"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(change, words):
    case = CAUSAL["Gpt"]
    module, x, steps = case.asked()
    given = {"module": module, "x": x, "steps": steps, **case.options, **change}
    with pytest.raises(UsageError, match=words):
        prove(given.pop("module"), given.pop("x"), given.pop("steps"), **given)


def test_of_several_outputs_one_is_chosen():
    class Two(nn.Module):
        def forward(self, x):
            return {"count": 2, "sound": delayed(x), "late": x.flip(1)}

    assert prove(Two(), X, STEPS).verdict == "proved"
    assert prove(Two(), X, STEPS, output="late").verdict == "leaks"
    with pytest.raises(UsageError, match="output=KEY"):
        prove(Two(), X, STEPS, output="count")


def test_a_buffer_may_count_calls():
    assert of(lambda self, x: (self.calls.add_(1), delayed(x))[1], calls=torch.zeros(())).verdict == "proved"
    late = of(lambda self, x: delayed(x) if self.calls.add_(1) < 99 else x.flip(1), calls=torch.zeros(()))
    assert late.verdict == "unproved"


def test_nothing_is_compiled_to_be_proved():
    stances = []
    of(lambda self, x: (stances.append(eval_frame._stance.stance), delayed(x))[1])
    assert set(stances) == {"force_eager"}


def test_an_own_order_and_a_coarser_grid_are_followed():
    assert sorted(ORDER.tolist()) == list(range(TOKENS)) and all(
        isinstance(LEAKS[each.__name__], Case) for each in (Unet, NotPutBack)
    )
    proof = of(lambda self, x: F.pad(x.unflatten(1, (-1, 2)).mean(2), (0, 0, 1, 0))[:, :-1].repeat_interleave(2, 1))
    assert proof.verdict == "proved" and proof.readiness[0, :, 0].tolist() == [0, 0, 2, 2, 4, 4, 6, 6]
    assert math.isclose(float(proof.readiness.float().mean()), 3.0)
