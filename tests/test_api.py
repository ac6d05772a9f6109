"""The public API: one short list, lazily imported; the verbs; and what 0.1 had at the top."""

import ast
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

import pixkit
from pixkit import public

FORMER = re.findall(
    r"\w+",
    """
API_VERSION Autoregressive Backbone BackboneRef BackboneSpec Batch BuildResult CausalAttention CausalityError
CheckpointError CodeMaps CodeVector ColourLayerNorm Completion ComponentConfig ComponentSpec ConcatenatedELU Conditioner
DataConfig DataError DataRef DataSource Dataset DiagonalLSTM Encoder EncoderConfig FeatureContext Head HeadRef ImageSet
ImageSpec InputConfig KINDS KeepBefore Known LabelConfig LabelContext LatentModel LoadedRecipe LocalConv2d MaskRef
MaskedConv2d MaskedDownsample MaskedUpsample Maxout MixingLayer Model ModelRef Noise NonFiniteError Ordering OrderingRef
OrientedBackbone Phase PixelDistribution PixkitError PluginError Pointwise PointwiseLayer Recipe RecipeError Registrar
Registry Reorient RowLSTM Run RunError Sampler SamplerRef Shift ShiftedConv2d ShiftedConvTranspose2d SourceImages
TapLayer TapShape Taps UsageError VariationalModel assemble check_multiple complete evaluate hookimpl load load_recipe
prepare split_gaussian build completion figures layers testing __version__
""",
)
"""pixkit.__all__ of 0.1."""
VERBS = ["load", "build", "evaluate", "score", "verify", "sample", "complete", "upscale", "reconstruct"]
VERBS += ["compress", "decompress", "bench", "register"]
PLAIN = ("dict", "Mapping")
LEAVE_ALONE = {"__version__", "completion", *VERBS}


@pytest.mark.parametrize("name", pixkit.__all__)
def test_every_public_name_is_there(name):
    value = getattr(pixkit, name)
    if isinstance(value, type):
        assert value.__name__ == name
    if not isinstance(value, str):
        assert value.__doc__


def test_the_list_is_short_and_has_no_name_twice():
    assert set(VERBS) <= set(pixkit.__all__)
    assert 42 <= len(pixkit.__all__) <= 60
    stub = ast.parse(Path(pixkit.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    stated = [alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert len(stated) == len(set(stated))
    assert sorted({*stated, "__version__"}) == sorted([*pixkit.__all__, *public.modules()])
    assert all(alias.asname == alias.name for node in stub.body if isinstance(node, ast.ImportFrom)
               for alias in node.names), "`X as X` is what makes a name of a stub public"  # fmt: skip


def test_dir_lists_the_public_names_and_modules_alone():
    assert sorted(dir(pixkit)) == sorted([*pixkit.__all__, *public.modules()])


def test_help_fits_a_few_screens_with_an_example_first():
    lines = pydoc.render_doc(pixkit, renderer=pydoc.plaintext).splitlines()
    assert len(lines) < 120
    text = "\n".join(lines)
    assert text.index("model = pixkit.load(") < text.index("PACKAGE CONTENTS")
    named = set(re.findall(r"\w+", pixkit.__doc__))
    errors = {name for name in pixkit.__all__ if name.endswith("Error")}
    assert sorted({*pixkit.__all__} - named - errors) == ["__version__", "printable"]


def test_a_star_import_brings_the_public_names():
    found = {}
    exec("from pixkit import *", found)
    assert set(found) - {"__builtins__"} == set(pixkit.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Orderings'"):
        _ = pixkit.Orderings
    with pytest.raises(ImportError, match="Orderings"):
        exec("from pixkit import Orderings")


@pytest.mark.parametrize("name", public.modules())
def test_public_modules_say_what_they_export(name):
    module = getattr(pixkit, name)
    assert module is importlib.import_module(f"pixkit.{name}")
    assert module.__doc__
    assert [one for one in module.__all__ if not hasattr(module, one)] == []
    assert sorted(module.__all__, key=lambda one: (not one.isupper(), not one[0].isupper(), one)) == module.__all__


@pytest.fixture(scope="module")
def imported():
    """Every module that a name lives in, since what is imported first may warn of torch's own."""
    for home in {*public.FORMER, *public.homes().values(), "pixkit.completion"}:
        importlib.import_module(home)


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("name", FORMER)
def test_every_name_of_0_1_is_importable_and_a_moved_one_says_where_it_is(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = getattr(pixkit, name)
    if name in LEAVE_ALONE or name in dir(pixkit):
        assert not caught
        return
    (warning,) = caught
    assert (warning.category, warning.filename) == (DeprecationWarning, __file__)
    before, _, now = str(warning.message).partition(" is ")
    home, _, attribute = now.removesuffix(" now").rpartition(".")
    assert (before, attribute) == (f"pixkit.{name}", name)
    assert home.removeprefix("pixkit.") in public.modules()
    module = importlib.import_module(home)
    assert getattr(module, name) is value
    assert name in module.__all__


def test_no_name_is_both_public_and_former():
    former = [name for names in public.FORMER.values() for name in names.split()]
    assert len(former) == len(set(former))
    assert not set(former) & set(dir(pixkit))
    assert set(former) == set(FORMER) - set(dir(pixkit)) - LEAVE_ALONE


def test_the_texts_list_the_verbs_that_there_are():
    block = Path(pixkit.__file__).with_suffix(".pyi").read_text(encoding="utf-8").split("# Verbs")[1].split("\n\n")[0]
    assert re.findall(r"^from .* as (\w+)$", block, re.MULTILINE) == VERBS
    block = Path(pixkit.__file__).with_suffix(".pyi").read_text(encoding="utf-8").split("# From Python alone")[1]
    others = re.findall(r"^from .* as (\w+)$", block.split("\n\n")[0], re.MULTILINE)
    assert others == ["load_recipe", "component", "build_model", "train"]
    (stated,) = re.findall(r"These are the verbs \(([a-z\s]+)\)", pixkit.__doc__)
    assert sorted(stated.split()) == sorted(VERBS)
    page = (Path(pixkit.__file__).parent / "docs" / "python.md").read_text(encoding="utf-8")
    (stated,) = re.findall(r"Every command is a function.*?`([a-z\s]+)`,\s+and `register`", page, re.DOTALL)
    assert sorted(stated.split()) == sorted(set(VERBS) - {"register"})


def test_build_is_the_verb_and_still_a_module():
    import pixkit.build as module
    from pixkit.training.build import build

    assert pixkit.build is module and callable(module)
    assert inspect.signature(pixkit.build) == inspect.signature(build)
    assert pixkit.build.__doc__ == build.__doc__
    assert pixkit.build.build is build
    training = importlib.import_module("pixkit.training")
    homes = {**dict.fromkeys(("BuildResult", "DryRun", "dry_run"), training), "evaluate": pixkit, "load": pixkit}
    for name, home in homes.items():
        with pytest.warns(DeprecationWarning, match=f"pixkit.build.{name} is {home.__name__}.{name} now"):
            value = getattr(module, name)
        assert value is getattr(home, name)
    with pytest.warns(DeprecationWarning, match="load is pixkit.load now"):
        from pixkit.build import load
    assert load is pixkit.load
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        _ = module.bild


def test_completion_is_the_module_of_0_1():
    import pixkit.completion as module

    assert module.__all__ == ["Completion", "complete", "conditional_nats", "hide_box", "hide_random", "keep_edge"]
    for name in module.__all__:
        with pytest.warns(DeprecationWarning, match=f"pixkit.completion.{name} is "):
            assert getattr(module, name).__name__ == name


def test_importing_pixkit_imports_nothing_heavy():
    code = (
        "import sys, pixkit; print(*sorted({'torch', 'numpy', 'pydantic', 'rich', 'yaml', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_names_are_imported_one_by_one():
    code = (
        "import sys, pixkit; pixkit.ImageSpec, pixkit.UsageError; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


def bare(annotation):
    """Whether an annotation has an Any that is not the values of a mapping, which are plain data."""
    mappings = [
        node for node in ast.walk(annotation) if isinstance(node, ast.Subscript) and ast.unparse(node.value) in PLAIN
    ]
    inside = {id(node) for mapping in mappings for node in ast.walk(mapping)}
    return any(isinstance(node, ast.Name) and node.id == "Any" and id(node) not in inside
               for node in ast.walk(annotation))  # fmt: skip


def loose(value):
    """The public functions and attributes of a class, or the function itself, typed with an Any without a reason."""
    lines = textwrap.dedent(inspect.getsource(value)).splitlines()
    (whole,) = ast.parse("\n".join(lines)).body
    for node in [whole] if isinstance(whole, ast.FunctionDef) else whole.body:
        name = getattr(node, "name", "")
        if isinstance(node, ast.FunctionDef) and (name == "__init__" or not name.startswith("_")):
            parameters = [*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            typed = [*(each.annotation for each in parameters if each is not None), node.returns]
            last = node.body[0].lineno - 1
        elif isinstance(node, ast.AnnAssign):
            typed, last = [node.annotation], node.end_lineno
        else:
            continue
        above = inspect.getcomments(value) if node is whole else lines[node.lineno - 2]
        said = any("#" in line for line in [above or "", *lines[node.lineno - 1 : last]])
        if not said and any(bare(each) for each in typed if each is not None):
            yield f"{value.__module__}.{value.__qualname__}: {lines[node.lineno - 1].strip()}"


def test_any_in_the_public_api_says_why():
    modules = [pixkit, *(getattr(pixkit, name) for name in public.modules())]
    values = {id(value): value for module in modules for name in module.__all__
              if inspect.isclass(value := getattr(module, name)) or inspect.isfunction(value)}  # fmt: skip
    ours = [value for value in values.values() if value.__module__.startswith("pixkit.")]
    assert len(ours) > 200
    assert [each for value in ours for each in loose(value)] == []
