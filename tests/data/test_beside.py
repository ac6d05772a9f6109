"""Arrays beside the images: `data.context`."""

import numpy as np
import pytest
import torch

from pixkit.context import flat_rows, shrunk
from pixkit.data.dataset import BatchSequence
from pixkit.data.feed import feeding
from pixkit.errors import DataError, RecipeError, UsageError
from pixkit.recipe import load_recipe

COUNT = 12


@pytest.fixture
def files(tmp_path):
    """Twelve images, of which each array beside them says the number."""
    number = np.arange(COUNT)
    np.savez(
        tmp_path / "all.npz",
        train=np.tile((number % 7)[:, None, None], (1, 4, 4)).astype(np.uint8),
        vector=np.stack([number, -number], 1) / 4,
        codes=np.tile(number[:, None, None], (1, 2, 1)),
        picture=np.tile(number[:, None, None, None], (1, 2, 1, 3)).astype(np.uint8),
    )
    np.savez(tmp_path / "split.npz", train=number[:8].astype(float), test=number[8:].astype(float))
    return tmp_path


def split_source(files, **context):
    path = files / "two.npz"
    images = np.load(files / "all.npz")["train"]
    np.savez(path, train=images[:8], test=images[8:])
    return {"path": str(path), "source_levels": 7, "validation": 0.25, "context": context}


def test_rows_go_with_their_images_into_every_split(make, files):
    context = {"v": f"{files}/all.npz:vector", "c": f"{files}/all.npz:codes", "p": f"{files}/all.npz:picture"}
    held_out = {"path": str(files / "all.npz"), "source_levels": 7, "test": None, "test_fraction": 0.25}
    for keys in (held_out | {"context": context}, split_source(files, **context)):
        data = make("arrays", **keys)
        assert [str(each) for each in data.spec.context] == ["v 2", "c 2x1, K = 12", "p 3x2x1, K = 256"]
        seen = []
        for split in data.SPLITS:
            for batch in data.batches(split, 5):
                rows = batch.context
                assert rows.dtype == torch.float32 and rows.shape[1:] == (10,)
                number = rows[:, 2].long()
                assert torch.equal(number % 7, batch.x[:, 0, 0, 0])
                same = {"v": torch.stack([number, -number], 1) / 4, "c": number[:, None, None].expand(-1, 2, 1)}
                same["p"] = number[:, None, None, None].expand(-1, 3, 2, 1)
                flat = [flat_rows(spec, same[spec.name], len(rows)) for spec in data.spec.context]
                assert torch.equal(rows, torch.cat(flat, 1))
                seen += number.tolist()
        assert sorted(seen) == list(range(COUNT))


def test_a_file_may_have_rows_by_split_and_the_digest_covers_them(make, files):
    data = make("arrays", **split_source(files, n=f"{files}/split.npz"))
    assert data.batch("test", torch.arange(4)).context.tolist() == [[8.0], [9.0], [10.0], [11.0]]
    by_split = {"train": f"{files}/split.npz:train", "test": f"{files}/split.npz:test"}
    assert make("arrays", **split_source(files, n=by_split)).hashes() == data.hashes()
    assert set(data.hashes()) - set(make("arrays", **split_source(files)).hashes()) == {"context"}
    changed = {"train": f"{files}/split.npz:train", "test": f"{files}/other.npy"}
    np.save(files / "other.npy", np.array([8.0, 9.0, 10.0, 12.0]))
    other = make("arrays", **split_source(files, n=changed))
    assert other.hashes()["context"] != data.hashes()["context"] and other.hashes()["test"] == data.hashes()["test"]


def test_the_image_itself_smaller(make):
    data = make("digits", context={"mean": {"shrink": 2}, "every": {"shrink": 2, "by": "every"}})
    batch = data.batch("train", torch.arange(3))
    mean, every = batch.context.view(3, 2, 1, 4, 4).long().unbind(1)
    assert torch.equal(every, batch.x[:, :, ::2, ::2])
    blocks = batch.x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2).sum(-1)
    assert torch.equal(mean, (blocks + 2) // 4) and (blocks % 4 == 2).any()
    assert all(spec.levels == 17 for spec in data.spec.context) and "context" not in data.hashes()
    assert shrunk(torch.zeros(1, 1, 5, 7), 3, "every").shape[2:] == (2, 3)


def test_what_is_kept_on_a_device_has_the_same_rows(make, files):
    data = make("arrays", **split_source(files, n=f"{files}/split.npz", small={"shrink": 2}))
    sequence = BatchSequence(data, 4, seed=3)
    with feeding({"": sequence}, torch.device("cpu")) as feeds:
        for number in range(3):
            fed, own = feeds[""].batch(number), sequence.batch(number)
            assert torch.equal(fed.context, own.context) and torch.equal(fed.x, own.x)
            parts = list(own.split(3))
            assert torch.equal(torch.cat([part.context for part in parts]), own.context)
            assert torch.equal(own.to("cpu").context, own.context)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("all.npz:codes|short", "not one row per image"),
        ("all.npz", "several arrays"),
        ("none.npy", "no such file"),
        ("nan.npy", "not finite"),
        ("deep.npy", "not vectors"),
        ("below.npy", "values out of range"),
        ("text.npy", "not an array of numbers"),
        ("no-suffix", "not one file of arrays"),
    ],
)
def test_what_is_no_row_an_image_is_refused_by_its_key(make, files, given, message):
    np.save(files / "nan.npy", np.full(COUNT, np.nan))
    np.save(files / "deep.npy", np.zeros((COUNT, 1, 1, 1, 1)))
    np.save(files / "short.npy", np.zeros(COUNT - 1))
    np.save(files / "below.npy", np.full((COUNT, 2, 2), -1))
    np.save(files / "text.npy", np.full(COUNT, "a"))
    given = "short.npy" if given.endswith("|short") else given
    with pytest.raises(DataError, match=message) as caught:
        make("arrays", **split_source(files, n=f"{files}/{given}"))
    assert (given if given in ("none.npy", "text.npy") else "data.context.n") in str(caught.value)


def test_images_whose_channels_come_first_are_warned_of(make, files):
    np.save(files / "first.npy", np.zeros((COUNT, 3, 5, 6), np.uint8))
    with pytest.warns(RuntimeWarning, match=r"data.context.n: read as images .* 3 rows, 5 columns and 6 channels"):
        make("arrays", **split_source(files, n=f"{files}/first.npy"))


def test_blocks_that_do_not_fill_the_image_have_no_average(make):
    with pytest.raises(RecipeError, match="every"):
        make("digits", context={"small": {"shrink": 3}})
    assert make("digits", context={"small": {"shrink": 3, "by": "every"}}).spec.context[0].shape == (1, 3, 3)


def test_arrays_that_are_given_are_checked(make):
    (spec,) = make("digits", context={"small": {"shrink": 2}}).spec.context
    one = torch.zeros(1, 4, 4, dtype=torch.int64)
    assert flat_rows(spec, one + 3, 5).eq(3).all()
    for given, count, error in (
        (one.expand(2, -1, -1), 3, UsageError),
        (one[:, :2], 1, DataError),
        (one + 17, 1, DataError),
        (one.double(), 1, DataError),
    ):
        with pytest.raises(error):
            flat_rows(spec, given, count)
    with pytest.raises(RecipeError, match=r"data.*label means the data's own labels; give the array another name"):
        load_recipe(
            {
                "pixkit": 1,
                "name": "a",
                "data": {"source": "digits", "context": {"label": "a.npy"}},
                "model": {"type": "autoregressive"},
            }
        )
