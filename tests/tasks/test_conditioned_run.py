"""Models with a list of conditions, from their recipe on: trained, resumed, scored, drawn and completed."""

import json
import os
import pathlib
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import pixkit
from pixkit.cli.main import main
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import SOURCES, prepare
from pixkit.errors import DataError, UsageError
from pixkit.figures import save_images
from pixkit.runs.load import load_data, warn_of_other_data
from pixkit.tasks import inputs
from pixkit.tasks.beside import Conditioning
from pixkit.tasks.compress import codec_of
from pixkit.tasks.inputs import OwnData
from pixkit.tasks.scoring.stream import Stream

RECIPE = {
    "pixkit": 1,
    "name": "conditioned",
    "data": {"source": "digits", "limit_train": 32, "limit_test": 6},
    "model": {
        "type": "autoregressive",
        "context": [
            {"type": "image", "from": "small", "size": 3, "layers": 1},
            {"type": "vector", "from": "tilt", "size": 2, "dropout": 0.5},
            {"type": "label", "size": 2, "dropout": 0.5},
        ],
        "backbone": {"type": "pixelcnn", "width": 6, "layers": 1, "output_layers": 1},
    },
    "train": {"steps": 2, "batch_size": 8, "eval_every": 2, "checkpoint_every": 1, "keep": 3},
    "sample": {"count": 3},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Digits, each with a picture of 4x4 and two numbers beside it."""
    folder = tmp_path_factory.mktemp("conditions")
    np.save(folder / "tilt.npy", np.stack([np.arange(1797) / 1797, np.ones(1797)], 1))
    context = {"small": {"shrink": 2, "by": "every"}, "tilt": str(folder / "tilt.npy")}
    return RECIPE | {"data": RECIPE["data"] | {"context": context}}


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "run"
    pixkit.build(recipe, out=folder)
    return folder


@pytest.fixture(scope="module")
def batch(run):
    return load_data(run).batch("test", torch.arange(6))


@pytest.fixture(scope="module")
def by_name(batch):
    return {"small": batch.x[:, :, ::2, ::2], "tilt": batch.context[:, -2:], "label": batch.labels}


def test_a_run_has_its_scores_and_samples_and_is_resumed_bit_for_bit(recipe, run, tmp_path):
    assert (run / "samples" / "best.png").is_file() and pixkit.evaluate(run).images == 6
    pixkit.build(recipe, out=tmp_path / "half", overrides=["train.steps=1"])
    pixkit.build(tmp_path / "half", overrides=["train.steps=2"], resume=True)
    one, other = (
        pixkit.load(each, checkpoint="step-2", weights="raw").state_dict() for each in (run, tmp_path / "half")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_images_are_scored_given_their_own(run, batch, by_name):
    model = pixkit.load(run)
    nats = -model.log_prob(batch.x, by_name)
    assert model.conditions == ("small", "tilt", "label") and model.guidable and model.labelled
    assert torch.equal(model.score(batch), nats)
    stream = Stream(["test:0", "test:1:3"], model, pixkit.Run.open(run), None)
    assert torch.equal(torch.stack([each.beside for each in stream]), batch.context[:3])
    scored = pixkit.score(run, ["test:0", "test:1:3"])
    assert scored.columns == ["kind", "nats", "bits_per_dim", "label", "class", "best_label"]
    rows = list(scored)
    assert [row.nats for row in rows] == pytest.approx(nats[:3].tolist(), rel=1e-6)
    other = -model.log_prob(batch.x, by_name | {"small": 16 - by_name["small"]})
    assert (other != nats).all()
    # What is the image itself, smaller, is made of it; the others may be left out.
    hidden = -model.log_prob(batch.x)
    assert torch.equal(hidden, -model.log_prob(batch.x, {"small": by_name["small"]})) and (hidden != nats).any()


def test_scores_say_what_they_are_given_and_which_of_it_is_from_the_image(run, capsys):
    assert main(["eval", str(run), "-q"]) == 0
    assert "given small (from the image itself), tilt, the labels" in capsys.readouterr().out
    spec = pixkit.load(run).spec
    assert str(spec).endswith("small 1x4x4, K = 17, from the image itself; beside it tilt 2")
    assert "scores are of images given small (from the image itself)" in (run / "scores.json").read_text()


def test_images_are_drawn_given_what_is_named(run, batch, by_name, tmp_path):
    model = pixkit.load(run)
    own = {name: value[4:5] for name, value in by_name.items()}
    expected = model.sample(2, context=own, seed=3)
    np.save(tmp_path / "tilt.npy", own["tilt"][0].numpy())
    named = {"small": "test:4", "tilt": str(tmp_path / "tilt.npy"), "label": own["label"]}
    for context in ("test:4", named):
        drawn = pixkit.sample(run, 2, context=context, seed=3)
        assert torch.equal(drawn.images, expected) and drawn.columns == 2
    shown, columns = drawn.beside()
    assert columns == 3 and torch.equal(shown[0, 0, ::2, ::2], own["small"][0, 0]) and torch.equal(shown[1:], expected)
    assert drawn.decoded is None
    typed = {"small": "test:4", "tilt": "0.25,-1e0", "label": "7"}
    arrays = {"small": own["small"], "tilt": torch.tensor([[0.25, -1.0]]), "label": torch.tensor([7])}
    assert torch.equal(pixkit.sample(run, 2, context=typed).images, model.sample(2, context=arrays))
    save_images(batch.x[4:5], 17, tmp_path / "own")
    of_picture = Conditioning(model, pixkit.Run.open(run)).rows(str(tmp_path / "own"))
    assert torch.equal(of_picture, model.several.given({"small": own["small"]}, 1)), "what is the picture, smaller"
    several = pixkit.sample(run, 1, context=["test:4", "test:0"], labels=[1, 2]).images
    assert len(several) == 4
    turn = pixkit.sample(run, 3)
    validation = load_data(run).batch("validation", torch.arange(3))
    assert torch.equal(turn.images, model.sample(3, context=model.context_of(validation)))
    assert turn.pictures.shape == (3, 1, 8, 8)
    ancestral = model.sample(2, context=own, seed=3, sampler="ancestral")
    assert torch.equal(ancestral, expected)
    nats = model.sample(2, context=own, seed=3, return_log_prob=True)[1]
    assert torch.equal(nats, model.log_prob(expected, own))
    assert (model.sample(2, context=own, seed=3, guidance=1e5) != expected).any()


def test_images_are_completed_given_their_own_conditions(run, batch, by_name):
    model = pixkit.load(run)
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, :4] = True
    found = pixkit.complete(run, "test:4", known, 2)
    own = {name: value[4:5] for name, value in by_name.items()}
    sites = model.nll_map(batch.x[4:5], own)
    assert found.nats == pytest.approx(float(sites[0, 4:].sum()), rel=1e-5)
    assert pixkit.complete(model, batch.x[4:5], known, 2, context=own).nats == pytest.approx(found.nats, rel=1e-6)
    continued = pixkit.sample(run, 2, given="test:4", rows=4).images
    assert torch.equal(continued, found.samples)


def test_data_that_have_changed_are_told_of(run):
    file = pathlib.Path(pixkit.Run.open(run).recipe().data.config.context["tilt"])
    kept = file.read_bytes()
    try:
        np.save(file, np.load(file) + 1)
        for read in (
            pixkit.evaluate,
            lambda run: next(iter(pixkit.score(run, ["test:1"]))),
            lambda run: pixkit.sample(run, 1),
        ):
            with pytest.warns(
                RuntimeWarning, match="not those that the run was built with: the arrays of data.context"
            ):
                read(run)
        file.unlink()
        with pytest.raises(DataError, match=r"no such file(.|\n)*data.context.tilt=FILE"):
            pixkit.sample(run, 1, context="test:1")
    finally:
        file.write_bytes(kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        hashes = load_data(run).hashes()
    with pytest.warns(RuntimeWarning, match="the test images, the train images have changed"):
        warn_of_other_data(pixkit.Run.open(run), hashes | {"train": "0", "test": "0"})
    opened = pixkit.Run.open(run)
    settings = opened.settings()
    opened.settings = lambda: settings
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warn_of_other_data(opened, {}, "an older run has none")
        settings["lock"]["data"]["files"] = "those of its build"
        warn_of_other_data(opened, {}, "those of its build")
        warn_of_other_data(opened, {}, "")
    with pytest.warns(RuntimeWarning, match="built with: names, sizes or labels of the images' files have changed"):
        warn_of_other_data(opened, {}, "others")


def test_an_array_beside_pictures_is_compared_though_they_are_read_one_by_one(tmp_path, monkeypatch):
    """Its file has the same size and time as before."""
    for number in range(6):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
    np.save(file := tmp_path / "tilt.npy", np.arange(12.0).reshape(6, 2))
    images, context = SOURCES["images"], {"tilt": str(file)}
    config = images.Config(path=str(tmp_path), channels=1, test_fraction=0.5, context=context)
    ref = ComponentSpec(Entry("data", "images", images, "pixkit", "0"), config, "x")
    data = prepare(ref, tmp_path)
    run = SimpleNamespace(recipe=lambda: SimpleNamespace(data=ref), spec=data.spec, classes=None, path="its run")
    run.settings = lambda: {"lock": {"data": {"hashes": data.hashes(), "files": data.files}}}
    monkeypatch.setattr(inputs, "load_data", None)

    def read():
        return int(OwnData(run, "images", None).image("test", 0)[0, 0, 0])

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        expected = read()
    before = file.stat()
    np.save(file, np.arange(12.0)[::-1].reshape(6, 2))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    with pytest.warns(RuntimeWarning, match="^its run: .* built with: the arrays of data.context have changed$"):
        assert read() == expected


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"small": "test:0", "label": "cat"}, "no such class"),
        ({"small": "test:0", "tilt": "1,2,3"}, "another number of entries"),
        ({"smal": "test:0"}, "no such condition(.|\n)*did you mean 'small'"),
        (["test:1", "picture.png"], "conditions come from the run's images"),
        ("test:6", "no image of that number"),
        ({"tilt": torch.zeros(1, 2)}, "these images lack a condition"),
        ({"small": "test:0", "size": 3}, "the model has no such condition"),
        ({"small": "test:0", "size": "a.npz"}, "the model has no such condition"),
    ],
)
def test_conditions_that_are_not_there(run, context, message):
    with pytest.raises(UsageError, match=message):
        pixkit.sample(run, 1, context=context)


def test_what_cannot_take_a_list_of_conditions_says_so(recipe, run):
    with pytest.raises(UsageError, match="not arrays by name") as caught:
        pixkit.load(run).sample(1, context=3)
    assert caught.value.found == "of type int" and "small" in caught.value.expected
    with pytest.raises(UsageError, match="its condition small is a small picture: pixkit sample RUN --given small"):
        pixkit.upscale(run, "test:1")
    with pytest.raises(UsageError, match=r"does not tell those of the arrays(.|\n)*data.context: tilt"):
        pixkit.verify(pixkit.load_recipe(recipe), shape=(1, 8, 8, 17, 10))
    with pytest.raises(UsageError, match="no codec for such a model"):
        codec_of(pixkit.load(run))
    plain = pixkit.build_model(RECIPE | {"model": {"type": "autoregressive", "backbone": "pixelcnn"}}, (1, 4, 4, 2))
    with pytest.raises(UsageError, match="no list of conditions"):
        pixkit.sample(plain, 1, context="test:0")


def test_pixkit_complete_takes_conditions_by_name(run, batch, by_name, tmp_path, capfd):
    save_images(batch.x[4:5], 17, tmp_path / "own")
    complete = ["complete", str(run), str(tmp_path / "own" / "00000.png"), "--keep-top", "4", "-n", "1", "--json", "-q"]
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, :4] = True
    for given in (
        ["--given", "test:3"],
        ["--given", "small=test:3", "--given", "tilt=test:3", "--given", "label=test:3"],
    ):
        assert main([*complete, *given]) == 0
        found = json.loads(capfd.readouterr().out)
        other = pixkit.complete(run, batch.x[4:5], known, 1, context="test:3")
        assert found["nats"] == pytest.approx(other.nats, rel=1e-5)
    with pytest.warns(RuntimeWarning, match="^the image is without tilt: it is not of the run's data"):
        pixkit.complete(run, batch.x[4:5], known, 1)
    # Scored, as an image that is not of the run's data: its conditions are what it is itself, and what is said of it.
    with pytest.warns(RuntimeWarning, match="^1 images .* scored without tilt, which .*: their scores do not compare"):
        [row] = pixkit.score(run, [batch.x[4]], labels=[3])
    assert row.nats == pytest.approx(-float(pixkit.load(run).log_prob(batch.x[4:5], {"label": torch.tensor([3])})))


def test_the_command_takes_conditions_by_name_or_by_image(run, tmp_path):
    out = tmp_path / "drawn.npz"
    for given, context in (
        (["--given", "test:4"], "test:4"),
        (["--given", "small=test:4", "--given", "test:5"], ["test:5", {"small": "test:4"}]),
        (["--given", "small=test:4"], {"small": "test:4"}),
    ):
        assert main(["sample", str(run), "-n", "2", *given, "-o", str(out), "-q"]) == 0
        assert np.array_equal(np.load(out)["samples"], pixkit.sample(run, 2, context=context).images.numpy())
    vary = ["--vary", "label", "--vary", "tilt", "--label", "3,5,7"]
    assert main(["sample", str(run), "-n", "2", *given, *vary, "-o", str(tmp_path / "grid.png"), "-q"]) == 0
    assert Image.open(tmp_path / "grid.png").size == (3 * 66 + 2, 3 * 66 + 2), "a picture of small and two vectors"


def test_what_is_named_replaces_what_an_image_has(run, by_name, tmp_path):
    model, own = pixkit.load(run), {name: value[4:5] for name, value in by_name.items()}
    tilts = torch.tensor([[0.1, 2.0], [0.9, -2.0]])
    drawn = pixkit.sample(run, 1, context=["test:4", {"tilt": tilts}], seed=3).images
    assert torch.equal(drawn, model.sample(2, context=own | {"tilt": tilts}, seed=3))
    labelled = pixkit.sample(run, 1, context=["test:4", {"tilt": tilts[:1]}], labels=[1, 2], seed=3).images
    changed = own | {"tilt": tilts[:1], "label": torch.tensor([1, 2])}
    assert torch.equal(labelled, model.sample(2, context=changed, seed=3))
    varied = pixkit.sample(run, vary="tilt", context=["test:4", {"tilt": tilts, "label": 7}], seed=3).images
    each = [model.sample(1, context=own | {"tilt": tilt[None], "label": torch.tensor([7])}, seed=3) for tilt in tilts]
    assert torch.equal(varied, torch.cat(each))
    # Completed and scored, whatever is not named of an image of one's own is made of it.
    x, known = own["small"].repeat_interleave(2, 2).repeat_interleave(2, 3), torch.zeros(1, 8, 8, dtype=torch.bool)
    named = {"tilt": tilts[:1], "label": torch.tensor([7])}
    nats = -float(model.log_prob(x, named | {"small": own["small"]}))
    assert pixkit.complete(run, x, known, 1, context=named).nats == pytest.approx(nats, rel=1e-5)


def test_images_are_scored_given_what_is_named(run, batch, by_name, tmp_path, capfd):
    """The conditions of all, or a row for each image; those that are not named are made of it, or hidden."""
    model, x, tilts = pixkit.load(run), batch.x[:3], torch.tensor([[0.1, 2.0], [0.9, -2.0], [0.5, 0.5]])
    labels = torch.tensor([7, 1, 3])

    def nats(**context):
        return pytest.approx((-model.log_prob(x, context)).tolist(), rel=1e-5)

    def scored(images, **options):
        return [row.nats for row in pixkit.score(run, images, **options)]

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert scored(x, context={"tilt": tilts, "label": labels}) == nats(tilt=tilts, label=labels)
        each = {"small": by_name["small"][4:5], "tilt": tilts[0], "label": 7}
        whole = nats(small=by_name["small"][4:5], tilt=tilts[:1], label=labels[:1])
        assert scored("test:0:3", context=each) == scored(list(x), context=each, batch_size=2) == whole
        assert scored(x, context={"tilt": tilts, "label": "none"}) == nats(tilt=tilts)
        assert scored(x, context=["test:4", {"tilt": tilts}], labels=2) == nats(
            small=by_name["small"][4:5], tilt=tilts, label=torch.tensor([2])
        )
    with pytest.warns(
        RuntimeWarning, match=r"^images are scored without tilt, which --given \(context=\) does not name"
    ):
        assert scored(x, context={"label": 7}) == nats(label=labels[:1])
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "tilts.npy", tilts.numpy())
    command = ["score", str(run), str(tmp_path / "x.npy"), "--json", "-q", "--given"]
    assert main([*command, f"tilt={tmp_path / 'tilts.npy'}", "--labels", "none"]) == 0
    assert [json.loads(line)["nats"] for line in capfd.readouterr().out.splitlines()] == nats(tilt=tilts)
    assert main([*command, "tlt=1,2"]) == 2 and "--given: the model has no such condition" in capfd.readouterr().err
    for count in (2, 4):
        expected = f"one for all, or of {'3' if count > 3 else 'more than 2'}"
        with pytest.raises(DataError, match=rf"conditions of {count} images(.|\n)*{expected}"):
            scored(x, context={"tilt": tilts[[0] * count], "label": 1})


def test_a_threshold_knows_what_images_were_given(run, batch, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    given = ["test:4", {"tilt": "0.5,1", "label": "7"}]
    limit = pixkit.tasks.scoring.set_threshold(copied, batch.x, 0.5, context=given)
    assert limit.settings["given"] == ["test:4", "tilt=0.5,1", "label=7"] and limit.settings["labels"] == "7"
    flagged = [row.flagged for row in pixkit.score(copied, batch.x, context=given, flag=True)]
    assert sum(flagged) == 6 - limit.rank
    with pytest.raises(UsageError, match=r"scores that were made otherwise(.|\n)*tilt=0.5,1"):
        pixkit.score(copied, batch.x, labels=7, flag=True)


def test_an_image_without_a_label_is_scored_only_if_the_model_knows_such(run, recipe):
    few = recipe["model"] | {"context": [{"type": "label", "size": 2}, {"type": "vector", "from": "tilt"}]}
    model = pixkit.build_model(recipe | {"model": few})
    x = torch.zeros(1, 1, 8, 8, dtype=torch.int64)
    with pytest.raises(UsageError, match="scores no images without a label"):
        pixkit.score(model, x, labels="none")
    with pytest.raises(UsageError, match=r"these images lack a condition(.|\n)*no tilt"):
        pixkit.score(model, x, context={"label": 1})


def test_one_condition_varies_while_the_noise_and_the_others_are_held(run, batch, by_name, tmp_path):
    model, own = pixkit.load(run), {name: value[4:5] for name, value in by_name.items()}

    def one(noise, **changed):
        return model.sample(1, context=own | changed, seed=3, first=noise)

    drawn = pixkit.sample(run, 2, vary="small", context=["test:4", "test:4"], seed=3)
    values = model.context_of(load_data(run).batch("validation", torch.arange(2)))[:, -18:-2].view(2, 1, 4, 4)
    expected = [one(row, small=values[column : column + 1].long()) for row in range(2) for column in range(2)]
    assert torch.equal(drawn.images, torch.cat(expected)) and drawn.columns == 2
    shown, columns = drawn.beside()
    assert columns == 2 and torch.equal(shown[:2, :, ::2, ::2], values.long()) and torch.equal(shown[2:], drawn.images)

    classes = pixkit.sample(run, vary="label", context="test:4", seed=3)
    assert classes.columns == 10 and classes.above is None
    assert torch.equal(classes.images[7:8], one(0, label=torch.tensor([7])))
    assert torch.equal(classes.beside()[0][0, 0, ::2, ::2], own["small"][0, 0])
    two = pixkit.sample(run, vary="label", labels=[7, 2], context="test:4", seed=3, guidance={"label": 1e5})
    assert len(two.images) == 2 and (two.images[0] != classes.images[7]).any()

    np.save(tmp_path / "tilts.npy", np.array([[0.1, 2.0], [0.9, -2.0]]))
    named = {"tilt": str(tmp_path / "tilts.npy"), "small": own["small"], "label": own["label"]}
    tilted = pixkit.sample(run, vary="tilt", context=named, seed=3).images
    assert torch.equal(tilted, torch.cat([one(0, tilt=torch.tensor([pair])) for pair in ([0.1, 2.0], [0.9, -2.0])]))

    halves = pixkit.sample(run, 2, vary="label", given="test:4", rows=4, seed=3)
    assert (halves.images[:, :, :4] == batch.x[4:5, :, :4]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vary": "smal"}, "nothing of that name to vary(.|\n)*did you mean 'small'"),
        ({"vary": "latent"}, "no latent code"),
        ({"vary": "latent", "context": "test:1"}, "cannot be combined"),
        ({"vary": "label", "given": ["test:1", "test:2"], "rows": 4}, "one image at a time"),
    ],
)
def test_what_cannot_vary_is_refused(run, options, message):
    with pytest.raises(UsageError, match=message):
        pixkit.sample(run, 1, **options)


def test_a_recipe_may_guide_its_samples(recipe, run, tmp_path):
    loaded = pixkit.Run.open(run)
    guided = loaded.recipe().model_copy(
        update={"sample": loaded.recipe().sample.model_copy(update={"guidance": {"label": 1e5}})}
    )
    loaded.recipe = lambda: guided
    plain, named = pixkit.sample(run, 3).images, pixkit.sample(run, 3, guidance={"label": 1e5}).images
    assert torch.equal(pixkit.sample(loaded, 3).images, named) and (named != plain).any()
    assert torch.equal(pixkit.sample(loaded, 3, guidance=0).images, plain)
    wrong = recipe | {"sample": {"guidance": {"small": 1.0}}}
    with pytest.raises(UsageError, match=r"sample.guidance(.|\n)*no images without this condition"):
        pixkit.build(wrong, out=tmp_path / "wrong")


def test_errors_name_the_option_that_gives_conditions(run, tmp_path, capfd):
    for given, where in (
        ("tilt=test:99", "error: --given: there is no image"),
        ("tlt=1", "error: --given: the model has no"),
    ):
        assert (
            main(["sample", str(run), "--given", "small=test:1", "--given", given, "-o", str(tmp_path / "x.png")]) == 2
        )
        assert where in capfd.readouterr().err
    wide = tmp_path / "wide.npy"
    np.save(wide, np.zeros((1, 3)))
    assert main(["sample", str(run), "--given", f"tilt={wide}", "-o", str(tmp_path / "x.png")]) == 3
    assert "error: --given tilt: wrong shape" in capfd.readouterr().err
