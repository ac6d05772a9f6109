"""What README says of modules in plain torch is run, and the leak that it shows is made."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Is my network causal?")[2].partition("\n## ")[0]
(CODE,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
(SHOWN,) = re.findall(r"```text\n(.*?)```", SECTION, re.DOTALL)


def made(path, code):
    path.write_text(code, encoding="utf-8")
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_three_networks_are_proved(tmp_path):
    found = made(tmp_path / "networks.py", CODE)
    assert {found.transformer.verdict, found.made.verdict, found.wavenet.verdict} == {"proved"}
    assert {relied.name for relied in found.made.relies_on} == {"first_mask", "last_mask"}
    assert found.field[0].tolist() == [False] * 4 + [True] * 8
    assert "networks" not in sys.modules


def test_the_leak_is_told_as_it_is_shown(tmp_path):
    code = CODE.replace(", is_causal=True", "").partition("\n\nclass Made")[0]
    said = str(made(tmp_path / "gpt.py", code).transformer).splitlines()
    shown = SHOWN.splitlines()
    assert said[0] == shown[0]
    assert re.sub(r"blamed: \S+gpt.py:", "blamed: gpt.py:", said[1]) == shown[1]
    numbers = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
    assert numbers.sub("0", said[2]) == numbers.sub("0", shown[2])
    assert said[3].startswith(shown[3].removesuffix(" ..."))
