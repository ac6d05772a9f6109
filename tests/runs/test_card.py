"""The card of an exported run, word for word."""

import pytest

from pixkit.runs.card import Card, DataCard, WeightsCard
from pixkit.runs.schema import ScoreRow

ROW = {
    "split": "test",
    "weights": "ema",
    "kind": "exact",
    "images": 16,
    "nats": 8.0,
    "stderr": 0.5,
    "bits_per_dim": 2.0,
}
CARD = Card(
    name="tiny",
    summary="A tiny network.",
    command="pixkit build tiny",
    date="2026-11-28",
    made_with={"pixkit": "0.2", "torch": "2.13"},
    weights=WeightsCard(kind="ema", file="checkpoints/step-2/ema.safetensors", sha256="ab", bytes=9, parameters=12345),
    data=DataCard(description="digits", hashes={"train": "cd"}),
    scores=[],
)
BODY = """# tiny

A tiny network.

```
pixkit sample RUN -o grid.png
```

RUN is the path of this folder; from Python, `pixkit.load(RUN)`.

- Images: digits.
- Weights: 12,345 parameters, averaged.
- Made on 2026-11-28 by `pixkit build tiny`, with pixkit 0.2, torch 2.13."""


def test_a_card_without_scores_licences_and_picture_has_no_places_for_them():
    assert CARD.body() == BODY
    head, text = CARD.text(picture=False).removeprefix("---\n").split("---\n")
    assert head.startswith("library_name: pixkit\ntags: [pixkit]\npixkit:\n  name: tiny\n")
    assert text == f"{BODY}\n"


def test_a_card_has_the_licences_the_picture_and_a_row_for_each_score():
    row = ScoreRow.model_validate(ROW)
    full = CARD.model_copy(update={
        "licence": "mit", "scores": [row, row.model_copy(update={"split": "train", "images": 64})],
        "data": DataCard(description="digits", hashes={}, licence="CC BY 4.0."),
        "weights": CARD.weights.model_copy(update={"kind": "raw"}),
    })  # fmt: skip
    table = (
        "| images | score |\n| --- | --- |\n"
        "| test, 16 images | 2.0000 bits/dim, 8.00 nats +- 0.50 |\n"
        "| train, 64 images | 2.0000 bits/dim, 8.00 nats +- 0.50 |\n\n- Images: digits. CC BY 4.0."
    )
    expected = (
        BODY.replace("A tiny network.", "A tiny network.\n\n![Samples](samples/best.png)")
        .replace("- Images: digits.", table)
        .replace(", averaged.", ", of the last step.\n- Licence of the weights: mit.")
    )
    assert full.body(picture=True) == expected
    assert full.text(picture=True).startswith("---\nlicense: mit\nlibrary_name: pixkit\n")
    assert full.text(picture=True).endswith(f"---\n{expected}\n")


@pytest.mark.parametrize("licence", ["", "mit"])
def test_only_a_licence_that_was_named_is_stated(licence):
    text = CARD.model_copy(update={"licence": licence}).text(picture=False)
    assert text.count("mit") == (3 if licence else 0) and ("license:" in text) == bool(licence)
