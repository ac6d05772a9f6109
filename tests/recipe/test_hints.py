"""Which keys a message asks after, where one is unknown."""

import pytest

from pixkit.errors import RecipeError, nearest
from pixkit.recipe import load_recipe
from pixkit.recipe.messages import unknown_key

OTHERS = [("train", "steps"), ("train", "optimizer", "lr"), ("sample", "steps"), ("steps",), ("a", "b", "steps")]
LONG = "x" * 199


@pytest.mark.parametrize(("tail", "known", "others", "hint"), [
    ("stesp", ["steps"], [], "'steps'"),
    ("max_steps", ["steps", "size"], [], "'steps'"),
    ("lr", ["rate", "learning_rate"], [], "'learning_rate'"),
    ("learning_rate", ["lr"], [], "'lr'"),
    ("w", ["width"], [], None),
    ("width", ["w"], [], None),
    # Of those elsewhere the outermost, and three at most.
    ("steps", [], OTHERS, "'steps' or 'train.steps' or 'sample.steps'"),
    ("steps", ["step"], OTHERS, "'step' or 'steps' or 'train.steps'"),
    ("steps.lr", ["step"], OTHERS, "'step' or 'steps' or 'train.steps'"),
    # What stands in the key is asked after only where nothing is called as the key is.
    ("optim.lr", [], OTHERS, "'train.optimizer.lr'"),
    ("optim.of.lr", [], OTHERS, "'train.optimizer.lr'"),
    ("optim.lr", ["option"], OTHERS, "'option'"),
    ("steps.lr", [], OTHERS, "'steps' or 'train.steps' or 'sample.steps'"),
    ("optimizer.lr", [], OTHERS, "'train.optimizer.lr'"),
    # Elsewhere a name has to be nearer than here.
    ("stepz", [], OTHERS, "'steps' or 'train.steps' or 'sample.steps'"),
    ("stopq", ["steps"], [], "'steps'"),
    ("stopq", [], OTHERS, None),
    ("max_steps", [], [("train", "steps")], "'train.steps'"),
    ("a_b", [], [("x", "b_c"), ("x", "b_a_c")], "'x.b_a_c'"),
    (LONG, [LONG[1:]], [], f"'{LONG[1:]}'"),
    (f"{LONG}x", [LONG], [], None),
])  # fmt: skip
def test_the_keys_that_may_be_meant(tail, known, others, hint):
    asked = None if hint is None else f"did you mean {hint}?"
    assert unknown_key(tail.split("."), known, others).hint == asked


def test_only_text_is_like_a_name():
    assert nearest(3, ["3"]) is None and nearest("adaam", ["adam", "adamw"]) == "did you mean 'adam'?"


@pytest.mark.parametrize("given", ["{type: image, from: a}", "{from: a}", "{type: codes}"])
def test_one_conditioner_of_an_array_is_told_to_stand_in_a_list(given):
    text = f"pixkit: 1\nname: r\ndata: digits\nmodel: {{type: autoregressive, context: {given}, backbone: pixelcnn}}\n"
    with pytest.raises(RecipeError, match=r"model.context: only labels go without a list: write \[\{type: ") as caught:
        load_recipe(text)
    assert str(caught.value).count("model.context") == 1
