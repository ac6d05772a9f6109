#!/usr/bin/env bash
# Tab after --device=cu leaves "cuda" in the option's place, or offers nothing.
#
# Expected: a program made with click completes `demo --device=cu` to `demo --device=cuda`, as the long options of most
# programs do, whichever of the two ways of writing a value one prefers.
# Seen with click 8.5.1: the part up to the sign is taken off what is to be completed and never put back. What zsh and fish
# are told to put in place of the whole word is `cuda`; `demo --device cu`, with a space, is right. Whoever writes values
# after an equals sign has to put the option's name before what click answers, as pixkit's completion does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check click==8.5.1
"$folder/venv/bin/python" - <<'PYTHON'
import os
import subprocess
import sys

PROGRAM = """
import click

@click.command()
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]))
def demo(device):
    pass

demo(prog_name="demo")
"""
found = {}
for words, last in (("demo --device cu", "cu"), ("demo --device=cu", "--device=cu")):
    variables = {"_DEMO_COMPLETE": "zsh_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True).stdout
    found[words] = said.split()[1]
    print(f"{words}<Tab>: in place of {last} comes {found[words]}")
before = {"demo --device cu": "cuda", "demo --device=cu": "cuda"}
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# demo --device cu<Tab>: in place of cu comes cuda
# demo --device=cu<Tab>: in place of --device=cu comes cuda
# as before
