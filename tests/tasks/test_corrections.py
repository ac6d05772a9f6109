"""What likelihoods are set against, AUROC, and thresholds that few held-out images exceed."""

import itertools
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pixkit
from pixkit.catalogue.topics import PAGES
from pixkit.errors import CheckpointError, UsageError
from pixkit.image import ImageSpec
from pixkit.tasks.general_codecs import General, Unfit
from pixkit.tasks.scoring import auroc, conformal_limit, set_threshold
from pixkit.tasks.scoring.corrections import Complexity, Ratio, Typicality
from pixkit.tasks.scoring.scorer import Scorer
from pixkit.tasks.scoring.threshold import read_threshold
from pixkit.testing import named, random_images, randomise

SPEC = ImageSpec(1, 3, 4, 3)
SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
TINY = """\
pixkit: 1
name: tiny
data: {source: digits, limit_train: 64, limit_test: 40}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 6, layers: 0, first_kernel: 3, output_layers: 1}
train: {steps: 2, batch_size: 8, eval_every: 2, checkpoint_every: 1, eval_images: 16}
sample: {count: 1}
"""


def model_of(seed):
    model = named("model", "autoregressive", backbone=SMALL).build(SPEC, None).eval().double()
    randomise(model, seed=seed)
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    return pixkit.build(TINY, folder / "run").run.path


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_auroc_is_the_share_of_pairs_in_order_ties_counting_half(known, anomalies):
    pairs = [(b > a) + (a == b) / 2 for a, b in itertools.product(known, anomalies)]
    assert auroc(known, anomalies) == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)


@pytest.mark.parametrize(("known", "text"), [([], "found: none"), ([1.0, math.nan], "found: NaN")])
def test_auroc_of_what_is_no_score(known, text):
    with pytest.raises(UsageError, match=text):
        auroc(known, [1.0])


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
    with pytest.raises(UsageError, match="no codec to measure complexity"):
        Complexity.of(ImageSpec(2, 2, 3, 4))


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


@given(st.integers(1, 60), st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.3, 0.5]))
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


def test_a_threshold_is_kept_with_the_run_and_flags_what_exceeds_it(run):
    found = set_threshold(run, "test:0:19", 0.1, complexity=True, device="cpu")
    rows = list(pixkit.score(run, "test::", complexity=True, device="cpu"))
    held = sorted(row.corrected["complexity"] for row in rows[:19])
    assert (found.score, found.rank, found.images, found.limit) == ("complexity", 18, 19, held[17])
    flagged = list(pixkit.score(run, "test::", flag=True, device="cpu"))
    assert [row.flagged for row in flagged] == [row.corrected["complexity"] > found.limit for row in rows]
    assert flagged[0].dump(ImageSpec(1, 8, 8, 17))["flagged"] is flagged[0].flagged
    with pytest.raises(UsageError, match="of another score"):
        pixkit.score(run, "test:0", flag=True, typicality=True)
    with pytest.raises(UsageError, match="of other weights"):
        pixkit.score(run, "test:0", flag=True, checkpoint="step-1")


def test_thresholds_of_typicality_and_of_another_run_remember_what_they_are_of(run):
    found = set_threshold(run, "test:0:9", 0.2, typicality=True, device="cpu")
    mean = pixkit.evaluate(run, split="validation", device="cpu").nats
    assert found.settings == {"labels": None, "mean": pytest.approx(mean, rel=1e-12)}
    [row] = pixkit.score(run, "test:3", flag=True, device="cpu")
    assert row.corrected["typicality"] == pytest.approx(abs(row.nats - mean), rel=1e-9)
    found = set_threshold(run, "test:0:9", 0.2, local=run, device="cpu")
    assert (found.other, found.limit, found.settings["weights"]) == (str(run.absolute()), 0.0, found.weights)
    assert next(pixkit.score(run, "test:3", flag=True, device="cpu")).flagged is False
    assert set_threshold(run, "test:0:9", 0.2, device="cpu").score == "nats"
    with pytest.raises(UsageError, match="a threshold is of one score"):
        set_threshold(run, "test:0:9", 0.2, complexity=True, local=run, device="cpu")


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


def test_a_bad_file_sets_no_threshold(run, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(pixkit.DataError, match="cannot be read"):
        set_threshold(run, ["test:0:9", tmp_path / "a.png"], 0.2, device="cpu")
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
