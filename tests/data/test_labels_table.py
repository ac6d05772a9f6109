"""Labels of images in a table, as competitions and papers publish them."""

import csv

import pytest
import torch
from PIL import Image

from pixkit.errors import DataError

KINDS = ("cat", "dog", "owl")


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures train/00.png ...; the n'th has the level n."""
    (tmp_path / "train").mkdir()
    for number in range(12):
        Image.new("L", (4, 3), number).save(tmp_path / "train" / f"{number:02}.png")
    return tmp_path


def table(folder, rows, name="labels.csv", **options):
    with (folder / name).open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        csv.writer(file, **options).writerows(rows)


def rows_of(write=lambda number: f"{number:02}", numbers=range(12)):
    return [[write(number), KINDS[number % 3]] for number in numbers]


def read(make, **config):
    return make("images", **{"path": "train", "channels": 1, "labels": "labels.csv"} | config)


def check(data, count=12):
    """Every image has the class that its level says."""
    found = []
    for split in ("train", "validation", "test"):
        batch = data.batch(split, torch.arange(data.size(split)))
        levels = batch.x[:, 0, 0, 0].tolist()
        assert [data.class_names[label] for label in batch.labels.tolist()] == [KINDS[level % 3] for level in levels]
        found += levels
    assert len(found) == count
    return data


@pytest.mark.parametrize(
    "write", [lambda n: f"{n:02}", lambda n: f"{n:02}.png", lambda n: f"train/{n:02}.png", lambda n: f"train\\{n:02}"]
)
@pytest.mark.parametrize("header", [[], [["id", "label"]]])
def test_a_table_of_ids_or_files_with_a_header_or_without(make, folder, write, header):
    table(folder, header + rows_of(write))
    assert check(read(make)).notes == ("classes: cat, dog, owl",)
    table(folder, [row[::-1] for row in header + rows_of(write)])
    check(read(make))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("t.tsv", {"delimiter": "\t"}),
        ("t.csv", {"delimiter": ";"}),
        ("t.txt", {"delimiter": " "}),
        ("T.CSV", {"quoting": csv.QUOTE_ALL, "encoding": "utf-8-sig"}),
    ],
)
def test_other_signs_between_cells(make, folder, name, options):
    table(folder, rows_of(), name, **options)
    check(read(make, labels=name))


def test_empty_lines_and_rows_of_empty_cells_are_none(make, folder):
    rows = rows_of()
    table(folder, [[], ["", " "], *rows[:5], ["", ""], [], *rows[5:], []])
    assert check(read(make)).notes == ("classes: cat, dog, owl",)


def test_rows_are_as_wide_as_the_first_which_has_two_cells(make, folder):
    for rows, expected in (
        ([["00"], ["01"]], "a column of files and one of labels"),
        ([["00", "cat"], ["01", "dog", "x"]], "2, as in the first row"),
    ):
        table(folder, rows)
        with pytest.raises(DataError, match="not a table of labels") as caught:
            read(make)
        assert caught.value.expected == expected


def test_of_several_columns_the_labels_are_named(make, folder):
    rows = [["id", "age", "kind"]] + [[row[0], number * 5, row[1]] for number, row in enumerate(rows_of())]
    table(folder, rows)
    with pytest.raises(DataError, match="which column holds the labels") as caught:
        read(make)
    assert caught.value.found == "age, kind" and caught.value.hint == "data.labels='labels.csv:age' names one"
    check(read(make, labels="labels.csv:kind"))
    with pytest.raises(DataError, match="not exactly one column of this name") as caught:
        read(make, labels="labels.csv:breed")
    assert caught.value.found == "breed, of age, kind"
    table(folder, rows[1:])
    check(read(make, labels="labels.csv:column 3"))


def test_labels_that_are_numbers_are_in_their_order(make, folder):
    table(folder, [["file", "digit"]] + [[f"{number:02}.png", 9 + number % 2] for number in range(12)])
    assert read(make).class_names == ("9", "10")


def test_images_that_the_table_lacks_are_refused_or_left_out(make, folder):
    table(folder, rows_of(numbers=range(10)))
    with pytest.raises(DataError, match="missing from the table of labels") as caught:
        read(make)
    assert caught.value.found == f"2 of 12 in {folder / 'train'}: 10.png, 11.png"
    data = check(read(make, on_bad="skip"), 10)
    assert (
        data.notes[0]
        == f"left out 2 of 12 images in {folder / 'train'}: 10.png (not in labels.csv), 11.png (not in labels.csv)"
    )
    table(folder, rows_of(numbers=range(5)))
    with pytest.raises(DataError, match="most of the images would be left out"):
        read(make, on_bad="skip")


def test_rows_without_an_image_are_counted(make, folder):
    table(folder, [["id", "label"], *rows_of(), ["77", "cow"], ["78", "cat"]])
    data = check(read(make))
    assert data.notes[0] == f"2 of 14 rows of {folder / 'labels.csv'} match no image here"


def test_one_table_of_all_splits_by_folder(make, folder):
    (folder / "test").mkdir()
    for number in range(6):
        Image.new("L", (4, 3), number + 1).save(folder / "test" / f"{number:02}.png")
    test = [[f"test/{number:02}", KINDS[(number + 1) % 3]] for number in range(6)]
    table(folder, rows_of(lambda number: f"train/{number:02}") + test)
    for config in ({"path": "."}, {"test_path": "test"}):
        data = check(read(make, **config), 18)
        assert sorted(data.batch("test", torch.arange(6)).x[:, 0, 0, 0].tolist()) == [1, 2, 3, 4, 5, 6]
    table(folder, rows_of())
    with pytest.raises(DataError, match="a row that matches several files") as caught:
        read(make, test_path="test")
    assert caught.value.where == f"{folder / 'labels.csv'}, line 1" and "test/00.png" in caught.value.found


@pytest.mark.parametrize(
    ("rows", "message", "found"),
    [
        ([], "the table is empty", None),
        ([["00.png"], ["01.png"]], "not a table of labels", "1 cells"),
        ([["id", "label"], ["00", "cat"], ["01"]], "not a table of labels", "1 cells"),
        ([["0", "cat"], ["1", "dog"]], "the table names other files", "0, 1"),
        ([*rows_of(), ["03", ""]], "a file without a label", "03"),
        ([*rows_of(), ["03.png", "owl"]], "two labels for one file", "03.png is owl, and cat in line 4"),
        ([[f"{n:02}", f"{11 - n:02}"] for n in range(12)], "several columns of the table name files", "columns 1, 2"),
    ],
)
def test_tables_that_say_something_else_are_refused(make, folder, rows, message, found):
    table(folder, rows)
    with pytest.raises(DataError, match=message) as caught:
        read(make)
    assert caught.value.found == found and str(folder / "labels.csv") in caught.value.where


def test_what_is_no_table(make, folder):
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(DataError, match="not a table of labels") as caught:
        read(make)
    assert caught.value.expected == "CSV in UTF-8"
    with pytest.raises(DataError, match="cannot be read"):
        read(make, labels="none.csv")
    with pytest.raises(DataError, match="not a table of labels") as caught:
        read(make, labels="labels.xlsx")
    assert "FILE:COLUMN" in caught.value.expected


def test_a_table_of_other_classes_is_matched_by_name(make, folder):
    table(folder, rows_of())
    names = ["owl", "cow", "cat", "dog"]
    data = check(read(make, class_names=names))
    assert data.classes == 4 and data.class_names == tuple(names)
