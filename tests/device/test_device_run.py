"""The script for machines with a GPU, tried without one: what it makes, finds and judges."""

import io
import json
import os
import sys
import time
from pathlib import Path

import device_run
import every_recipe
import pytest
import speed
import speed_worker
import torch
from device_run import NO_GPU, main, read_report
from every_recipe import Tried, check
from made_data import made_data, shape_of
from outcomes import FAILED, OK, UNCOMPARED, Row, exit_code, table
from speed import Speed, Worker

from pixkit.recipe import load_recipe, packaged_recipes
from pixkit.runs.run import Run

LONG = os.environ.get("PIXKIT_LONG") == "1"
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def tried():
    return check("digits-pixelcnn", "cpu")


def test_everything_is_tried_with_a_recipe(tried):
    verdict, note, figures = tried
    assert verdict == OK and note.startswith("cached sampling by the executor")
    assert {"seconds", "nats", "change under bf16"} <= set(figures) and figures["nats"] > 0


WRONG = {
    "verified": ("pixkit.tasks.verify.examine", lambda network, pixel: Leaky()),
    "scored": ("pixkit.evaluate", lambda run, device, **options: Worse()),
    "sampled": ("every_recipe.torch.equal", lambda one, other: False),
}


class Leaky:
    """A report of a network that leaks."""

    verdict, problem = "leaks", "of course"


class Worse:
    """Scores that change from call to call, as between two devices that disagree."""

    kind, calls = "exact", 0

    def __init__(self):
        Worse.calls += 1
        self.nats = 100.0 + Worse.calls


@pytest.mark.parametrize("stage", WRONG)
def test_what_does_not_hold_is_found(stage, monkeypatch):
    place, stand_in = WRONG[stage]
    monkeypatch.setattr(place, stand_in)
    monkeypatch.setattr(every_recipe, "STAGES", ("trained", stage))
    verdict, note, _ = check("digits-pixelcnn", "cpu")
    assert verdict == FAILED and note.startswith(f"{stage}: Wrong: ")


def test_a_resumed_run_of_other_bits_is_found(monkeypatch):
    monkeypatch.setattr(every_recipe, "STAGES", ("trained", "resumed"))
    build = Tried._build

    def other(self, name, steps, **options):
        self.options = [*self.options, "train.optimizer.lr=0.5"] if name == "cut" else self.options
        return build(self, name, steps, **options)

    monkeypatch.setattr(Tried, "_build", other)
    verdict, note, _ = check("digits-pixelcnn", "cpu")
    assert verdict == FAILED and "differs by" in note


def test_a_resumed_run_of_other_bits_is_told_where_torch_has_no_deterministic_kernel(monkeypatch):
    monkeypatch.setattr(every_recipe, "STAGES", ("trained", "resumed"))
    build, settings = Tried._build, Run.settings

    def other(self, name, steps, **options):
        self.options = [*self.options, "train.optimizer.lr=0.5"] if name == "cut" else self.options
        return build(self, name, steps, **options)

    def said(run):
        found = settings(run)
        return {**found, "lock": {**found["lock"], "kernels": {"deterministic": True, "without": ["put_"]}}}

    monkeypatch.setattr(Tried, "_build", other)
    monkeypatch.setattr(Run, "settings", said)
    verdict, note, _ = check("digits-pixelcnn", "cpu")
    assert verdict == OK and "off: no deterministic kernel for put_" in note


def test_kernels_are_timed_both_ways(monkeypatch):
    times = {True: 3.0, False: 2.0}
    monkeypatch.setattr(Worker, "ask", lambda self, one, end: {"ms": times[one["deterministic"]]})
    monkeypatch.setattr(Speed, "_options", lambda self, name, batch: [])
    row = Speed(None, "cuda", None, 0).determinism("mnist-gated", 64)
    assert row.verdict == OK and row.figures == {"with": 3.0, "without": 2.0, "ratio": 1.5}
    monkeypatch.setattr(Worker, "ask", lambda self, one, end: {"error": "it broke"})
    assert Speed(None, "cuda", None, 0).determinism("mnist-gated", 64).verdict == FAILED


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_made_images_are_a_recipes_own_kind(name, tmp_path):
    config = load_recipe(name).recipe.data.config.model_dump()
    data = load_recipe(name, [made_data(tmp_path, name, config, side=4, count=20)]).recipe.data
    spec = data.build(tmp_path).load()
    channels, side, levels = shape_of(name, 4)
    assert spec.train.pixels.shape == (20, channels, side, side) and spec.levels == levels
    assert spec.train.pixels.float().std() > 0


def row(verdict, **how):
    return Row("part", "what", verdict, **how)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], 1),
        ([row(OK)], 0),
        ([row(OK), row(FAILED)], 1),
        ([row(OK), row(UNCOMPARED)], 3),
        ([row(OK), row(UNCOMPARED, needed=False)], 0),
        ([row(FAILED), row(UNCOMPARED)], 1),
    ],
)
def test_it_ends_well_only_if_all_holds(rows, code):
    assert exit_code(rows) == code
    assert f"{sum(one.verdict == OK for one in rows)} of {len(rows)} hold" in table(rows, {"torch": "2"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_does_nothing(capsys, monkeypatch):
    for part in ("cuda_tests", "every_recipe", "Speed"):
        monkeypatch.setattr(device_run, part, None)
    assert main([]) == main(["--device", "cuda"]) == NO_GPU
    assert "there is no GPU" in capsys.readouterr().out


def test_the_table_is_printed_and_written(tmp_path, capsys, monkeypatch):
    rows = [Row("recipes", "one", OK, "", {"nats": 1.23456}), Row("recipes", "two", FAILED, "trained: no")]
    monkeypatch.setattr(device_run, "every_recipe", lambda *given: rows)
    assert main(["--device", "cpu", "--parts", "tests", "recipes", "--json", str(tmp_path / "table.json")]) == 1
    said = capsys.readouterr().out
    assert "one" in said and "nats 1.23" in said and "trained: no" in said
    written = json.loads((tmp_path / "table.json").read_text())
    assert [one["verdict"] for one in written["rows"]] == [UNCOMPARED, OK, FAILED] and written["device"] == "cpu"


def test_a_recipe_that_breaks_its_process_or_takes_too_long_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = device_run.one_recipe("digits-pixelcnn", "cpu", time.monotonic() + 60)
    assert found.verdict == FAILED and found.note.startswith("exit 1")
    assert "time was up" in device_run.one_recipe("digits-pixelcnn", "cpu", time.monotonic() - 1).note


def test_tests_that_failed_or_were_left_out_have_not_held(tmp_path):
    report = tmp_path / "cuda.xml"
    suite = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="{}">{}</testsuite></testsuites>'
    failure = '<testcase name="one"><failure message="it is&#10;wrong"/></testcase>'
    for given, verdicts in (((2, 0, 0, ""), [OK]), ((2, 0, 1, ""), [FAILED]), ((2, 1, 0, failure), [FAILED, FAILED])):
        report.write_text(suite.format(*given))
        assert [row.verdict for row in read_report(report)] == verdicts
    assert next(row for row in read_report(report) if row.what == "one").note == "it is"


def judged(answers, small=False, most=0.5, other="old"):
    speeds = Speed(None, "cpu" if small else "cuda", None, 0)
    return speeds._judged("a step", answers, "ms", most, other)


def test_figures_are_judged_by_the_older_builds():
    assert judged({"new": {"ms": 1.0}, "old": {"ms": 2.0}}).verdict == OK
    assert judged({"new": {"ms": 1.1}, "old": {"ms": 2.0}}).verdict == FAILED
    assert judged({"new": {"error": "it broke"}, "old": {"ms": 2.0}}).verdict == FAILED
    assert judged({"new": {"ms": 1.0}}).verdict == UNCOMPARED
    assert judged({"new": {"ms": 1.0}, "old": {"error": "it broke"}}).verdict == UNCOMPARED
    assert judged({"new": {"ms": 1.0}, "plain": {"ms": 2.0}}, other="plain").figures["ratio"] == 0.5
    assert judged({"new": {"ms": 9.0}, "old": {"ms": 2.0}}, small=True).verdict == OK


def test_a_build_that_dies_or_hangs_is_told_and_begun_anew(tmp_path, monkeypatch):
    end = time.monotonic() + 60
    assert Worker("/bin/true").ask({"do": "version"}, end)["error"] == "the process died"
    assert "not begun" in Worker("/bin/true").ask({}, time.monotonic() - 1)["error"]
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(speed, "LONGEST", 0.2)
    worker = Worker(str(sleeper))
    assert "no answer" in worker.ask({"do": "version"}, end)["error"] and worker.process is None


def test_a_worker_measures_whole_steps_walks_and_ancestral_sampling(tmp_path, monkeypatch):
    speeds = Speed(tmp_path, "cpu", None, 0)
    step = speeds._step("mnist-gated", speeds._options("mnist-gated", 4))
    asked = [
        step,
        *(speeds._draw(do, "mnist-pixelcnn", 2) for do in ("walk", "ancestral")),
        {"do": "version"},
        {"do": "x"},
    ]
    answers = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(json.dumps(one) + "\n" for one in asked)))
    monkeypatch.setattr(sys, "stdout", answers)
    speed_worker.main()
    monkeypatch.undo()
    whole, drawn, ancestral, about, wrong = map(json.loads, answers.getvalue().splitlines())
    assert whole["ms"] > 0 and drawn["seconds"] > 0 and drawn["by"] and ancestral["seconds"] > 0
    assert about["torch"] == torch.__version__ and wrong == {"error": "KeyError: 'x'"}


def test_both_builds_are_asked_and_the_fastest_precision_is_taken(tmp_path, monkeypatch):
    asked = []

    def ask(self, request, end):
        asked.append((self.python, request["do"]))
        precision = next((text[-4:] for text in request.get("options", ()) if text.startswith("train.precision")), "")
        return {
            "ms": {"fp32": 8.0, "tf32": 3.0, "bf16": 4.0}.get(precision, 1.0),
            "seconds": 1.0 + (self.python == "old"),
        }

    monkeypatch.setattr(Worker, "ask", ask)
    monkeypatch.setattr(Speed, "_plain", lambda self, batch: {"ms": 5.0, "by": "tf32"})
    rows = {row.what: row for row in Speed(tmp_path, "cuda", "old", 0).rows()}
    assert len(rows) == 11 and {python for python, _ in asked} == {sys.executable, "old"}
    best = rows["step of cifar10-pixelcnnpp, batch 32, best precision, ms"]
    assert best.figures == {"new": 3.0, "old": 4.0, "ratio": 0.75, "at most": 0.5} and best.verdict == FAILED
    plain = rows["step of cifar10-pixelcnnpp, batch 32, best precision, ms, against plain PyTorch"]
    assert plain.figures["ratio"] == 0.6 and plain.verdict == OK
    assert ("old", "ancestral") in asked and (sys.executable, "ancestral") not in asked


def test_the_plain_code_is_causal(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from plain_pixelcnnpp import Plain

    torch.manual_seed(0)
    net = Plain(6, 1, 2, 3, 0.0).double().eval()
    x = torch.randint(256, (1, 3, 8, 8)).double() / 127.5 - 1
    with torch.no_grad():
        before = net(x)
        for place in (0, 5, 28, 62):
            changed = x.clone()
            changed.view(1, 3, -1)[..., place] += 0.5
            assert (net(changed) != before).any(1).flatten().nonzero().min() == place + 1


def test_the_likelihood_of_the_plain_code_is_normalised(monkeypatch):
    """With one component and no colour that depends on another, all sums together are those of the three colours."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from plain_pixelcnnpp import nats

    params = torch.tensor([0.0, 0.1, -0.4, 0.8, -2, -3, -1, 0, 0, 0]).double().view(1, 10, 1, 1)
    levels = torch.arange(256).double() / 127.5 - 1
    image = levels[[100, 80, 200]].view(1, 3, 1, 1)
    total = (2 * nats(image, params)).exp()
    for colour in range(3):
        others = image.repeat(256, 1, 1, 1)
        others[:, colour, 0, 0] = levels
        total *= nats(others, params.expand(256, -1, -1, -1)).neg().exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-4)


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="PIXKIT_LONG=1")
def test_the_whole_script_in_its_small_form(tmp_path):
    assert main(["--device", "cpu", "--jobs", "2", "--json", str(tmp_path / "table.json")]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert {row["what"] for row in rows if row["part"] == "recipes"} == set(packaged_recipes())
