import json

import numpy as np
import pytest

from pixkit.data import kept


@pytest.fixture(autouse=True)
def two_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path))
    monkeypatch.delenv(kept.VARIABLE, raising=False)
    for number, name in enumerate(("ants", "bees")):
        kept.keep(kept.key_of(number), np.zeros((2, 1, 3, 3), np.uint8), {"of": f"/data/{name}"})


def test_what_is_kept_is_listed(pixkit, tmp_path):
    found = pixkit("cache")
    assert found.code == 0 and "/data/ants" in found.out and "/data/bees" in found.out
    assert found.out.splitlines()[-1].endswith(f"of at most 10 GiB, in {tmp_path / 'decoded'}")


def test_as_data_it_has_sizes_and_paths(pixkit, tmp_path):
    found = json.loads(pixkit("cache", "--json").out)
    assert found["folder"] == str(tmp_path / "decoded") and found["most"] == kept.MOST and not found["cleared"]
    assert {row["of"] for row in found["sets"]} == {"/data/ants", "/data/bees"}
    assert all(row["bytes"] == (tmp_path / "decoded" / row["path"]).stat().st_size for row in found["sets"])


def test_clearing_removes_it_all_and_says_how_much(pixkit):
    found = pixkit("cache", "--clear")
    assert found.code == 0 and "2 sets" in found.out and "removed" in found.out and kept.entries() == []
    assert pixkit("cache").out.startswith("0 sets, 0 bytes")


def test_a_damaged_file_is_listed_as_such_and_cleared(pixkit):
    kept.entries()[0].path.write_bytes(b"pixkit")
    assert "(damaged)" in pixkit("cache").out
    pixkit("cache", "--clear")
    assert kept.entries() == []


def test_a_bound_that_is_no_size_is_refused(pixkit, monkeypatch):
    monkeypatch.setenv(kept.VARIABLE, "plenty")
    found = pixkit("cache")
    assert found.code == 2 and "PIXKIT_DECODED" in found.err
