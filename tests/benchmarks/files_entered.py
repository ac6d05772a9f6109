"""How many files a reader opens on the way from a recipe to the first training step.

    python tests/benchmarks/files_entered.py [RECIPE] [KEY=VALUE ...]

Counted are the distinct source files of `pixkit` and `pixkit_plugins` in which some function is called
(`sys.setprofile`) from the moment that `build()` is called, with a recipe that is loaded already, until the first
training step has been made. All modules are imported and all plugins loaded before, so that bodies of modules do not
count, nor does reading the recipe. Run against another checkout by PYTHONPATH=ROOT:ROOT/plugins: the script runs with
0.1, too. 0.1 (of 0a8771e): 61 files for digits-pixelcnn.
"""

import gc
import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import pixkit

PACKAGES = ("pixkit", "pixkit_plugins")


def import_all():
    """Import every module of the packages; give the module that has `build`."""
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    try:
        return importlib.import_module("pixkit.training.build")
    except ModuleNotFoundError:
        return importlib.import_module("pixkit.build")  # 0.1


class Entered:
    """While entered itself, notes each file in which a function is called, and the first such function."""

    def __init__(self, roots, last):
        self.roots = roots
        self.last = last.__code__
        self.first = {}
        self._over = False

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if self._over or event not in ("call", "return"):
            return
        if event == "return":
            self._over = code is self.last
        elif code.co_filename not in self.first and code.co_filename.startswith(self.roots):
            self.first[code.co_filename] = code.co_qualname

    def __enter__(self):
        gc.collect()
        gc.disable()  # a generator that is collected is entered
        sys.setprofile(self)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        gc.enable()


def main(recipe="digits-pixelcnn", *overrides):
    builds = import_all()
    from pixkit.recipe import load_recipe
    from pixkit.training.step import Stepper

    loaded = load_recipe(recipe, ["train.steps=1", "sample.count=1", *overrides])
    roots = tuple(f"{Path(importlib.import_module(name).__path__[0]).resolve()}/" for name in PACKAGES)
    with tempfile.TemporaryDirectory() as folder, Entered(roots, Stepper.make) as entered:
        builds.build(loaded, Path(folder) / "run", device="cpu")
    above = Path(pixkit.__file__).resolve().parents[1]
    for file, function in entered.first.items():
        print(f"{Path(file).relative_to(above)}  {function}")
    print(f"{len(entered.first)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])
