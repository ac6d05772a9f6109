"""What stands beside the final scores."""

import json

import numpy as np
import pytest
from toy_runs import trained
from toys import Measured, Toy, Unscored, toy_recipe

from pixkit.training import results
from pixkit.training.precision import Arithmetic
from pixkit.training.results import final_results
from pixkit.training.watch import Interrupt, Reporter


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
