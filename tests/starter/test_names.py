"""The names of a new plugin."""

import pytest

from pixkit.errors import UsageError
from pixkit.starter import Names, names_for


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pixkit-blue-noise", ("pixkit-blue-noise", "pixkit_blue_noise", "blue_noise", "BlueNoise")),
        ("Blue.Noise_2", ("blue-noise-2", "blue_noise_2", "blue_noise_2", "BlueNoise2")),
        ("waves", ("waves", "waves", "waves", "Waves")),
        ("pixkit-random", ("pixkit-random", "pixkit_random", "random", "Random")),
    ],
)
def test_they_follow_from_one(name, expected):
    names = Names.of(name)
    assert (names.distribution, names.module, names.component, names.cls) == expected


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((name, "not a valid name for a plugin") for name in ("", "2d", "-a", "a-", "a b", "a/b", "blå", "pixkit-2d")),
        *((name, "belongs to pixkit") for name in ("pixkit", "pixkit-models", "Pixkit_Plugins")),
        *((name, "Python has") for name in ("random", "class", "CSV", "torch", "pillow")),
        *((name, "recipes cannot name it") for name in ("true", "pixkit-none", "pixkit-null")),
    ],
)
def test_what_cannot_be_one_is_refused(name, said):
    with pytest.raises(UsageError, match=said) as caught:
        Names.of(name)
    assert (caught.value.where, caught.value.found) == ("NAME", repr(name))
    hints = {"Python has": f"pixkit-{name.lower()}", "recipes cannot name it": f"pixkit-my-{name.split('-')[-1]}"}
    assert caught.value.hint == hints.get(said)


@pytest.mark.parametrize(
    ("kind", "name", "cls"),
    [
        ("sampler", "passes", "PassesSampler"),  # a class of the module
        ("norm", "tensor", "TensorNorm"),  # an import
        ("tracker", "path", "PathTracker"),  # an import of the test
        ("data", "waves", "Waves"),  # a word of the docstring
    ],
)
def test_its_class_is_called_like_nothing_else_in_its_files(kind, name, cls):
    assert names_for(kind, name).cls == cls


def test_a_template_is_filled_in_word_by_word():
    text = 'class Example: "example", pixkit_example.Example, pixkit-example; ExampleNet, anexample'
    assert Names.of("pixkit-blue-noise").fill(text) == (
        'class BlueNoise: "blue_noise", pixkit_blue_noise.BlueNoise, pixkit-blue-noise; BlueNoiseNet, anexample'
    )
