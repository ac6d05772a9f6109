"""Sphinx's configuration of the site that build.py makes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from docstrings import prepare

import pixkit

project = "pixkit"
copyright = "the pixkit contributors"
release = pixkit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"pixkit {release}"
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "imported-members": True}
suppress_warnings = ["ref.python"]  # of annotations, in which a bare `Config` may be any component's; links are others
napoleon_google_docstring, napoleon_numpy_docstring = True, False
python_use_unqualified_type_names = True


def setup(app):
    """Docstrings are prose with backticks before they are reStructuredText; how pydantic is set up is no key."""
    app.connect("autodoc-process-docstring", prepare, priority=100)
    app.connect("autodoc-skip-member", lambda *event: True if event[2] == "model_config" else None)
