"""What commands say where there is no working compiler: why images are drawn slowly, and what it costs, once."""

import warnings

import pytest

COST = "4 to 200 times slower: "


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """A compiler that fails, and notes each time that it is asked."""
    script = tmp_path / "compiler"
    script.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/log\necho 'kernel.c:1: error: out of memory' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "log"


@pytest.mark.parametrize(
    "command",
    [["sample", "-n", 5, "--batch-size", 2, "-o", "x.npz"], ["complete", "test:0", "--keep-top", 4, "-o", "x.png"]],
    ids=lambda command: command[0],
)
def test_drawing_commands_say_it_in_the_line_of_the_sampler(pixkit, built, workplace, failing, command):
    name, *rest = command
    positional = [word for word in rest if str(word).startswith("test:")]
    options = [word for word in rest if word not in positional]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = pixkit(name, built, *positional, *options)
    assert found.code == 0 and found.err.count(COST) == 1
    assert failing.read_text() == "asked\n"


def test_a_build_says_it_once_however_often_it_draws(pixkit, workplace, failing):
    with pytest.warns(RuntimeWarning, match=COST) as caught:
        built = pixkit("build", "tiny.yaml", "-o", "run", "-q", "train.sample_every=1")
    assert built.code == 0
    assert len([warning for warning in caught if COST in str(warning.message)]) == 1
    assert failing.read_text() == "asked\n"
