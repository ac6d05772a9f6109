"""Overrides: values, keys, what they clear, what they may not do."""

import pytest

from pixkit.recipe import InvalidRecipe, load_recipe
from pixkit.recipe.overrides import saying
from pixkit.recipe.source import Mark, Source


@pytest.fixture
def load(write, recipe_text, registry):
    path = write(recipe_text)
    return lambda *overrides: load_recipe(path, overrides, registry=registry)


@pytest.fixture
def section(load):
    """The recipe, its defaults written out, under overrides, at a key."""

    def _section(key, *overrides):
        plain = load(*overrides).recipe.dump()
        for part in key.split("."):
            plain = plain[part]
        return plain

    return _section


def first_error(load, *overrides):
    with pytest.raises(InvalidRecipe) as caught:
        load(*overrides)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.steps=20", "train.steps", 20),
        ("train.optimizer.lr=1e-4", "train.optimizer.lr", 1e-4),
        ("train.optimizer.betas=[0.5, 0.9]", "train.optimizer.betas", [0.5, 0.9]),
        ("train.clip=null", "train.clip", None),
        ("model.backbone.note=a = b", "model.backbone.note", "a = b"),
        ("model.backbone.note=yes", "model.backbone.note", "yes"),
        ("model.backbone.note='1'", "model.backbone.note", "1"),
        ("model.backbone.gated=true", "model.backbone.gated", True),
        ("train.schedule.warmup=7", "train.schedule.warmup", 7),
        ("train.schedule={type: cosine, warmup: 3}", "train.schedule.warmup", 3),
        ("train.optimizers.critic.type=sgd", "train.optimizers.critic.lr", 1e-2),
        ("model.backbone.mask=full", "model.backbone.mask", {"type": "full"}),
        ("model.backbone.mask.type=full", "model.backbone.mask", {"type": "full"}),
        (
            "model.backbone.masks=[full, {type: hexagon}]",
            "model.backbone.masks",
            [{"type": "full"}, {"type": "acme:hexagon"}],
        ),
    ],
)
def test_values(section, override, key, value):
    assert section(key, override) == value


def test_the_file_stays_where_nothing_is_overridden(load, section):
    assert section("model.backbone.layers", "model.backbone.width=32") == 3
    assert load("seed=1").overrides == ("seed=1",)
    assert "seed" not in load("seed=1").text


def test_a_later_override_wins(section):
    assert section("seed", "seed=1", "seed=2") == 2


def test_a_type_clears_its_siblings(section):
    assert section("model.backbone", "model.backbone.type=other_net") == {"type": "other_net", "depth": 3}
    optimizer = section("train.optimizer", "train.optimizer.type=sgd")
    assert optimizer["lr"] == 1e-2
    assert section("data", "data.source=digits") == {"source": "digits"}


@pytest.mark.parametrize("reverse", [False, True])
def test_a_type_keeps_what_other_overrides_give(section, reverse):
    overrides = ["model.backbone.type=net", "model.backbone.layers=5", "model.backbone.mask.type=full"]
    backbone = section("model.backbone", *(reversed(overrides) if reverse else overrides))
    assert (backbone["layers"], backbone["width"], backbone["mask"]) == (5, 48, {"type": "full"})


def test_a_type_that_need_not_be_given_keeps_what_both_have(section):
    overrides = ("train.schedule={warmup: 5}", "train.schedule.type=cosine")
    assert section("train.schedule.warmup", *overrides) == 5
    loaded = load_recipe("digits-gated", ["train.schedule.type=constant"]).recipe.train.schedule
    assert (loaded.name, loaded.config.warmup) == ("constant", 50), "keys that both have stay"


def test_sections_that_only_have_a_type_key_keep_their_siblings(write, recipe_text, registry):
    path = write(recipe_text + "sample: {count: 9}\n")
    sample = load_recipe(path, ["sample.type=ancestral"], registry=registry).recipe.sample
    assert (sample.type, sample.count) == ("ancestral", 9)


def test_a_bare_name_is_opened(write, recipe_text, registry):
    path = write(recipe_text.replace("{type: softmax, independent: true}", "softmax"))
    head = load_recipe(path, ["model.head.independent=true"], registry=registry).recipe.dump()["model"]["head"]
    assert head == {"type": "softmax", "independent": True}


def test_an_empty_section_is_opened(write, recipe_text, registry):
    path = write(recipe_text + "sample:\n")
    assert load_recipe(path, ["sample.count=4"], registry=registry).recipe.sample.count == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps", "an override has a '='"),
        ("=3", "a key is not well formed"),
        ("train..steps=3", "a key is not well formed"),
        ("train. steps=3", "a key is not well formed"),
        ("train.steps=", "the value is missing"),
        ("train.steps=[1", "not valid YAML: a list is not closed, or a ',' is missing"),
        ("train.steps=!!int 3", "tags are not allowed"),
        ("train.steps=\t3", "tabs are not allowed"),
        ("train.steps=3\n---\n4", "a second document starts here"),
        ("train.steps=\udcff", "a control character"),
        ("name.first=x", "there is no mapping at 'name' to set a key in"),
        ("train.optimizer.betas.0=0.5", None),
        ("train.stps=3", "unknown key"),
        ("train.steps=0", "out of range"),
        ("train.steps=#3", "there is nothing in it"),
    ],
)
def test_errors_name_the_override(load, override, message):
    problem = first_error(load, override)
    assert message in (None, problem.message)
    assert problem.mark.where.startswith('override "')
    assert ":" not in problem.mark.where.replace(override, "")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("lr=1", "did you mean 'train.optimizer.lr'?"),
        ("optimizer.lr=1", "did you mean 'train.optimizer.lr'?"),
        ("optim.lr=1", "did you mean 'train.optimizer.lr'?"),
        ("train.lr=1", "did you mean 'train.optimizer.lr'?"),
        ("model.width=1", "did you mean 'model.backbone.width'?"),
        ("batch_size=1", "did you mean 'train.batch_size' or 'sample.batch_size'?"),
        ("temperatur=1", "did you mean 'sample.temperature'?"),
        ("train.step=1", "did you mean 'steps'?"),
        ("sample.steps=1", "did you mean 'train.steps'?"),
        ("train.optimizer.momentum=1", "rmsprop or sgd, which have this key"),
        ("head.type=softmax", "did you mean 'model.head.type'?"),
        ("learning_rate=1", "did you mean 'train.optimizer.lr'?"),
        ("train.optimizer.learning_rate=1", "did you mean 'lr'?"),
        ("wd=1", "did you mean 'train.optimizer.weight_decay'?"),
        ("LR=1", "did you mean 'train.optimizer.lr'?"),
        ("max_steps=1", "did you mean 'train.steps'?"),
        ("nothing=1", None),
    ],
)
def test_unknown_keys_are_looked_for_at_every_depth(override, hint):
    """Of the components that the recipe names, and of what it leaves out."""
    with pytest.raises(InvalidRecipe) as error:
        load_recipe("digits-pixelcnn", [override])
    (problem,) = error.value.problems
    assert (problem.message, problem.hint) == ("unknown key", hint)


def test_the_message_of_a_wrong_override(load):
    assert str(first_error(load, "train.stps=3")) == "\n".join(
        [
            'override "train.stps=3": train.stps: unknown key',
            "       | train.stps=3",
            "       |       ^",
            "  expected: steps, batch_size, accumulate, recompute, shard, optimizer, optimizers, precision, "
            "memory_format, fuse, capture, lag, schedule, clip, ema, eval_every, "
            "sample_every, checkpoint_every, keep, patience, eval_images, log, init_from",
            "  try: did you mean 'steps'?",
        ]
    )


def test_the_caret_is_under_the_mistake_in_the_value(load):
    problem = first_error(load, "train.optimizer={type: adam, lr: !x 1}")
    _, shown, caret = str(problem).split("\n")[:3]
    assert shown[caret.index("^") :] == "!x 1}"


def test_every_wrong_override_is_reported(load):
    with pytest.raises(InvalidRecipe) as caught:
        load("train", "x=", "seed=3", "=1")
    assert [problem.mark.source.text for problem in caught.value.problems] == ["train", "x=", "=1"]


def test_a_list_cannot_be_entered(write, recipe_text, registry):
    path = write(recipe_text.replace("eps: 1e-6", "betas: [0.9, 0.99]"))
    with pytest.raises(InvalidRecipe) as caught:
        load_recipe(path, ["train.optimizer.betas.0=0.5"], registry=registry)
    assert caught.value.problems[0].found == "a list"


def test_paths_start_from_the_folder_that_they_were_written_in(write, tmp_path, load, registry, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    loaded = load()
    assert loaded.recipe.data.config.path == "images"
    assert loaded.base == tmp_path
    assert load("data.path=pictures").recipe.data.config.path == str(elsewhere / "pictures")
    assert load("data.path=/abs").recipe.data.config.path == "/abs"
    assert load("data.path=~/p").recipe.data.config.path == str(tmp_path / "home" / "p")
    assert load("data.more=[a, b]").recipe.data.config.more == [str(elsewhere / "a"), str(elsewhere / "b")]
    assert load("train.init_from=runs/x").recipe.train.init_from == str(elsewhere / "runs" / "x")


def test_a_locked_recipe_has_absolute_paths_only(tmp_path, load, monkeypatch):
    monkeypatch.chdir("/")
    data = load("data.more=[a]").lock()["data"]
    assert data == {"source": "files", "path": str(tmp_path / "images"), "more": ["/a"], "levels": None}


def test_who_says_a_key_is_the_last_override_of_it_or_of_a_section_that_has_it():
    whole, steps = "train={steps: 9, optimizer: {lr: 1}}", "train.steps=4"
    assert saying([steps, whole], "train.steps") == whole and saying([whole, steps], "train.steps") == steps
    assert saying([whole], "train.optimizer.lr") == whole and saying([whole], "train.log") is None
    assert saying(["train.optimizer=adam", "train.stepsize=3"], "train.optimizer.lr") is None
    assert saying("train={log: null}", "train.log") and saying([], "train.log") is None


def test_what_is_wrong_within_a_value_that_may_be_of_two_kinds_is_all_that_is_wrong(load):
    with pytest.raises(InvalidRecipe) as caught:
        load("train.init_from={run: a, strict: maybe}")
    (problem,) = caught.value.problems
    assert problem.path == ("train", "init_from", "strict") and problem.expected == "true or false"


def test_of_a_long_line_the_part_around_the_mistake_is_shown():
    """A hundred characters, with the caret below the one that is meant."""
    text = "".join(chr(ord("a") + number % 26) for number in range(300))
    source = Source("r.yaml", f"first\n{text}\n")
    for column, start in ((0, 0), (50, 0), (51, 1), (200, 150), (299, 249)):
        line, caret = Mark(source, 1, column).excerpt().split("\n")
        assert line == f"     2 | {text[start : start + 100]}"
        assert caret == " " * 7 + "| " + " " * (column - start) + "^" and line[caret.index("^")] == text[column]
    short = Source("r.yaml", text[:100])
    assert Mark(short, 0, 80).excerpt().startswith(f"     1 | {text[:100]}\n")
