#!/usr/bin/env bash
# Sphinx's napoleon takes what stands before a colon in an attribute's docstring for its type, also where the colon stands within `code`.
#
# Expected: in the docstring under an attribute, `Where \`binarise: threshold\` cuts.`, code in single backticks is left alone, as it is in the docstrings of
# functions and in ``double backticks`` here.
# Seen with Sphinx 9.0.4: the sentence is cut at that colon. "Where `binarise" is shown as the type, "threshold` cuts." as the description, and docutils warns of a
# backtick without an end. Within ``double backticks`` the colon is left alone.
# Written with YAML keys, `key: value`, or with slices, attributes' texts lose their beginning to the type. A hook of "autodoc-process-docstring" that comes before
# napoleon's (priority below 500) and doubles the backticks is enough.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check sphinx==9.0.4 docutils==0.22.4
mkdir "$folder/source"
cat > "$folder/source/conf.py" <<'PYTHON'
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
PYTHON
cat > "$folder/source/index.rst" <<'RST'
Settings
========

.. automodule:: settings
   :members:
   :member-order: bysource
RST
cat > "$folder/source/settings.py" <<'PYTHON'
"""Settings."""

SINGLE = 0.5
"""Where `binarise: threshold` cuts."""
DOUBLE = 0.5
"""Where ``binarise: threshold`` cuts."""


def function():
    """Where `binarise: threshold` cuts."""
PYTHON
"$folder/venv/bin/python" -m sphinx -q -b text "$folder/source" "$folder/out" 2> "$folder/warnings" || true
cat "$folder/out/index.txt"
sed "s|$folder|FOLDER|g" "$folder/warnings"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
text, warned = (folder / "out/index.txt").read_text(), (folder / "warnings").read_text()
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


single, rest = text.split("settings.DOUBLE")
double, function = rest.split("settings.function")
expect("a type, and half of the sentence", "Type:" in single and "threshold` cuts." in single)
expect("a warning", "SINGLE" in warned and "interpreted text" in warned)
expect("nothing of it where backticks are double", "Type:" not in double and '"binarise: threshold" cuts.' in double)
expect("nor in a function", "Type:" not in function and "binarise: threshold" in function)
sys.exit(bool(failures))
PYTHON
# The output seen:
# Settings
# ********
#
# Settings.
#
# settings.SINGLE = 0.5
#
#    threshold` cuts.
#
#    Type:
#       Where >>`<<binarise
#
# settings.DOUBLE = 0.5
#
#    Where "binarise: threshold" cuts.
#
# settings.function()
#
#    Where *binarise: threshold* cuts.
# FOLDER/source/settings.py:docstring of settings.SINGLE:3: WARNING: Inline interpreted text or phrase reference start-string without end-string. [docutils]
# as before: a type, and half of the sentence
# as before: a warning
# as before: nothing of it where backticks are double
# as before: nor in a function
