"""`pixkit bench train` and `pixkit bench scaling`: their rows, and that these are consistent; never how fast."""

import json

import pytest

from pixkit.training import rate, timed


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A step a turn, and products that take no time."""
    monkeypatch.setattr(timed, "TURN", 0.0)
    monkeypatch.setattr(rate, "SECONDS", 0.0)
    monkeypatch.setattr(rate, "SIDES", {"cpu": 8})


def test_each_option_is_switched_and_compared_with_the_recipe(pixkit, workplace):
    options = [word for name in ("precision", "recompute", "accumulate") for word in ("--option", name)]
    outcome = pixkit("bench", "train", "tiny.yaml", *options, "--rounds", "1", "--json", "-q", "--shape", "1,4,4,17")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    base, *others = found["rows"]
    names = ["precision=bf16", "recompute=true", "batch_size=2 accumulate=4"]
    assert base["option"] == "as the recipe says" and [row["option"] for row in others] == names
    assert found["images"] == 8 and found["parameters"] > 0 and {"device", "threads"} <= set(found["machine"])
    for row in found["rows"]:
        assert row["images_per_second"] == pytest.approx(8 / row["seconds"])
        assert row["ratio"] == pytest.approx(row["images_per_second"] / base["images_per_second"])
        products = found["products"]["bf16" if "bf16" in row["option"] else "fp32"]
        assert row["product_share"] == pytest.approx(found["operations"] * row["images_per_second"] / products)
    assert base["ratio"] == 1 and base["memory"] > others[1]["memory"] > 0
    single = "model.backbone.layers=0", "model.backbone.output_layers=0"  # without blocks, which are fused
    text = pixkit("bench", "train", "tiny.yaml", *single, "--option", "fuse", "--rounds", "1", "-q").out
    assert "OF PRODUCTS" in text and "fuse=on" in text and "no layer of the model supports it" in text


def test_figures_are_fitted_over_the_values_of_each_axis(pixkit, workplace):
    over = ["--over", "side=4,8", "--over", "depth", "--over", "model.backbone.first_kernel=3,4"]
    outcome = pixkit("bench", "scaling", "tiny.yaml", *over, "--rounds", "1", "--json", "-q")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    points = [(point["axis"], point["value"]) for point in found["points"]]
    kernel = "model.backbone.first_kernel"
    assert points == [("side", 4), ("side", 8), ("depth", 1), ("depth", 2), (kernel, 3), (kernel, 4)]
    (note,) = (point["note"] for point in found["points"] if point["note"])
    assert "model.backbone.first_kernel" in note
    fits = {(fit["axis"], fit["figure"]): fit["exponent"] for fit in found["fits"]}
    assert fits["side", "operations"] == pytest.approx(2) and fits["depth", "operations"] > 0
    assert not any(axis == kernel for axis, _ in fits)
    assert "EXPONENT" in pixkit("bench", "scaling", "tiny.yaml", "--over", "batch=2,4", "--rounds", "1", "-q").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "no-such-recipe"], "no-such-recipe"),
        (["train", "tiny.yaml", "--option", "colour"], "colour"),
        (["scaling", "tiny.yaml", "--over", "wideness=3"], "width, depth, side, batch, ranks, or a recipe's key"),
        (["scaling", "tiny.yaml", "--over", "width=3,x"], "AXIS=N,N,N"),
        (["scaling", "tiny.yaml", "--over", "width=0"], "1 or more"),
        (["scaling", "tiny.yaml", "--over", "ranks=2"], "torchrun"),
        (["scaling", "tiny.yaml", "--over", "model.backbone.norm"], "a whole number"),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(pixkit, workplace, arguments, said):
    outcome = pixkit("bench", *arguments, "-q")
    assert outcome.code == 2 and said in outcome.err
