"""`pixkit verify`: text, JSON, pictures, and what it says when it cannot."""

import json

import pytest
from PIL import Image


def test_text_names_the_blind_spot(pixkit, workplace):
    outcome = pixkit("verify", "tiny.yaml", "--pixel", "0,6,1", "-q")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert "causal    proved" in lines
    assert any(line.startswith("pixel") and "step 49" in line for line in lines)
    field = [line for line in lines if len(line) == 8 and set(line) <= set("#o.@")]
    assert len(field) == 8
    assert field[6] == "#@......" and field[7] == "........"
    assert "o" in field[5] and field[5][0] == "#", "a 3x3 kernel leaves a blind spot up and to the right"


def test_json_counts_what_the_picture_of_characters_shows(pixkit, workplace):
    outcome = pixkit("verify", "tiny.yaml", "--json", "-q")
    (found,) = json.loads(outcome.out)["networks"]
    assert found["verdict"] == "proved" and found["path"] is None and found["problem"] is None
    assert found["pixel"] == [0, 4, 4] and found["step"] == found["may_see"] == 36
    text = "".join(row for colour in found["field"] for row in colour)
    assert (text.count("#"), text.count("o")) == (found["sees"], found["blind_spot"])
    assert found["sees"] + found["blind_spot"] == 36 and found["sees_too_early"] == 0
    assert found["probe"] == {"swaps": 16, "leak": None}


def test_pictures(pixkit, workplace):
    outcome = pixkit("verify", "tiny.yaml", "--field", "f.png", "--order", "sub/o.png", "-q")
    assert outcome.code == 0
    field, order = Image.open("f.png").convert("RGB"), Image.open("sub/o.png").convert("RGB")
    cell = 40
    assert field.getpixel((8 + 4 * cell + 5, 8 + 4 * cell + 5)) == (20, 20, 20), "the pixel itself"
    assert field.getpixel((8 + 5, 8 + 7 * cell + 5)) == (225, 225, 225), "not yet drawn"
    assert field.getpixel((8 + 3 * cell + 5, 8 + 4 * cell + 5)) == (52, 120, 190), "seen"
    assert sum(order.getpixel((13, 13))) < sum(order.getpixel((8 + 7 * cell + 5, 8 + 7 * cell + 5)))


def test_a_shape_stands_in_for_the_data(pixkit, workplace, monkeypatch, tmp_path):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "empty"))
    absent = pixkit("verify", "tiny.yaml", "data={source: mnist}", "-q")
    assert absent.code == 3
    assert "train-images-idx3-ubyte.gz" in absent.err and "--shape" in absent.err
    assert not list((tmp_path / "empty").rglob("*.gz*.part"))
    outcome = pixkit("verify", "tiny.yaml", "data={source: mnist}", "--shape", "3,4,5,4", "--json", "-q")
    assert outcome.code == 0
    (found,) = json.loads(outcome.out)["networks"]
    assert found["ordering"] == {"type": "Raster", "colours": "sequential", "steps": 60}
    assert found["pixel"] == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pixel", "0,8,0"], "no such sub-pixel"),
        (["--pixel", "1,2"], "is not colour,row,column"),
        (["--shape", "1,2,3"], "is not C,H,W,K"),
        (["--shape", "1,0,3,2"], "is not C,H,W,K"),
        (["model.backbone.widht=3"], "widht"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(pixkit, workplace, arguments, words):
    outcome = pixkit("verify", "tiny.yaml", *arguments, "-q")
    assert outcome.code == 2
    assert words in outcome.err
