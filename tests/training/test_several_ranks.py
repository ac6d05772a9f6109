"""Several processes that train a model together come to the bytes of one that is alone."""

import functools

import pytest
from together import Together
from untimed import untimed

from pixkit.errors import RankError, UsageError
from pixkit.ranks import Ranks
from pixkit.runs.run import Run
from pixkit.training.build import build

PIXELS = {
    "pixkit": 1,
    "name": "pixels",
    "data": {"source": "digits", "validation": 0.01, "limit_train": 24, "limit_test": 4},
    "model": {
        "type": "autoregressive",
        "backbone": {
            "type": "pixelcnn",
            "width": 4,
            "layers": 1,
            "first_kernel": 3,
            "output_layers": 1,
            "dropout": 0.1,
        },
    },
    "train": {"steps": 4, "batch_size": 2, "accumulate": 4, "eval_every": 2, "checkpoint_every": 1, "ema": 0.9},
    "sample": {"count": 1},
}
PHASES = {
    **PIXELS,
    "name": "phases",
    "model": {
        "type": "pixelgan",
        "backbone": {"type": "pixelcnn", "width": 4, "layers": 0, "first_kernel": 3, "output_layers": 1},
        "gaussian": 2,
        "features": 4,
        "encoder": {"width": 4, "hidden": 4},
        "discriminator": {"hidden": 4, "layers": 1},
    },
}


def contents(path):
    """The bytes of all that a run has, but for the times in it; its rows."""
    run = Run(path)
    files = [file for folder in (run.checkpoints, run.samples) for file in sorted(folder.rglob("*")) if file.is_file()]
    files += [path / "last", path / "best", run.scores]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}, untimed(run.rows())


@pytest.fixture
def together(tmp_path):
    yield (processes := Together(tmp_path))
    processes.end()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What each recipe comes to in one process."""

    @functools.cache
    def made(name):
        path = tmp_path_factory.mktemp("alone") / name
        build({"pixels": PIXELS, "phases": PHASES}[name], path)
        return contents(path)

    return made


def failed(found):
    return [one for one in found.values() if one is not None]


@pytest.mark.parametrize(("recipe", "size"), [(PIXELS, 2), (PIXELS, 3), (PHASES, 2)])
def test_ranks_come_to_the_bytes_of_one_process(together, alone, tmp_path, recipe, size):
    path = tmp_path / "run"
    found = together.run(lambda ranks: build(recipe, path, resume="auto", ranks=ranks) and None, size)
    assert not failed(found)
    assert contents(path) == alone(recipe["name"])


def test_a_run_goes_on_with_any_number_of_ranks(together, alone, tmp_path):
    path = tmp_path / "run"
    for steps, size in ((1, 2), (2, 1), (3, 3), (4, 2)):
        overrides = [f"train.steps={steps}"]
        found = together.run(
            lambda ranks, given=overrides: build(PIXELS, path, overrides=given, resume="auto", ranks=ranks) and None,
            size,
        )
        assert not failed(found)
    made, expected = contents(path)[0], alone("pixels")[0]
    kept = [name for name in made if name.startswith("checkpoints/step-4") and not name.endswith("manifest.json")]
    assert len(kept) == 3
    assert {name: made[name] for name in kept} == {name: expected[name] for name in kept}


def test_one_part_is_not_shared():
    with pytest.raises(UsageError, match=r"train\.batch_size=2 train\.accumulate=4") as caught:
        build(PIXELS, overrides=["train.batch_size=8", "train.accumulate=1"], ranks=Ranks(1, 4))
    assert caught.value.exit_code == 2


def test_ranks_that_were_given_different_recipes_are_refused(together, tmp_path):
    def work(ranks):
        return build(PIXELS, tmp_path / "run", overrides=[f"train.batch_size={1 + ranks.rank}"], ranks=ranks)

    found = together.run(work, 2)
    assert {one.kind for one in found.values()} == {RankError}
    assert "rank 1 is not as rank 0" in found[1].text
    assert not (tmp_path / "run").exists()
