"""What likelihoods are set against, AUROC, and thresholds that few held-out images exceed."""

import itertools
import json
import math
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pixkit
from pixkit.catalogue.topics import PAGES
from pixkit.catalogue.zoo import run_folder
from pixkit.errors import CheckpointError, RunError, UsageError
from pixkit.image import ImageSpec, Palette
from pixkit.randomness import derive
from pixkit.runs.manifest import read_manifest
from pixkit.tasks.general_codecs import General, Unfit
from pixkit.tasks.scoring import auroc, conformal_limit, set_threshold
from pixkit.tasks.scoring.against import Against
from pixkit.tasks.scoring.conditions import ConditionsAsked
from pixkit.tasks.scoring.corrections import Complexity, Ratio, Typicality
from pixkit.tasks.scoring.labels import LabelsAsked, labels_alike, labels_compared
from pixkit.tasks.scoring.rows import Rows
from pixkit.tasks.scoring.score import settings_of
from pixkit.tasks.scoring.scorer import Scorer
from pixkit.tasks.scoring.stream import Given
from pixkit.tasks.scoring.threshold import read_threshold
from pixkit.testing import named, random_images, randomise

SPEC = ImageSpec(1, 3, 4, 3)
SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
LEGACY = Path(__file__).parents[1] / "legacy" / "runs" / "digits-tiny"


def model_of(seed):
    model = named("model", "autoregressive", backbone=SMALL).build(SPEC, None).eval().double()
    randomise(model, seed=seed)
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shutil.copytree(LEGACY, tmp_path_factory.mktemp("scored") / "run")


def test_auroc_is_the_share_of_pairs_in_order_ties_counting_half():
    some = [each for count in (1, 2, 3) for each in itertools.product(range(3), repeat=count)]
    for known, anomalies in itertools.product(some, some[:12]):
        pairs = [(b > a) + (a == b) / 2 for a, b in itertools.product(known, anomalies)]
        assert auroc(known, anomalies) == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)


@pytest.mark.parametrize(("known", "text"), [([], "found: none"), ([1.0, math.nan], "found: NaN")])
def test_auroc_of_what_is_no_score(known, text):
    with pytest.raises(UsageError, match=f"known: .*\n.*{text}"):
        auroc(known, [1.0])
    with pytest.raises(UsageError, match=f"anomalies: .*\n.*{text}"):
        auroc([1.0], known)


def test_complexity_takes_the_shortest_of_codecs_and_layouts():
    """Codecs that are told apart by what they say of the first row."""

    def codec(name, cost):
        return General(name, lambda picture, levels: bytes(cost(picture)), lambda content: None)

    spec = ImageSpec(1, 2, 3, 4)
    x = torch.tensor([[[[1, 1, 1], [1, 0, 0]]], [[[3, 3, 3], [3, 3, 3]]]])
    first = codec("a", lambda picture: 5 + int(picture[0].sum()))  # 8 and 14 as they are, 7 and 11 transposed
    other = codec("b", lambda picture: 10)
    nats = torch.tensor([100.0, 200.0], dtype=torch.float64)
    found = Complexity((first, other), 4)(x, nats)
    assert found.tolist() == pytest.approx([100 - 8 * 7 * math.log(2), 200 - 8 * 10 * math.log(2)], rel=1e-12)
    real = Complexity.of(spec)
    assert real.about["codecs"][0] == "PNG" and "Group 4" not in real.about["codecs"]
    assert Complexity.of(ImageSpec(1, 8, 8, 2), ["Group 4"]).about == {"codecs": ["Group 4"]}
    for other in (ImageSpec(2, 2, 3, 4), ImageSpec(1, 2, 3, 2, palette=Palette(bytes(range(6))))):
        with pytest.raises(UsageError, match="no codec to measure complexity"):
            Complexity.of(other)


@pytest.mark.parametrize(("levels", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_codecs_are_given_pictures_of_as_few_bytes_as_hold_the_levels(monkeypatch, levels, dtype):
    """[H, W, C] as they are, and transposed; a blank one at first, which tells who takes such images."""
    seen = []
    codec = General("PNG", lambda picture, levels: bytes(len(seen.append((picture, levels)) or "two")), None)
    monkeypatch.setattr("pixkit.tasks.scoring.corrections.CODECS", [codec])
    x = torch.arange(18).view(1, 3, 2, 3)
    Complexity.of(ImageSpec(3, 2, 3, levels))(x, torch.zeros(1, dtype=torch.float64))
    assert [(picture.dtype, picture.flags.c_contiguous, given) for picture, given in seen] == [
        (dtype, True, levels)
    ] * 3
    assert [picture.shape for picture, _ in seen] == [(2, 3, 3), (2, 3, 3), (3, 2, 3)]
    assert (seen[1][0][1, 2].tolist(), seen[2][0][2, 1].tolist()) == ([5, 11, 17], [5, 11, 17])


def test_complexity_of_codecs_that_are_not_here(monkeypatch):
    def missing(picture, levels):
        raise Unfit("not installed")

    monkeypatch.setattr("pixkit.tasks.scoring.corrections.CODECS", [General("PNG", missing, None)])
    with pytest.raises(UsageError, match="no codec to measure complexity"):
        Complexity.of(SPEC)


def test_ratios_and_typicality():
    model, other, x = model_of(1), model_of(2), random_images(SPEC, 3)
    with torch.no_grad():
        nats, theirs = -model.log_prob(x), -other.log_prob(x)
    assert Ratio("background", Scorer(other), "")(x, nats).tolist() == pytest.approx(
        (nats - theirs).tolist(), rel=1e-12
    )
    assert Typicality(5.0)(x, torch.tensor([4.0, 5.0, 7.0])).tolist() == [1.0, 0.0, 2.0]
    assert Ratio("local", Scorer(other), "of others").about == {"weights": "of others"}
    asked = Against(typicality=True, local="l", background="b", complexity=True)
    assert asked.names == ["complexity", "background", "local", "typicality"] and Against().names == []
    assert Against().other is None
    restored = Against().restored(SimpleNamespace(score="complexity", settings={"codecs": ["PNG"]}), model, "cpu")
    assert [each.about for each in restored] == [{"codecs": ["PNG"]}]


def test_what_scores_depend_on_beside_weights():
    model = named("model", "pixelvae", backbone=SMALL, latent=2, features=4, encoder={"width": 2, "hidden": 4})
    bound = Scorer(model.build(ImageSpec(1, 4, 4, 3), None), 3, 5)
    assert settings_of(bound, None, []) == {"labels": None, "seed": 3, "importance": 5}
    for labels, said in (("cat", "cat"), (2, "2"), ([2], "each"), (torch.tensor([2]), "each")):
        assert settings_of(Scorer(model_of(1), 3), labels, [Typicality(2.0)]) == {"labels": said, "mean": 2.0}


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.25, 0.3, 0.5])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 19, 23, 98, 99, 100])
def test_a_limit_is_exceeded_by_the_next_image_at_the_rate_at_most(count, alpha):
    """Of n + 1 ranks that are equally likely, those above the k-th smallest of the other n."""
    if count < 1 / alpha - 1 - 1e-9:
        with pytest.raises(UsageError, match=f"at least {round(1 / alpha) - 1 if alpha != 0.3 else 3},"):
            conformal_limit(range(count), alpha)
        return
    limit = conformal_limit([float(n) for n in range(count)][::-1], alpha)
    assert limit.value == limit.rank - 1 and limit.images == count
    exceeded = (count + 1 - limit.rank) / (count + 1)
    assert exceeded <= alpha + 1e-12 < exceeded + 1 / (count + 1) + 1e-9


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_rates_are_between_0_and_1(rate):
    with pytest.raises(UsageError, match="not a rate"):
        conformal_limit([1.0, 2.0], rate)


@pytest.mark.parametrize(("scores", "found"), [([math.nan, 1.0, 2.0], "nan"), ([1.0, math.inf, 2.0], "inf")])
def test_a_limit_is_a_number(scores, found):
    assert conformal_limit([1.0, 2.0, math.inf], 0.5).value == 2.0
    with pytest.raises(UsageError, match=f"found: {found}"):
        conformal_limit(scores, 0.25)


def test_a_threshold_is_kept_with_the_run_and_flags_what_exceeds_it(run):
    found = set_threshold(run, "test:0:19", 0.1, complexity=True, device="cpu")
    rows = list(pixkit.score(run, "test::", complexity=True, device="cpu"))
    held = sorted(row.corrected["complexity"] for row in rows[:19])
    assert (found.score, found.rank, found.images, found.limit) == ("complexity", 18, 19, held[17])
    ema = pixkit.Run.open(run).read_checkpoint("best", read_manifest).files["ema"]
    assert found.weights == ema.sha256
    flagged = list(pixkit.score(run, "test::", flag=True, device="cpu"))
    assert [row.flagged for row in flagged] == [row.corrected["complexity"] > found.limit for row in rows]
    assert flagged[0].dump(ImageSpec(1, 8, 8, 17))["flagged"] is flagged[0].flagged
    with pytest.raises(UsageError, match="of another score"):
        pixkit.score(run, "test:0", flag=True, typicality=True)
    for others in ({"checkpoint": "step-8"}, {"weights": "raw"}):
        with pytest.raises(UsageError, match="of other weights"):
            pixkit.score(run, "test:0", flag=True, **others)


def test_thresholds_of_typicality_and_of_another_run_remember_what_they_are_of(run, monkeypatch):
    monkeypatch.setattr(sys.modules["pixkit.tasks.scoring.score"], "REFERENCE_IMAGES", 3)
    found = set_threshold(run, "test:0:9", 0.2, typicality=True, seed=1, device="cpu")
    mean = pixkit.evaluate(run, split="validation", limit=3, seed=1, device="cpu").nats
    assert found.settings == {"labels": None, "mean": pytest.approx(mean, rel=1e-12)}
    [row] = pixkit.score(run, "test:3", flag=True, device="cpu")
    assert row.corrected["typicality"] == pytest.approx(abs(row.nats - mean), rel=1e-9)
    found = set_threshold(run, "test:0:9", 0.2, local=run, device="cpu")
    assert (found.score, found.other, found.limit) == ("local", str(run.absolute()), 0.0)
    assert found.settings["weights"] == found.weights
    assert next(pixkit.score(run, "test:3", flag=True, device="cpu")).flagged is False
    assert set_threshold(run, "test:0:9", 0.2, device="cpu").score == "nats"
    with pytest.raises(UsageError, match="a threshold is of one score"):
        set_threshold(run, "test:0:9", 0.2, complexity=True, local=run, device="cpu")


def test_images_are_compared_under_labels_that_are_unknown_of_all(tmp_path, monkeypatch):
    """A limit that -log p(x | y) of the run's own images set would be exceeded too often by -log p(x) of files."""
    monkeypatch.setattr(import_module("pixkit.tasks.scoring.score"), "REFERENCE_IMAGES", 4)
    copy = shutil.copytree(run_folder("zoo:digits-gated"), tmp_path / "copy")
    chosen = torch.randperm(150, generator=torch.Generator().manual_seed(derive(0, "subset", "validation")))[:4]
    names = [f"validation:{number}" for number in chosen.sort().values]
    unknown = [row.nats for row in pixkit.score(copy, names, labels="all", device="cpu")]
    found = set_threshold(copy, names, 0.2, typicality=True, device="cpu")
    assert found.settings == {"labels": "all", "mean": pytest.approx(np.mean(unknown), rel=1e-6)}
    [row] = pixkit.score(copy, names[3], flag=True, device="cpu")
    assert row.nats == pytest.approx(unknown[3], rel=1e-6)
    assert row.corrected["typicality"] == pytest.approx(abs(unknown[3] - np.mean(unknown)), rel=1e-4)


def test_typicality_is_of_images_with_labels_where_labels_are_given():
    model, plain = SimpleNamespace(labelled=True, classes=10), SimpleNamespace(labelled=False)
    own = torch.tensor([3, 1])
    found = [labels_alike(model, labels, own) for labels in ("all", "none", "3", [3, 4])]
    assert found[0] is None and [each.tolist() for each in found[1:]] == [[10, 10], [3, 1], [3, 1]]
    assert labels_compared(plain, None) is None is labels_alike(plain, None, own)
    assert [labels_compared(model, each) for each in (None, "none")] == ["all", "none"]


def test_typicality_takes_a_run_with_validation_images(monkeypatch):
    module, model = import_module("pixkit.tasks.scoring.score"), model_of(1)
    none = SimpleNamespace(size=lambda split: int(split != "validation"))
    monkeypatch.setattr(module, "load_data", lambda run: none)
    monkeypatch.setattr(module, "labelled_for", lambda model, data: data)
    for run, said in ((None, "a model that was not opened with its run"), ("its run", "there are no such images")):
        with pytest.raises(UsageError, match=f"typicality: {said}") as caught:
            module.Loaded(model, run, "").mean(Scorer(model), None)
    assert caught.value.found == "no validation images"


@pytest.mark.parametrize("name", ["zoo:digits-gated", run_folder("zoo:digits-gated")])
def test_no_threshold_is_written_into_the_zoo(name):
    with pytest.raises(RunError, match=r"read-only[\s\S]*pixkit export zoo:NAME"):
        set_threshold(name, "validation::", 0.1)
    assert not (run_folder("zoo:digits-gated") / "threshold.json").exists()


def test_the_other_run_of_a_threshold_is_the_folder_that_its_name_means(run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "runs" / "other")
    monkeypatch.chdir(tmp_path)
    assert Against(local="other").other == str(tmp_path / "runs" / "other")
    assert Against(local="other", background="zoo:digits-gated").other == str(run_folder("zoo:digits-gated").absolute())


def test_a_score_that_is_no_number_is_flagged():
    model, image = model_of(1), random_images(SPEC, 1)[0]
    odd = type("Odd", (), {"name": "odd", "__call__": lambda self, x, nats: nats * math.nan})()
    limit = SimpleNamespace(score="odd", limit=1.0)
    asked = LabelsAsked(model, None), ConditionsAsked(model, None, None, None)
    rows = Rows([Given("0", image)], Scorer(model), *asked, [odd], threshold=limit, batch_size=4)
    assert [row.flagged for row in rows] == [True]


def test_a_damaged_threshold_is_not_applied(run):
    set_threshold(run, "test:0:9", 0.2, device="cpu")
    path = run / "threshold.json"
    body = json.loads(path.read_text())
    path.write_text(path.read_text().replace(f'"rank": {body["rank"]}', '"rank": 7'))
    with pytest.raises(CheckpointError, match="damaged"):
        read_threshold(pixkit.Run.open(run))
    path.unlink()
    with pytest.raises(UsageError, match="has no threshold"):
        pixkit.score(run, "test:0", flag=True)


def test_what_scores_depend_on_is_compared(run):
    found = set_threshold(run, "test:0:9", 0.2, device="cpu")
    with pytest.raises(UsageError, match="labels: the run's threshold is of scores that were made otherwise"):
        found.require({"labels": "cat"}, found.weights)
    with pytest.raises(UsageError, match=r"seed: .*made otherwise"):
        found.require({"labels": None, "seed": 1}, found.weights)
    found.require({"labels": None}, found.weights)
    for settings, weights, said in (
        ({"labels": "cat"}, found.weights, ("labels", "cat", "None")),
        ({"labels": None, "seed": 1}, found.weights, ("seed", "1", "None")),
        ({"labels": None}, "0123456789abcdef", ("threshold.json", found.weights[:12], "0123456789ab")),
    ):
        with pytest.raises(UsageError) as caught:
            found.require(settings, weights)
        assert (caught.value.where, caught.value.found, caught.value.expected) == said
    assert list(found.dump()) == ["score", "limit", "images", "rank", "false_alarms"]
    assert found.in_words() == {
        "limit": f"{found.limit:.3f} of nats", "false alarms": "at most 0.2, by the score of rank 8 of 9",
    }  # fmt: skip


def test_a_bad_file_sets_no_threshold(run, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(pixkit.DataError, match="cannot be read"):
        set_threshold(run, ["test:0:9", tmp_path / "a.png"], 0.2, device="cpu")
    with pytest.raises(UsageError, match="batch_size: "):
        set_threshold(run, "test:0:9", 0.2, batch_size=0)
    with pytest.raises(UsageError, match="flag: a model that was not opened with its run"):
        pixkit.score(model_of(1), random_images(SPEC, 1), flag=True)


def test_another_run_is_of_the_same_images(run):
    other = SimpleNamespace(spec=ImageSpec(1, 8, 8, 16))
    with pytest.raises(UsageError, match="the other run is of other images"):
        Ratio.of("local", other, run, "cpu")
    assert np.isfinite([row.corrected["local"] for row in pixkit.score(run, "test:0:2", local=run, device="cpu")]).all()


def test_entropy_as_the_page_measures_it(run):
    """The code of pixkit/docs/scores.md."""
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / "scores.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(code, "scores.md", "exec"), names)
    bits, low, high = names["entropy"](run, "test::", resamples=200)
    rows = [row.nats / math.log(2) for row in pixkit.score(run, "test::")]
    error = np.std(rows) / math.sqrt(len(rows))
    assert bits == pytest.approx(np.mean(rows), rel=1e-6) and low < bits < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.25)
    assert names["gaussian_noise_bits"](2, 3.0) == pytest.approx(2 * np.log2(3 * math.sqrt(2 * math.pi * math.e)))
