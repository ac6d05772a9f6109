"""Build the site: `python .ci/site/build.py FOLDER`, with pixkit-models[docs] installed. Any warning is an error.

Markdown pages keep their places in the tree, so that the links between them hold here as on a hub of code; the API
reference is made from the docstrings of the public names.
"""

import ast
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sphinx.cmd.build import main

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pixkit import public
from pixkit.catalogue.topics import topics

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = ("*.md", "pixkit/*.md", "pixkit/*/*.md", "plugins/*.md", "recipes/*.md", "tests/*.md", "tests/*/*.md")


def stage(folder):
    """The pages, and the files that they link to; the guides in the order of their index."""
    for path in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        for file in [path, *((path.parent / target).resolve() for target in linked)]:
            if file.is_file() and file.is_relative_to(ROOT):
                target = folder / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    listed = [each.path for each in topics().values() if each.path.name != "README.md"]
    guides = "\n".join(path.relative_to(ROOT).with_suffix("").as_posix() for path in listed)
    index = (HERE / "index.md").read_text(encoding="utf-8").replace("GUIDES", guides)
    (folder / "index.md").write_text(index, encoding="utf-8")


def groups():
    """The comments of __init__.pyi, each with the names below it."""
    text = (ROOT / "pixkit" / "__init__.pyi").read_text(encoding="utf-8")
    for block in re.split(r"\n\n(?=# )", text)[1:]:
        comment, _, rest = block.partition("\n")
        nodes = [node for node in ast.parse(rest).body if isinstance(node, ast.ImportFrom)]
        names = [alias.name for node in nodes for alias in node.names if alias.name not in public.modules()]
        yield re.split("[.:;]", comment.removeprefix("# "))[0], names


def reference(folder):
    """A page of the names at the top, by the groups of __init__.pyi, and one of each public module."""
    folder.mkdir()
    lines = [*_title("pixkit", "="), "Names at the top: ``import pixkit``.", ""]
    for title, names in groups():
        if names:
            lines += _title(title, "-")
            lines += [line for name in names for line in _directive(name)]
    _write(folder / "pixkit.rst", lines)
    above = set(public.listed())
    for name in public.modules():
        twice = sorted(above.intersection(public.find(name).__all__))
        excluded = [f"   :exclude-members: {', '.join(twice)}"] if twice else []
        also = ["", f"At the top of pixkit: {', '.join(f'`{each}`' for each in twice)}."] if twice else []
        page = [*_title(f"pixkit.{name}", "="), f".. automodule:: pixkit.{name}", *excluded, *also, ""]
        components = [line for cls in registered(public.find(name)) for line in _component(cls)]
        _write(folder / f"{name}.rst", [*page, *(_title("By name", "-") if components else []), *components])
    contents = ["", "   pixkit", *(f"   {name}" for name in sorted(public.modules()))]
    _write(folder / "index.rst", [*_title("API reference", "="), ".. toctree::", "   :maxdepth: 1", *contents, ""])


def registered(module):
    """The classes of a module's registries that it exports by the names of recipes only."""
    exported = [getattr(module, name) for name in module.__all__]
    found = [cls for registry in exported if isinstance(registry, Mapping) for cls in registry.values()]
    return [cls for cls in found if isinstance(cls, type) and cls not in exported]


def _component(cls):
    return [f".. autoclass:: {cls.__module__}.{cls.__qualname__}", "   :exclude-members: Config", ""]


def _directive(name):
    kind = "class" if isinstance(public.find(name), type) else "function"
    return [f".. auto{'exception' if name.endswith('Error') else kind}:: pixkit.{name}", ""]


def _title(text, sign):
    return [text, sign * len(text), ""]


def _write(path, lines):
    path.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        stage(source)
        reference(source / "api")
        options = ["-q", "-W", "--keep-going", "-c", str(HERE), "-d", f"{folder}/doctrees"]
        sys.exit(main([*options, str(source), *sys.argv[1:]]))
