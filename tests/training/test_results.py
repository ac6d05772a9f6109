"""What stands beside the final scores."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_runs import trained
from toys import Measured, Told, Toy, Unscored, toy_recipe

from pixkit.randomness import derive
from pixkit.ranks import ALONE
from pixkit.runs.load import read_weights
from pixkit.training import results
from pixkit.training.precision import Arithmetic
from pixkit.training.results import final_results
from pixkit.training.watch import Interrupt, Interrupted, Reporter


class Remarking(Toy):
    """Says one thing of every row, and another of those whose images have numbers above 5."""

    def assess(self, batch):
        return {"nats": self.score(batch), "number": batch.indices.float()}

    def remarks(self, parts, step=None):
        return ["it was trained", *(["high numbers"] if parts["number"] > 5 else [])]


def notes(folder, model, **data):
    trainer = trained(folder, toy_recipe(model, steps=5, data=data))
    heard = Reporter()
    table, _ = final_results(
        trainer.run, trainer.recipe, trainer.model, trainer.dataset,
        arithmetic=Arithmetic(), interrupt=Interrupt(), reporter=heard,
    )  # fmt: skip
    assert [(row.split, row.weights) for row in table] == [
        (split, weights)
        for weights in ("raw", "ema")
        for split in ("train", "validation", "test")
        if trainer.dataset.size(split) and trainer.model.scorable
    ]
    return json.loads(trainer.run.scores.read_text())["notes"]


def test_remarks_on_all_rows_are_said_once_and_others_name_their_rows(tmp_path):
    assert notes(tmp_path / "run", Remarking) == [
        "train: a seeded choice of 11 of 33 images, as many as the test set has",
        "it was trained",
        "train, raw weights; train, ema weights: high numbers",
    ]


@pytest.mark.parametrize(("model", "data", "said"), [
    (Toy, {"tests": 33}, []), (Toy, {"tests": 32}, ["a seeded choice of 32 of 33"]), (Toy, {"tests": 0}, []),
    (Unscored, {}, ["no likelihood"]), (Measured, {}, ["no likelihood", "a seeded choice of 11 of 33"]),
])  # fmt: skip
def test_what_one_should_know_of_the_table_is_said_and_nothing_else(tmp_path, model, data, said):
    """Without test images all training images are scored."""
    found = notes(tmp_path / "run", model, **data)
    assert len(found) == len(said) and all(text in note for text, note in zip(said, found, strict=True))


@pytest.mark.parametrize("with_average", [False, True])
def test_averaged_weights_select_where_there_are_any_and_both_are_logged(monkeypatch, with_average):
    asked, within = [], []

    @contextmanager
    def averaged():
        within.append("average")
        yield
        within.pop()

    def scored(*given, **named):
        asked.append((given, named, list(within)))
        nats = 2.0 if named["weights"] == "raw" else 1.0
        return SimpleNamespace(images=5, kind="exact", figures={"nats": nats}, parts={"part": nats + 0.5})

    monkeypatch.setattr(results, "score", scored)
    recipe = toy_recipe(Toy, batch_size=3, eval_images=7)
    decisive, figures = results.validate(
        "model", recipe, "data", averaged if with_average else None, "watch", ranks="ranks"
    )
    given = ("model", "data", "validation", 3)
    may = {"seed": recipe.seed, "limit": 7, "watch": "watch", "ranks": "ranks"}
    both = [(given, {"weights": "raw", **may}, []), (given, {"weights": "ema", **may}, ["average"])]
    assert asked == both[: 1 + with_average] and decisive.figures == {"nats": 1.0 if with_average else 2.0}
    raw = {"images": 5, "kind": "exact", "nats": 2.0, "part": 2.5}
    assert figures == raw | ({"nats_ema": 1.0, "part_ema": 1.5} if with_average else {})


def test_samples_are_drawn_as_the_recipe_says(tmp_path, monkeypatch):
    recipe = toy_recipe(Toy, steps=1)
    config = recipe.sample.model_copy(update={"temperature": 0.5, "batch_size": 2, "guidance": 3.0})
    recipe = recipe.model_copy(update={"sample": config, "seed": 7})
    trainer, asked = trained(tmp_path / "run", recipe), []
    sample = trainer.model.sample
    trainer.model.sample = lambda *given, **named: (asked.append((given, named)), sample(3, seed=0))[1]
    watch, random = (lambda *_: None), torch.get_rng_state()
    results.draw_samples(trainer.model, recipe, trainer.run, trainer.dataset, "here", watch=watch)
    assert asked == [((3,), {
        "seed": derive(7, "sample"), "temperature": 0.5, "batch_size": 2, "sampler": recipe.sample.type,
        "context": None, "guidance": 3.0, "progress": watch,
    })]  # fmt: skip
    assert torch.equal(torch.get_rng_state(), random)


def test_the_scores_file_says_of_what_they_are(tmp_path, monkeypatch):
    trainer = trained(tmp_path / "run", toy_recipe(Toy, steps=3, eval_every=3))
    trainer.recipe, scored, score = trainer.recipe.model_copy(update={"seed": 7}), [], results.score
    monkeypatch.setattr(results, "remark", lambda *given: f"moved by {given[2:]}")

    def noting(*given, watch, **named):
        scored.append((*given[2:], named))
        return score(*given, watch=watch, **named)

    monkeypatch.setattr(results, "score", noting)
    heard = Told()
    heard.working = lambda *told: heard.rows.append(told)
    table, picture = final_results(
        trainer.run, trainer.recipe, trainer.model, trainer.dataset,
        arithmetic=Arithmetic(), interrupt=Interrupt(), reporter=heard,
    )  # fmt: skip
    said = json.loads(trainer.run.scores.read_text())
    moved = f"moved by {(8, Arithmetic())}"
    assert said == {
        "checkpoint": "step-3", "data": trainer.dataset.description,
        "scores": json.loads(json.dumps([row.dump() for row in table])), "notes": [said["notes"][0], moved],
    }  # fmt: skip
    assert scored == [
        (split, 8, {"weights": kind, "seed": 7, "limit": 11 if split == "train" else None, "ranks": ALONE})
        for kind in ("raw", "ema") for split in ("train", "validation", "test")
    ]  # fmt: skip
    assert heard.texts == [moved] and picture == trainer.run.samples / "best.png"
    assert heard.rows[-1] == ("sampling", 3, 3) and heard.rows[0][0] == "scoring train (raw)"
    assert torch.equal(trainer.model.logits, read_weights(trainer.run.checkpoint("best"), "ema")["logits"])


def test_a_signal_while_the_best_checkpoint_is_drawn_ends_the_build_and_one_that_cannot_be_drawn_does_not(
    tmp_path, monkeypatch
):
    trainer = trained(tmp_path / "run", toy_recipe(Toy, steps=3))
    interrupt, heard = Interrupt(), Told()
    given = trainer.run, trainer.recipe, trainer.model, trainer.dataset
    told = {"arithmetic": Arithmetic(), "interrupt": interrupt, "reporter": heard}
    draw = Toy.draw
    monkeypatch.setattr(Toy, "draw", lambda model, request: 1 / 0)
    assert final_results(*given, **told)[1] is None
    assert heard.texts == [
        "of the best checkpoint, the samples could not be drawn: ZeroDivisionError: division by zero"
    ]

    def signalled(model, request):
        interrupt.signal = 2
        return draw(model, request)

    monkeypatch.setattr(Toy, "draw", signalled)
    with pytest.raises(Interrupted):
        final_results(*given, **told)


def test_a_column_of_samples_is_a_class_where_labels_come_in_turn(tmp_path, monkeypatch):
    trainer, drawn = trained(tmp_path / "run", toy_recipe(Toy, steps=1)), []
    monkeypatch.setattr(
        results, "save_grid", lambda x, spec, path, *, columns, titles: drawn.append((len(x), spec, path.name, columns))
    )
    for labelled in (False, True):
        trainer.model.labelled = labelled
        results.draw_samples(trainer.model, trainer.recipe, trainer.run, trainer.dataset, "here", watch=lambda *_: None)
        assert drawn.pop() == (3, trainer.model.spec, "here.png", 3 if labelled else None)
    assert np.load(trainer.run.samples / "here.npz")["samples"].shape == (3, *trainer.model.spec.shape)


@pytest.mark.parametrize(("pictured", "levels", "columns"), [(False, [0, 0, 0], None), (True, [1, 0] * 3, 16)])
def test_what_conditions_show_stands_beside_samples_and_no_column_is_a_class(
    tmp_path, monkeypatch, pictured, levels, columns
):
    trainer, drawn, asked = trained(tmp_path / "run", toy_recipe(Toy, steps=1)), [], []
    rows, shape, watch = torch.zeros(3, 2), (3, *trainer.model.spec.shape), (lambda *done: None)
    config = {"temperature": 0.5, "batch_size": 2, "type": "cached", "guidance": 3.0, "count": 3}
    recipe = trainer.recipe.model_copy(update={"sample": SimpleNamespace(**config)})
    monkeypatch.setattr(results, "rows_in_turn", lambda model, dataset, count: rows)
    monkeypatch.setattr(results, "pictures_of", lambda model, given: torch.ones(shape).long() if pictured else None)
    monkeypatch.setattr(
        Toy, "sample", lambda model, count, **given: asked.append((count, given)) or torch.zeros(shape).long()
    )
    monkeypatch.setattr(results, "save_npz", lambda x, spec, path: None)
    monkeypatch.setattr(results, "save_grid", lambda x, spec, path, **layout: drawn.append((x, layout)))
    trainer.model.labelled = True
    results.draw_samples(trainer.model, recipe, trainer.run, trainer.dataset, "here", watch=watch)
    ((shown, layout),) = drawn
    assert shown[:, 0, 0, 0].tolist() == levels and layout == {"columns": columns}
    ((count, given),) = asked
    assert (
        count == 3
        and given.pop("context") is rows
        and given
        == {
            **{"seed": derive(recipe.seed, "sample"), "temperature": 0.5, "batch_size": 2, "sampler": "cached"},
            **{"guidance": 3.0, "progress": watch},
        }
    )
