"""Whatever comes in: a recipe, or an error with the right exit code; never anything else."""

import re

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixkit.errors import PixkitError, printable
from pixkit.recipe import InvalidRecipe, Recipe, load_recipe, parse_yaml

SETTINGS = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
BASE = """\
pixkit: 1
name: digits-net
data: {source: files, path: images, more: [a, b]}
model:
  type: autoregressive
  backbone: {type: net, layers: 3, width: 16, kernel: auto, masks: [full, {type: hexagon}], pair: [1, 2]}
  head: {type: softmax, independent: true}
train: {steps: 10, optimizer: {type: adam, lr: 1e-3}, optimizers: {critic: {type: sgd}}, schedule: {type: cosine}}
sample: {type: auto, count: 4}
"""
TOKENS = re.findall(r"[\w.-]+|\s+|[^\w\s]", BASE)
KEYS = sorted({token for token in TOKENS if re.fullmatch(r"[a-z_]+", token)})
BITS = [
    "",
    "null",
    "[]",
    "{}",
    "[",
    "}",
    ":",
    "- ",
    "'",
    '"',
    "&a ",
    "*a",
    "!x ",
    "\t",
    "\n",
    "\n\n  ",
    "\0",
    "é",
    "#",
    "|",
    ">",
]
BITS += [
    "9" * 50,
    "1e999",
    ".nan",
    "-1",
    "0x1f",
    "1.5",
    "yes",
    "<<",
    "?",
    "---\n",
    "%YAML 1.1\n",
    "\\",
    "\ud800",
    "acme:hexagon",
    "logistic",
]

ACCEPTED = [
    "seed=3",
    "seed=4",
    "name=x",
    "data.source=digits",
    "model.head.type=softmax",
    "model.head.independent=false",
]
ACCEPTED += [
    "model.backbone.kernel=3",
    "model.backbone.layers=5",
    "model.backbone.layers=6",
    "model.backbone.gated=true",
]
ACCEPTED += ["train.optimizer.type=sgd", "train.optimizer.lr=1e-4", "train.optimizers.critic.lr=0.5", "train.clip=1.5"]
ACCEPTED += ["train.schedule.type=constant", "train.schedule.warmup=3", "sample.type=ancestral", "sample.count=9"]

raw_bytes = st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(lambda bits: BASE.encode() + bits))
yaml_texts = st.text(st.one_of(st.sampled_from("-:?[]{},#&*!|>'\"%@` \n\tab1.~<"), st.characters()), max_size=120)


@st.composite
def mutated(draw):
    """The recipe with some of its tokens deleted, repeated, exchanged or replaced."""
    tokens = list(TOKENS)
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, len(tokens) - 1))
        tokens[index] = draw(st.one_of(st.sampled_from(BITS), st.sampled_from(TOKENS), st.just(tokens[index] * 2)))
    return "".join(tokens).encode("utf-8", errors="surrogatepass")


@st.composite
def override(draw):
    keys = draw(st.lists(st.one_of(st.sampled_from(KEYS), st.text(max_size=3)), min_size=1, max_size=4))
    value = draw(
        st.one_of(st.sampled_from(BITS), st.sampled_from(KEYS), st.text(max_size=8), st.just("{type: net, layers: 2}"))
    )
    return ".".join(keys) + draw(st.sampled_from(["=", "=", "=", "", "=="])) + value


def settle(path, overrides, registry):
    """Load; anything but a recipe or an orderly refusal is a failure."""
    try:
        loaded = load_recipe(path, overrides, registry=registry)
    except PixkitError as error:
        assert error.exit_code in (2, 4)
        text = str(error)
        assert text.strip()
        assert printable(text, lines=True) == text
        if isinstance(error, InvalidRecipe):
            assert [p.mark.order for p in error.problems] == sorted(p.mark.order for p in error.problems)
        return None
    assert isinstance(loaded.recipe, Recipe)
    return loaded


@SETTINGS
@given(raw_bytes)
@example(b"\xff\xfe" + "a: 1".encode("utf-16-le"))
def test_bytes(write, registry, content):
    settle(write(content), (), registry)


@SETTINGS
@given(yaml_texts)
def test_texts(text):
    try:
        parse_yaml(text, "fuzz")
    except InvalidRecipe as error:
        assert error.problems


@SETTINGS
@given(mutated())
def test_mutated_recipes(write, registry, content):
    settle(write(content), (), registry)


@SETTINGS
@given(st.lists(override(), min_size=1, max_size=3))
def test_overrides(write, registry, overrides):
    settle(write(BASE), overrides, registry)


@SETTINGS
@given(st.lists(st.sampled_from(ACCEPTED), min_size=1, max_size=6))
def test_accepted_overrides_are_in_the_recipe_in_any_order(write, registry, overrides):
    locked = settle(write(BASE), overrides, registry).lock()
    for key, value in dict(text.split("=") for text in overrides).items():
        held = locked
        for part in key.split("."):
            held = held[part]
        assert held == parse_yaml(value, "value").plain()


def test_the_recipe_that_is_mutated_is_valid(write, registry):
    assert settle(write(BASE), (), registry).text == BASE
