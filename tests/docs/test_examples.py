"""Examples in docstrings: every public layer, head, ordering, mask and sampler has one, and they give what they say.

They begin where a reader does, with `import pixkit, torch` and the public names of the example's module.
"""

import doctest
import inspect
from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torch.distributions import Distribution

import pixkit

KINDS = (nn.Module, Distribution, pixkit.Ordering, pixkit.TapShape, pixkit.Sampler)
EXEMPLARY = ("heads", "layers", "orderings", "samplers")


def parts(module):
    """Classes and functions of a public module, by name, and those of its registry."""
    found = [getattr(module, name) for name in module.__all__]
    found += [cls for registry in found if isinstance(registry, Mapping) for cls in registry.values()]
    return {each.__name__: each for each in found if inspect.isclass(each) or inspect.isfunction(each)}


def examples(module):
    """The examples of each of them, as doctest finds them."""
    names = {name: getattr(module, name) for name in module.__all__}
    finder = doctest.DocTestFinder(recurse=False)
    return {
        name: finder.find(each, name, module=False, globs={**names, "pixkit": pixkit, "torch": torch})
        for name, each in parts(module).items()
    }


@pytest.mark.parametrize("name", EXEMPLARY)
def test_every_public_part_has_an_example(name):
    module = getattr(pixkit, name)
    found = examples(module)
    lacking = [
        each
        for each, value in parts(module).items()
        if inspect.isfunction(value) or (issubclass(value, KINDS) and not inspect.isabstract(value))
        if not any(test.examples for test in found[each])
    ]
    assert lacking == []


@pytest.mark.parametrize("name", ["", *EXEMPLARY])
def test_examples_give_what_they_say(name):
    found = examples(getattr(pixkit, name) if name else pixkit)
    assert len(found) > 5
    report = []
    for test in [test for tests in found.values() for test in tests if test.examples]:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert "".join(report) == ""
