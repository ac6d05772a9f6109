"""The harness in small: what it plants says something else, and it tells what tests notice from what they do not."""

import ast
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import c_faults
import choosing
import pytest
import python_faults
import sampling
from planted import Fault

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOY = '''\
Number = int | float


def clipped(x, low, high):
    """x, or the bound that it is beyond."""
    return max(low, min(x, high))


def untested(x):
    return x * 2
'''
TESTS = """\
from pixkit.toy import clipped


def test_clipped():
    assert [clipped(x, 2, 4) for x in (1, 2, 3, 4, 5)] == [2, 2, 3, 4, 4]
"""
CONFTEST = "import pixkit.toy"
ENDLESS = """\
import time


def test_waiting():
    time.sleep(3600)


def test_working():
    while True:
        pass
"""
RUN = """\
import sys, trials
trials.WARM = ()
import run
from pathlib import Path
run.ROOT, work = map(Path, (sys.argv.pop(1), sys.argv[2]))
run.main()
run.main()
bench = trials.Bench(run.ROOT, work / "job")
print("ended", *(bench.pytest(["tests/endless.py", "-k", name], [], 0.5) for name in ("waiting", "working")))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What became of every fault that can be drawn from a toy, by its text, and what the harness said."""
    top = tmp_path_factory.mktemp("mutation")
    texts = {"pixkit/toy.py": TOY, "pixkit/__init__.py": "", "tests/test_toy.py": TESTS, "tests/endless.py": ENDLESS}
    texts["tests/conftest.py"] = CONFTEST
    for name, text in {**texts, "pytest.ini": ""}.items():
        path = top / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-c", RUN, top / "tree", "--work", top / "work", "--count", "20", "--c-share", "0"]
    variables = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (top / "tree" / "pixkit" / "toy.py").read_text() == TOY
    lines = [json.loads(line) for line in (top / "work" / "results.jsonl").read_text().splitlines()]
    return {line["diff"].partition("\n+")[2].partition("\n")[0].strip(): line for line in lines}, done.stdout


def test_faults_in_what_is_tested_are_noticed_and_in_what_is_not_survive(results):
    lines, _ = results
    wrong = lines["return max(low, max(x, high))"]
    assert (wrong["verdict"], wrong["by"]) == ("caught", "tests/test_toy.py::test_clipped")
    assert wrong["said"] == "AssertionError"
    assert lines["Number = int & float"]["by"] == "a conftest.py, which imports it"
    survivors = {text for text, line in lines.items() if line["verdict"] == "survived"}
    assert survivors - {"pass"} == {text for text in lines if "x *" in text or "x /" in text or "x +" in text}


def test_a_second_run_tries_nothing_again_and_says_the_same(results):
    _, said = results
    tried, total = map(int, re.findall(r"^(\d+) of (\d+) faults tried", said, re.MULTILINE)[0])
    trials, first, second = said.removesuffix("ended None None\n").split(f"{total} of {total} faults tried")
    assert tried == total == len(re.findall(r"^(?:caught|survived) ", trials, re.MULTILINE)) > 5
    assert first == second


def test_a_test_that_never_ends_is_ended(results):
    _, said = results
    assert said.endswith("ended None None\n")


FILES = [ROOT / "pixkit" / "files.py", ROOT / "pixkit" / "layers" / "masked.py", ROOT / "pixkit" / "recipe" / "yaml.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_drawn_can_be_parsed_and_is_something_else_and_most_can_be_drawn(path):
    text = path.read_text(encoding="utf-8")
    faults = [Fault(path.name, place, new, text) for place in python_faults.places(text) for new in place.replacements]
    sample = random.Random(1).sample(faults, 40)
    sound = [fault for fault in sample if sampling.differs(fault)]
    assert len(sound) > 35
    tree = ast.dump(ast.parse(text))
    assert all(ast.dump(ast.parse(fault.mutated)) != tree and fault.diff for fault in sound)


def test_each_kind_of_fault_in_python():
    text = "def f(a, b):\n    g(a, b)\n    if a < 1 and not b:\n        return a[b:] + max(a, zip(b, strict=True))\n"
    found = {}
    for place in python_faults.places(text):
        found.setdefault(place.kind, set()).add(Fault("f.py", place, place.replacements[0], text).mutated)
    assert found["arguments"] == {text.replace("g(a, b)", "g(b, a)")}
    assert text.replace("g(a, b)", "pass") in found["statement"]
    assert found["comparison"] == {text.replace("<", "<=")}
    assert found["constant"] == {text.replace("1", "2")}
    assert found["condition"] >= {text.replace("not b", "bool(b)")}
    assert found["off by one"] == {text.replace("[b:", "[((b) + 1):")}
    assert found["arithmetic"] == {text.replace("] +", "] -")}
    assert found["choice"] == {text.replace("and", "or"), text.replace("max", "min")}


def test_each_kind_of_fault_in_c():
    text = "real f(real *x, i64 n) { real sum = 0; if (n > 1) sum += -x[n] * 2; return sum; }\n"
    found = {}
    for place in c_faults.places(text):
        found.setdefault(place.kind, set()).add(Fault("f.c", place, place.replacements[0], text).mutated)
    assert found["comparison"] == {text.replace("n > 1", "n >= 1")}
    assert found["sign"] == {text.replace("+=", "-="), text.replace("-x", " x"), text.replace("] * 2", "] / 2")}
    assert found["index"] == {text.replace("[n]", "[n + 1]")}
    assert found["constant"] >= {text.replace("2", "3")}
    assert found["statement"] == {text.replace("sum += -x[n] * 2;", ";")}


@pytest.mark.needs_compiler
def test_what_the_compiler_refuses_or_makes_the_same_code_of_is_known(tmp_path):
    def meaning(body):
        (tmp_path / "kernel.c").write_text(f"REAL f(REAL x) {{\n{body}\n}}\n")
        return list(c_faults.codes(tmp_path))

    assert meaning("return x + 1;") == meaning("return 1 + x;") != meaning("return x + 2;")
    assert meaning("return y;") == [None] * 3
    strict = "#ifdef STRICT\nreturn x * {};\n#else\nreturn x;\n#endif"
    assert meaning(strict.format(2)) != meaning(strict.format(3))


@pytest.mark.needs_compiler
def test_kernels_of_trials_are_compiled_with_little_optimisation(tmp_path):
    (tmp_path / "f.c").write_text(
        "int f(int *x) {\n    int sum = 0;\n    for (int i = 0; i < 99; i++) sum += x[i];\n    return sum;\n}\n"
    )
    quick = c_faults.quick(tmp_path)

    def made(*command):
        return subprocess.run([*command, "-S", tmp_path / "f.c", "-o", "-"], capture_output=True, check=True).stdout

    assert made(quick, "-O3") == made(c_faults.compiler(), "-O1") != made(c_faults.compiler(), "-O3")


def test_a_fault_in_the_coder_is_tried_on_its_own_tests_first():
    paths = ("tests/execution/test_a.py", "tests/codec/test_b.py", "tests/heads/test_c.py")
    tests = [choosing.Test(f"{path}::test", seconds, frozenset()) for seconds, path in enumerate(paths)]
    first = {}
    for name in ("code.h", "attend.h"):
        fault = Fault(f"pixkit/execution/native/{name}", c_faults.places("int x = 1;")[0], "2", "int x = 1;")
        (first[name],), left = choosing.choose(fault, tests, 9, 9)
        assert left == ()
    assert {name: [test.path for test in chosen] for name, chosen in first.items()} == {
        "code.h": [paths[1], paths[0]],
        "attend.h": [paths[0]],
    }


def test_the_same_seed_draws_the_same_faults_and_no_place_twice():
    draws = [list(sampling.draw(ROOT, seed, 30, FILES)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len({fault.place for fault in draws[0]}) == 30


def test_faults_can_be_confined_to_files_and_kinds():
    drawn = list(sampling.draw(ROOT, 1, 10, FILES, ["pixkit/layers"], ["choice", "condition"]))
    assert {fault.path for fault in drawn} == {"pixkit/layers/masked.py"}
    assert {fault.place.kind for fault in drawn} == {"choice", "condition"}
    assert {fault.place.kind for fault in sampling.draw(ROOT, 1, 3, FILES, among=["off by one"])} == {"off by one"}


def test_a_fault_in_an_operation_of_c_is_tried_on_the_tests_of_its_name_first():
    text = "#define UNARY(ROW) \\\n    ROW(ELU, x > 0 ? x : -x) \\\n    ROW(RELU, x * 2)\n"
    text += "void g(int op) {\n    switch (op) {\n    case GLU:\n        y = x + 1;\n    }\n}\nreal h() { return 3; }\n"
    scopes = {text.encode()[place.start - 2 : place.end].decode(): place.scope for place in c_faults.places(text)}
    assert (scopes["x >"], scopes["x *"], scopes["x +"], scopes["n 3"]) == ("ELU", "RELU", "GLU", "")
    fault = Fault("pixkit/execution/native/f.c", next(p for p in c_faults.places(text) if p.scope == "GLU"), "-", text)
    names = ("[quick]", "[relu]", "[aten.glu]", "[elu]")
    tests = [
        choosing.Test(f"tests/execution/test_a.py::{name}", seconds, frozenset()) for seconds, name in enumerate(names)
    ]
    (first, second), left = choosing.choose(fault, tests, 1.5, 2.5)
    assert [[names.index(test.name.partition("::")[2]) for test in part] for part in (first, second, left)] == [
        [2],
        [0],
        [1, 3],
    ]
    kernels = choosing.Test("tests/execution/test_native.py::[slow]", 9, frozenset())
    (_, second), _ = choosing.choose(fault, [*tests, kernels], 1.5, 20.0)
    assert second[0] == kernels
