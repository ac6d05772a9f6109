"""Training on images that a program has."""

import numpy as np
import pytest
import torch

import pixkit
from pixkit.data.memory import given_images
from pixkit.runs.load import load_data
from pixkit.runs.places import step_name
from pixkit.training import Reporter

RECIPE = """\
pixkit: 1
name: plain
data: {source: digits, validation: 0.02, limit_train: 48, limit_test: 16, levels: 4}
model:
  type: autoregressive
  context: {type: label, size: 4, dropout: 0.2}
  backbone: {type: gated_pixelcnn, width: 4, layers: 1}
train: {steps: 3, batch_size: 8, eval_every: 2, checkpoint_every: 2}
sample: {count: 2}
"""
SECTION = {"type": "autoregressive", "backbone": {"type": "pixelcnn", "width": 4, "layers": 0, "output_layers": 1}}
SHORT = {"model": SECTION, "train": {"steps": 2, "batch_size": 4, "ema": 0}, "sample": {"count": 1}}


@pytest.fixture(scope="module")
def digits():
    source = pixkit.component("data", "digits").build(None)
    return source.load()


def test_training_on_images_given_is_training_on_those_of_the_recipe(digits, tmp_path):
    built = pixkit.build(RECIPE, tmp_path / "built")
    rows, checkpoints = [], []

    class Listener(Reporter):
        def checkpoint(self, path):
            checkpoints.append(path.name)

    told = [lambda step, metrics: rows.append((step, metrics["event"])), Listener()]
    train, test = digits.train, digits.test
    result = pixkit.train(RECIPE, tmp_path / "trained", images=train.pixels, labels=train.labels.numpy(),
                          callbacks=told, test_images=test.pixels.numpy(), test_labels=test.labels)  # fmt: skip
    one, other = built.load().state_dict(), result.load().state_dict()
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
    assert [row.nats for row in built.scores] == [row.nats for row in result.scores]
    assert rows == [(1, "train"), (2, "train"), (2, "eval"), (3, "train"), (3, "eval")]
    assert checkpoints == [step_name(2), step_name(3)]
    hashes = [run.settings()["lock"]["data"]["hashes"] for run in (built.run, result.run)]
    assert hashes[0] == hashes[1]
    assert result.run.recipe().data.dump()["levels"] == 4

    with pytest.raises(pixkit.DataError, match="passed by a program"):
        load_data(result.run)
    given = {"images": train.pixels.tolist(), "labels": train.labels, "overrides": ["train.steps=4"]}
    with pytest.raises(pixkit.RunError, match="the images are not those that this run was started with"):
        pixkit.train(RECIPE, tmp_path / "trained", resume=True, **given)
    tests = {"test_images": test.pixels, "test_labels": test.labels}
    again = pixkit.train(tmp_path / "trained", resume=True, **given, **tests)  # the run's own recipe and folder
    assert again.run.path == result.run.path and again.run.checkpoint("last").name == step_name(4)


def test_what_a_callback_raises_ends_training_with_the_steps_saved(digits, tmp_path):
    def stop(step, metrics):
        if step == 2:
            raise ArithmeticError("enough")

    recipe = {**SHORT, "train": {"steps": 9, "batch_size": 4}}
    with pytest.raises(ArithmeticError, match="enough"):
        pixkit.train(recipe, tmp_path / "run", images=digits.train.pixels[:20], levels=17, callbacks=stop)
    assert (tmp_path / "run" / "last").exists()
    assert pixkit.load(tmp_path / "run", checkpoint="last").spec == pixkit.ImageSpec(1, 8, 8, 17)


def test_whatever_torch_is_set_to_a_run_is_trained_and_loaded_as_ever(tmp_path):
    x = torch.randint(0, 5, (12, 1, 5, 6))
    states = []
    for number, mode in enumerate((torch.enable_grad(), torch.no_grad(), torch.inference_mode())):
        with mode:
            run = pixkit.train(SHORT, tmp_path / str(number), images=x, levels=5).run
            model = pixkit.load(run, trainable=True)
        (-model.log_prob(x).mean()).backward()
        states.append(model.state_dict())
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        states.append(pixkit.load(run).state_dict())
    finally:
        torch.set_default_dtype(before)
    assert [list(state) for state in states] == [list(states[0])] * 4
    for state in states:
        assert all(torch.equal(value, states[0][name]) and value.dtype == before for name, value in state.items())


@pytest.mark.parametrize("callbacks", [5, None, [print, None], Reporter, [Reporter]])
def test_what_is_no_callback_is_refused_before_training(callbacks, tmp_path):
    with pytest.raises(pixkit.UsageError, match="not a callback"):
        pixkit.train(SHORT, tmp_path / "run", images=torch.zeros(12, 5, 4), callbacks=callbacks)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("images", "labels", "options", "text"), [
    (np.zeros((6, 1, 5, 6)) + 0.5, None, {}, r"not levels[\s\S]*round\(\) are levels"),
    (np.full((6, 1, 5, 6), 300), None, {}, r"300[\s\S]*`levels` is"),
    (np.zeros((6, 4)), None, {}, r"images[\s\S]*\[N, H, W, C\]"),
    (np.zeros((6, 3, 4, 3)), None, {}, "two ways"),
    (np.zeros((6, 5, 6)) + 1j, None, {}, r"images: not an array of numbers\n  found: complex128"),
    (np.zeros((6, 5, 6), "M8[s]"), None, {}, r"images: not an array of numbers\n  found: datetime64\[s\]"),
    (np.full((6, 5, 6), "1"), None, {}, r"images: not an array of numbers\n  found: <U1"),
    ([[[1]], [[1, 2]]], None, {}, r"images: this cannot be made an array\n  found: list: setting an array"),
    (torch.eye(6).to_sparse(), None, {}, r"images: this cannot be made an array\n  found: torch.float32, torch.sp"),
    (np.zeros((2, 5, 6)), [[1], [1, 2]], {}, "labels: this cannot be made an array"),
    (np.zeros((6, 1, 5, 6)), None, {"layout": "CHW"}, r"no such layout[\s\S]*auto, NHWC, NCHW"),
    (np.zeros((6, 1, 5, 6)), None, {"levels": "5"}, "not a number of levels"),
    (np.zeros((6, 1, 5, 6)), None, {"levels": 5.5}, "not a number of levels"),
    (np.zeros((6, 1, 5, 6)), None, {"levels": True}, "not a number of levels"),
    (np.zeros((6, 1, 5, 6)), np.zeros(5, int), {}, "labels must be a whole number"),
    (np.zeros((6, 1, 5, 6)), np.zeros(6), {}, "labels must be a whole number"),
    (np.zeros((6, 1, 5, 6)), np.zeros(6, int), {"test_images": np.zeros((2, 1, 5, 6))}, "for one of"),
])  # fmt: skip
def test_images_that_cannot_be_meant_are_refused(images, labels, options, text):
    with pytest.raises(pixkit.DataError, match=text) as caught:
        given_images(images, labels, **{"levels": 256, **options})
    assert "data." not in str(caught.value)


def test_images_come_in_any_shape_and_type_and_are_copied():
    x = np.arange(2 * 6 * 5).reshape(2, 6, 5) % 7
    for one in (
        x,
        x[:, None],
        x[..., None],
        torch.tensor(x),
        torch.tensor(x).bfloat16(),
        x.astype(np.float32),
        x.astype(np.uint8),
    ):
        kept = given_images(one, levels=7).train
        assert (kept.pixels.dtype, tuple(kept.pixels.shape)) == (torch.uint8, (2, 1, 6, 5))
        assert (kept.pixels[:, 0].numpy() == x).all()
    changed = x.astype(np.uint8)
    kept = given_images(changed, levels=7).train.pixels
    changed[:] = 0
    assert int(kept.max()) == 6
    labelled = given_images(x, [4, 2], levels=7)
    assert (labelled.train.labels.tolist(), labelled.class_names, len(labelled.test)) == ([1, 0], ("2", "4"), 0)


def test_labels_with_gaps_are_numbered_with_a_warning_and_a_run_is_scored_on_levels_given(digits, tmp_path):
    few = digits.train.labels.unique()[:4]
    chosen = torch.isin(digits.train.labels, few)
    x, y = digits.train.pixels[chosen][:24], digits.train.labels[chosen][:24] * 2 + 1
    with pytest.warns(UserWarning, match="the labels are 1, 3, 5, 7, which the model numbers from 0"):
        run = pixkit.train(RECIPE, tmp_path / "run", images=x, labels=y, levels=17, overrides=["data.levels=17"]).run
    model, numbers = pixkit.load(run), (y - 1) // 2
    assert model.class_names == ("1", "3", "5", "7")
    expected = -float(model.log_prob(x, numbers).double().mean())
    for given, labels, split in ((x, numbers, "test"), (x.tolist(), numbers.numpy(), "train")):
        found = pixkit.evaluate(run, given, split, labels=labels)
        assert (found.nats, found.images, found.split) == (pytest.approx(expected, rel=1e-6), 24, split)
    assert pixkit.evaluate(model, x, labels=numbers).nats == pytest.approx(expected, rel=1e-6)
    for options, text in (
        ({"labels": y}, r"no such classes[\s\S]*1..7[\s\S]*numbers of 1, 3, 5, 7"),
        ({"labels": numbers - 1}, "no such classes"),
        ({"labels": numbers[:3]}, "a whole number for each image"),
        ({}, "given their labels, and these have none"),
    ):
        with pytest.raises(pixkit.DataError, match=text):
            pixkit.evaluate(model, x, **options)
    with pytest.raises(pixkit.DataError, match="levels must be integers"):
        pixkit.evaluate(model, x / 16, labels=numbers)
    with pytest.raises(pixkit.UsageError, match="a Dataset has its own"):
        pixkit.evaluate(model, pixkit.data.prepare(pixkit.component("data", "digits"), tmp_path), labels=y)
    plain = pixkit.build_model(SECTION, model.spec)
    assert pixkit.evaluate(plain, x).nats == pytest.approx(-float(plain.eval().log_prob(x).detach().mean()), rel=1e-6)
    with pytest.raises(pixkit.DataError, match="the model has no classes"):
        pixkit.evaluate(plain, x, labels=numbers)


def test_booleans_have_two_levels_and_labels_need_images(tmp_path):
    result = pixkit.train(SHORT, tmp_path / "run", images=torch.rand(12, 5, 4) < 0.5)
    assert result.run.spec == pixkit.ImageSpec(1, 5, 4, 2)
    assert {row.split for row in result.scores} == {"train", "validation"}
    with pytest.raises(pixkit.UsageError, match="need images"):
        pixkit.train(SHORT, tmp_path / "other", labels=[1, 2])
