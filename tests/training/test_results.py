"""What stands beside the final scores."""

import json

from toy_runs import trained
from toys import Toy, toy_recipe

from pixkit.training.precision import Arithmetic
from pixkit.training.results import final_results
from pixkit.training.watch import Interrupt, Reporter


class Remarking(Toy):
    """Says one thing of every row, and another of those whose images have numbers above 5."""

    def assess(self, batch):
        return {"nats": self.score(batch), "number": batch.indices.float()}

    def remarks(self, parts, step=None):
        return ["it was trained", *(["high numbers"] if parts["number"] > 5 else [])]


def notes(folder, model):
    trainer = trained(folder, toy_recipe(model, steps=5))
    heard = Reporter()
    table, _ = final_results(
        trainer.run, trainer.recipe, trainer.model, trainer.dataset,
        arithmetic=Arithmetic(), interrupt=Interrupt(), reporter=heard,
    )  # fmt: skip
    assert [(row.split, row.weights) for row in table] == [
        (split, weights) for weights in ("raw", "ema") for split in ("train", "validation", "test")
    ]
    return json.loads(trainer.run.scores.read_text())["notes"]


def test_remarks_on_all_rows_are_said_once_and_others_name_their_rows(tmp_path):
    found = notes(tmp_path / "run", Remarking)
    assert [text for text in found if "high" in text or "trained" in text] == [
        "it was trained",
        "train, raw weights; train, ema weights: high numbers",
    ]
