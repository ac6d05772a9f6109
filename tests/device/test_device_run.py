"""The script for machines with a GPU, tried without one: what it makes, finds and judges."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import asking
import device_run
import every_recipe
import first_look
import nats
import pytest
import speed_worker
import torch
from asking import Worker
from attempts import answer, cuda_tests, read_report
from before import python_of
from device_report import Report
from device_run import BUDGETS, NO_GPU, ends, main
from every_recipe import Tried, check
from made_data import made_data, shape_of
from outcomes import FAILED, OK, UNCOMPARED, Row, exit_code, markdown, table
from speed import Speed

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
    row = Speed(None, "cuda", None, Path).determinism("mnist-gated", 64)
    assert row.verdict == OK and row.figures == {"with": 3.0, "without": 2.0, "ratio": 1.5}
    monkeypatch.setattr(Worker, "ask", lambda self, one, end: {"error": "it broke"})
    assert Speed(None, "cuda", None, Path).determinism("mnist-gated", 64).verdict == FAILED


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
    for part in ("cuda_tests", "every_recipe", "first_looks", "nats", "Report"):
        monkeypatch.setattr(device_run, part, None)
    assert main([]) == main(["--device", "cuda"]) == NO_GPU
    assert "there is no GPU" in capsys.readouterr().out


def test_the_table_is_printed_and_written(tmp_path, capsys, monkeypatch):
    rows = [Row("recipes", "one", OK, "", {"nats": 1.23456}), Row("recipes", "two", FAILED, "trained: no")]
    monkeypatch.setattr(device_run, "every_recipe", lambda *given: rows)
    where = ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "table.json")]
    assert main(["--device", "cpu", "--parts", "tests", "recipes", *where]) == 1
    said = capsys.readouterr().out
    assert "one" in said and "nats 1.23" in said and "trained: no" in said
    for path in (tmp_path / "table.json", tmp_path / "out" / "report.json"):
        written = json.loads(path.read_text())
        assert [one["verdict"] for one in written["rows"]] == [UNCOMPARED, OK, FAILED] and written["device"] == "cpu"


def test_a_part_that_breaks_keeps_what_it_had_and_stops_no_other(tmp_path):
    """Every line is printed, and in the file, before the next thing is tried."""
    said = []
    report = Report(tmp_path, {"device": "cpu"}, said.append)

    def broken():
        yield Row("training", "one", OK, "", {"new": 1.0, "old": 2.0, "ratio": 0.5, "at most": 0.5})
        assert [row["what"] for row in json.loads((tmp_path / "report.json").read_text())["rows"]] == ["one"]
        raise KeyError("two")

    report.take("training", broken())
    report.take("sampling", iter([Row("sampling", "three", OK)]))
    assert [row.verdict for row in report.rows] == [OK, FAILED, OK] and len(said) == 3
    assert "KeyError: 'two'" in (tmp_path / "training.txt").read_text() and "see training.txt" in report.rows[1].note
    assert "| one | 2 | 1 | 0.5 | 0.5 |" in (tmp_path / "report.md").read_text()


def test_the_table_for_readme_names_the_card():
    rows = [
        Row("training", "a step, ms", OK, "", {"new": 1.0, "plain": 2.0, "ratio": 0.5, "at most": 0.6}),
        Row("training", "alone", UNCOMPARED, "", {"new": 3.0}),
        Row("recipes", "one", FAILED, "no"),
    ]
    text = markdown(rows, {"device": "NVIDIA H100", "torch": "2.13"})
    assert "NVIDIA H100, torch 2.13" in text and "| a step, ms | 2 | 1 | 0.5 | 0.6 |" in text
    assert "| alone |  | 3 |  |  |" in text and "0 of 1 other things hold" in text and "- recipes, one" in text


def test_parts_share_the_time_and_leave_what_they_do_not_need():
    whole = ends(tuple(BUDGETS), 100.0, 360.0)
    assert list(whole) == list(BUDGETS) and list(whole.values()) == sorted(whole.values())
    assert max(whole.values()) == pytest.approx(460.0)
    assert ends(("sampling",), 0.0, 60.0) == {"sampling": pytest.approx(60.0)}
    assert list(ends(("recipes", "training"), 0.0, 60.0)) == ["training", "recipes"]


def test_a_script_that_breaks_or_takes_too_long_is_told_with_where_its_output_is(tmp_path):
    log, soon = tmp_path / "part" / "what.txt", time.monotonic() + 60
    log.parent.mkdir()
    broken = answer("part", "what", ["-c", "import sys; sys.exit('it is broken')"], soon, log)
    assert broken.verdict == FAILED and broken.note == "exit 1: it is broken (see part/what.txt)"
    assert log.read_text() == "it is broken\n"
    slow = answer("part", "what", ["-c", "import time; time.sleep(60)"], time.monotonic() + 0.3, log)
    assert slow.verdict == FAILED and slow.note.startswith("did not end within")
    assert "time was up" in answer("part", "what", [], time.monotonic() - 1, log).note
    good = answer("part", "what", ["-c", 'print(\'text\'); print(\'["ok", "so", {"a": 1}]\')'], soon, log)
    assert good == Row("part", "what", OK, "so", {"a": 1})


def test_tests_whose_time_is_up_count_as_far_as_they_came(tmp_path, monkeypatch):
    runner = tmp_path / "runner"
    runner.write_text(
        "#!/bin/sh\necho 'tests/test_a.py::test_one PASSED'\necho 'tests/test_a.py::test_two FAILED'\n"
        "echo 'tests/test_a.py::test_three'\nexec sleep 60\n"
    )
    runner.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(runner))
    found = list(cuda_tests("cuda", time.monotonic() + 1, tmp_path / "tests.txt"))
    assert [row.what for row in found] == ["pytest -m cuda", "tests/test_a.py::test_two"]
    assert "1 passed" in found[0].note and "test_three" in found[0].note


def test_an_older_build_is_had_from_its_wheel_beside_all_else_of_this_environment(tmp_path):
    with zipfile.ZipFile(tmp_path / "pixkit-0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pixkit/__init__.py", "WHO = 'the older one'")
        wheel.writestr("pixkit-0.dist-info/METADATA", "Name: pixkit\nVersion: 0\n")
    python = python_of(tmp_path / "pixkit-0-py3-none-any.whl", tmp_path)
    code = "import pixkit, numpy; from importlib import metadata, util; print(pixkit.WHO, metadata.version('pixkit'),"
    code += " util.find_spec('pixkit_plugins'), [one.name for one in metadata.distributions(name='pixkit-models')])"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    said = subprocess.run(
        [python, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said == "the older one 0 None []\n"


def test_what_is_no_build_is_told(tmp_path, capsys):
    chosen = ["--device", "cpu", "--parts", "tests", "--out", str(tmp_path), "--before", str(tmp_path / "nothing.whl")]
    assert main(chosen) == 1
    assert "no environment with it" in capsys.readouterr().out and (tmp_path / "before.txt").exists()


@pytest.mark.parametrize("look", [name for name in first_look.LOOKS if name not in ("steps", "compiler")])
def test_without_a_gpu_there_is_little_to_look_at_first(look):
    assert first_look.main(look, "cpu")[0] == UNCOMPARED


def test_a_look_that_fails_is_told_with_its_traceback(monkeypatch, capsys):
    monkeypatch.setitem(first_look.LOOKS, "steps", lambda device: 1 / 0)
    assert first_look.main("steps", "cpu") == (FAILED, "ZeroDivisionError: division by zero", {})
    assert "Traceback" in capsys.readouterr().err


def test_a_recipe_is_trained_for_the_steps_that_there_is_time_for(monkeypatch):
    monkeypatch.setattr(nats, "dry_run", lambda recipe, device: SimpleNamespace(seconds_per_step=2.0))
    options = ["model.backbone.width=8", "model.backbone.layers=1", "data.limit_train=40", "data.limit_test=8"]
    request = {"recipe": "digits-pixelcnn", "options": [*options, "train.batch_size=4"], "device": "cpu"}
    verdict, note, figures = nats.main(json.dumps({**request, "seconds": 100.0}))
    assert verdict == OK and figures["test nats"] > 0 and nats.FEWEST <= figures["steps"] <= 35 and "plain" in note
    verdict, note, _ = nats.main(json.dumps({**request, "seconds": 0.0}))
    assert verdict == FAILED and "there is time for" in note


def test_tests_that_failed_or_were_left_out_have_not_held(tmp_path):
    report = tmp_path / "cuda.xml"
    suite = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="{}">{}</testsuite></testsuites>'
    failure = '<testcase name="one"><failure message="it is&#10;wrong"/></testcase>'
    skipped = '<testcase name="two"><skipped message="there is no GPU"/></testcase>'
    cases = {(2, 0, 0, ""): [OK], (2, 0, 1, skipped): [FAILED] * 2, (2, 1, 0, failure): [FAILED] * 2}
    for given, verdicts in cases.items():
        report.write_text(suite.format(*given))
        assert [row.verdict for row in read_report(report)] == verdicts
    assert next(row for row in read_report(report) if row.what == "one").note == "it is"


def judged(answers, small=False, most=0.5, other="old"):
    speeds = Speed(None, "cpu" if small else "cuda", None, Path)
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
    log = tmp_path / "speed-old.txt"
    assert Worker("/bin/true", log).ask({"do": "version"}, end)["error"] == "the process died (see speed-old.txt)"
    assert "not begun" in Worker("/bin/true", log).ask({}, time.monotonic() - 1)["error"]
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(asking, "LONGEST", 0.2)
    worker = Worker(str(sleeper), log)
    assert "no answer" in worker.ask({"do": "version"}, end)["error"] and worker.process is None


def test_the_older_build_is_imported_from_its_own_environment(tmp_path, monkeypatch):
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nread line\necho "{\\"pixkit\\": \\"from $PYTHONPATH.\\"}"\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", "here")
    worker = Worker(str(stub), tmp_path / "log.txt")
    assert worker.ask({"do": "version"}, time.monotonic() + 60) == {"pixkit": "from ."}
    worker.close()


def test_a_worker_measures_whole_steps_walks_and_ancestral_sampling(tmp_path, monkeypatch):
    speeds = Speed(tmp_path, "cpu", None, Path)
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


def test_both_builds_are_asked_and_the_fastest_way_is_taken(tmp_path, monkeypatch):
    asked = []

    def ask(self, request, end):
        asked.append((self.python, request["do"]))
        options = request.get("options", ())
        precision = next((text[-4:] for text in options if text.startswith("train.precision")), "")
        faster = 2.0 if "train.fuse=on" in options else 1.0
        found = {"fp32": 8.0, "tf32": 6.0, "bf16": 7.0}.get(precision, 1.0) / faster
        return {"ms": found, "seconds": 1.0 + (self.python == "old"), "pixkit": self.python}

    monkeypatch.setattr(Worker, "ask", ask)
    monkeypatch.setattr(Speed, "_plain", lambda self, batch: {"ms": 5.0, "by": "tf32"})
    speeds = Speed(tmp_path, "cuda", "old", lambda name: tmp_path / name)
    rows = {row.what: row for row in [*speeds.training_rows(0), *speeds.sampling_rows(0)]}
    assert len(rows) == 12 and {python for python, _ in asked} == {sys.executable, "old"}
    assert rows["the builds"].figures["old build"] == "old"
    best = rows["step of cifar10-pixelcnnpp, batch 32, best precision, ms"]
    assert best.figures == {"new": 3.0, "old": 7.0, "ratio": 3 / 7, "at most": 0.5} and best.verdict == OK
    assert "new: tf32 6, tf32, fused 3, bf16, fused 3.5, bf16, channels-last, fused 3.5" in best.note
    plain = rows["step of cifar10-pixelcnnpp, batch 32, best precision, ms, against plain PyTorch"]
    assert plain.figures["ratio"] == 0.6 and plain.verdict == OK
    assert ("old", "ancestral") in asked and (sys.executable, "ancestral") not in asked


def test_slow_steps_are_measured_by_the_few_that_there_is_time_for(monkeypatch):
    ended = []
    monkeypatch.setattr(speed_worker.os, "kill", lambda *given: ended.append(len(clock.times)))
    clock = speed_worker.Clock(40, 0.0, lambda: None)
    for step in (1, 2, 3, 4):
        clock.step(step, {})
    assert ended == [3] and len(clock.times) == 3
    assert speed_worker.own_options(["train.fuse=on", "train.steps=1", "train.nothing=1", "model.x=1"]) == [
        *("train.fuse=on", "train.steps=1", "model.x=1")
    ]


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
    assert main(["--device", "cpu", "--jobs", "2", "--out", str(tmp_path), "--json", str(tmp_path / "table.json")]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert {row["what"] for row in rows if row["part"] == "recipes"} == set(packaged_recipes())
