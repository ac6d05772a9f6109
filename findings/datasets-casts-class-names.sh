#!/usr/bin/env bash
# A data set whose class names are brought into another order keeps its numbers: every ant becomes a bee.
#
# Expected: casting a column of ClassLabel(["ant", "bee"]) to ClassLabel(["bee", "ant"]), as one does before two sets
# with the same classes are joined, keeps what each image shows, and a class that the new names lack is refused.
# Seen with datasets 5.2.0: cast and cast_column keep the numbers and exchange the names, whatever the names were:
# nothing is compared. Joining the two sets without the cast is refused ("The features can't be aligned"), so that the
# cast is what one tries next. A column of names (strings) is cast by name, and a name that is not there is an error.
# align_labels_with_mapping, a method of its own, goes by names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 datasets==5.2.0 pyarrow==26.0.1
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import datasets
from datasets import ClassLabel, Dataset, Features, Value, concatenate_datasets

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def names(data):
    return [data.features["label"].int2str(number) for number in data["label"][:]]


def attempt(make):
    try:
        return names(make())
    except Exception as error:
        return type(error).__name__


datasets.disable_progress_bars()
mine = Dataset.from_dict({"label": [0, 1, 0]}, features=Features({"label": ClassLabel(names=["ant", "bee"])}))
other = ClassLabel(names=["bee", "ant"])
theirs = Dataset.from_dict({"label": [0, 1]}, features=Features({"label": other}))
words = Dataset.from_dict({"label": ["ant", "bee", "ant"]}, features=Features({"label": Value("string")}))
cats = ClassLabel(names=["cat", "dog"])
cast = mine.cast(Features({"label": other}))
aligned = mine.align_labels_with_mapping({"bee": 0, "ant": 1}, "label")
expect("as made", names(mine), ["ant", "bee", "ant"])
expect("joined with a set in another order", attempt(lambda: concatenate_datasets([mine, theirs])), "ValueError")
expect("cast to that order", attempt(lambda: mine.cast_column("label", other)), ["bee", "ant", "bee"])
expect("cast, then joined", attempt(lambda: concatenate_datasets([cast, theirs])), ["bee", "ant", "bee", "bee", "ant"])
expect("cast to other animals", attempt(lambda: mine.cast_column("label", cats)), ["cat", "dog", "cat"])
expect("words, cast to that order", attempt(lambda: words.cast_column("label", other)), ["ant", "bee", "ant"])
expect("words, cast to other animals", attempt(lambda: words.cast_column("label", cats)), "ValueError")
expect("aligned by names", names(aligned), ["ant", "bee", "ant"])
sys.exit(bool(failures))
PYTHON
# The output seen:
# as made: ['ant', 'bee', 'ant']
# joined with a set in another order: ValueError
# cast to that order: ['bee', 'ant', 'bee']
# cast, then joined: ['bee', 'ant', 'bee', 'bee', 'ant']
# cast to other animals: ['cat', 'dog', 'cat']
# words, cast to that order: ['ant', 'bee', 'ant']
# words, cast to other animals: ValueError
# aligned by names: ['ant', 'bee', 'ant']
