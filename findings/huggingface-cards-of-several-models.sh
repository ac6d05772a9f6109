#!/usr/bin/env bash
# A model card with the scores of two models gives all of them to the last one once huggingface_hub has read it; uncertainties go, too.
#
# Expected: ModelCard.load(...).save(...) keeps the metadata. The "model-index" of a card is a list, for cards of several models, each with its name and results;
# what the library does not know, as the standard error beside a metric's value, stays as it is. EvalResult takes a numpy number as a number, or refuses it.
# Seen with huggingface_hub 2.4.0: reading makes one list of all models' results and keeps the last model's name; str(card), save and push_to_hub write one model
# with that name, here one that has no results: both likelihoods are its own now. Of a metric's keys type, value, name, config and args are kept (and verified); any
# other is dropped: here error. There is no warning. A numpy float32, which mean() gives, is written as a Python object of many lines, which the library itself
# cannot read.
# One card for each model, or read and write the YAML without ModelCard; float(value) before EvalResult.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check huggingface_hub==2.4.0 pyyaml==6.0.4 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def index(text):
    """What the card's list of models has: a name, and metrics, of each."""
    models = yaml.safe_load(text.split("---")[1]).get("model-index", [])
    return [(each["name"], [m for result in each["results"] for m in result["metrics"]]) for each in models]


CARD = """---
license: mit
model-index:
- name: pixelcnn
  results:
  - task: {type: image-generation}
    dataset: {type: mnist, name: MNIST}
    metrics: [{type: nats, value: 81.3, error: 0.4}]
- name: gated
  results:
  - task: {type: image-generation}
    dataset: {type: mnist, name: MNIST}
    metrics: [{type: nats, value: 80.1, error: 0.3}]
- name: untested
  results: []
---
Two models.
"""
with open("README.md", "w") as file:
    file.write(CARD)
card = ModelCard.load("README.md")
card.save("saved.md")
with open("saved.md") as file:
    found = index(file.read())
print("before:", index(CARD))
print("after: ", found)
expect("one model, of the last one's name, with all metrics and no errors", found == [("untested", [{"type": "nats", "value": v} for v in (81.3, 80.1)])])
expect("the data say the same", (card.data.model_name, len(card.data.eval_results)) == ("untested", 2))

result = EvalResult("image-generation", "mnist", "MNIST", "nats", np.float32([80, 81]).mean())
text = ModelCardData(model_name="gated", eval_results=[result]).to_yaml()
print(text)
try:
    ModelCard(f"---\n{text}\n---\n")
    read = "read"
except yaml.YAMLError as error:
    read = type(error).__name__
expect(f"a numpy number is written as a Python object, which is not read: {read}", "!!python/object" in text and read == "ConstructorError")
sys.exit(bool(failures))
PYTHON
# The output seen:
# before: [('pixelcnn', [{'type': 'nats', 'value': 81.3, 'error': 0.4}]), ('gated', [{'type': 'nats', 'value': 80.1, 'error': 0.3}]), ('untested', [])]
# after:  [('untested', [{'type': 'nats', 'value': 81.3}, {'type': 'nats', 'value': 80.1}])]
# as before: one model, of the last one's name, with all metrics and no errors
# as before: the data say the same
# (the YAML of a numpy number, which begins value: !!python/object/apply:numpy._core.multiarray.scalar)
# as before: a numpy number is written as a Python object, which is not read: ConstructorError
