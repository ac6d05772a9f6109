"""What is not a recipe file, and how that is said."""

import io
import os

import pytest

from pixkit.errors import RecipeError
from pixkit.recipe import InvalidRecipe, load_recipe
from pixkit.recipe.files import MAX_BYTES, read_stream
from pixkit.recipe.messages import _number


def refused(path, registry):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, registry=registry)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_byte_order_mark_is_passed_over(write, recipe_text, registry):
    loaded = load_recipe(write(b"\xef\xbb\xbf" + recipe_text.encode()), registry=registry)
    assert loaded.text == recipe_text
    error = refused(write(b"\xef\xbb\xbfpixkit: !t 1"), registry)
    assert error.problems[0].mark.where.endswith(":1:9")


@pytest.mark.parametrize(("encoding", "said"), [
    ("utf-16", ("recipes are UTF-8", "UTF-16")), ("utf-16-le", ("this is a binary file", "a NUL byte")),
    ("utf-32", ("recipes are UTF-8", "UTF-32")),
])  # fmt: skip
def test_other_encodings_are_refused(encoding, said, write, recipe_text, registry):
    error = refused(write(recipe_text.encode(encoding)), registry)
    assert (error.message, error.found) == said


def test_invalid_utf8_is_placed(write, registry):
    error = refused(write("a: 1\nb: é".encode() + b"\xff\n"), registry)
    assert isinstance(error, InvalidRecipe)
    assert error.problems[0].mark.where.endswith("recipe.yaml:2:5")
    assert error.found == "the byte 0xff"


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf", b"PK\x03\x04\0\0", b"\x89PNG\r\n\x1a\n\0"])
def test_empty_and_binary_files(content, write, registry):
    refused(write(content), registry)


def test_large_files_are_refused_from_their_size(tmp_path, registry, monkeypatch):
    path = tmp_path / "large.yaml"
    with open(path, "wb") as file:
        file.truncate(10_000_000)
    monkeypatch.setattr(os, "open", lambda *a, **k: pytest.fail("the file was opened"))
    error = refused(path, registry)
    assert error.message == "too large for a recipe"
    assert "10000000" in error.found


def test_a_file_may_have_a_megabyte(write, recipe_text, registry):
    text = recipe_text + "#" * (1_000_000 - len(recipe_text))
    assert load_recipe(write(text), registry=registry).recipe.name == "digits-net"
    assert refused(write(text + "#"), registry).message == "too large for a recipe"


def test_folders_pipes_and_devices(tmp_path, write, recipe_text, registry):
    assert refused(tmp_path, registry).message == "this is a folder"
    write(recipe_text)
    assert refused(tmp_path, registry).hint == str(tmp_path / "recipe.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "not a regular file" in refused(tmp_path / "pipe.yaml", registry).message
    assert "not a regular file" in refused("/dev/zero", registry).message


def test_missing_files_name_the_nearest(tmp_path, write, recipe_text, registry):
    write(recipe_text, "digits-net.yaml")
    error = refused(tmp_path / "digit-net.yaml", registry)
    assert error.message == "there is no such file"
    assert error.hint == f"did you mean {tmp_path / 'digits-net.yaml'}?"
    assert "packaged recipe" in refused(tmp_path / "quite-another", registry).hint


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "/nowhere/x.yaml"])
def test_impossible_paths(path, registry):
    refused(path, registry)


def test_unreadable_files(write, recipe_text, registry, monkeypatch):
    path = write(recipe_text)

    def deny(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", deny)
    assert refused(path, registry).message == "cannot be read: Permission denied"


@pytest.fixture
def before_opening(monkeypatch):
    """Have something happen to a file between looking at it and opening it."""

    def _before_opening(change):
        real = os.open

        def change_then_open(name, *args, **kwargs):
            change(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(os, "open", change_then_open)

    return _before_opening


def test_a_file_that_becomes_a_pipe(write, recipe_text, registry, before_opening):
    path = write(recipe_text)
    before_opening(lambda name: (os.unlink(name), os.mkfifo(name)))
    assert "not a regular file" in refused(path, registry).message


def test_a_file_that_is_larger_than_it_says(write, recipe_text, registry, monkeypatch):
    path = write(recipe_text + "#" * 2_000_000)
    small = os.stat(write(recipe_text, "small.yaml"))
    monkeypatch.setattr("pathlib.Path.stat", lambda *_args, **_kwargs: small)
    monkeypatch.setattr(os, "fstat", lambda _descriptor: small)
    assert refused(path, registry).message == "too large for a recipe"


def test_as_much_is_read_from_a_stream_as_a_recipe_may_have():
    text = b"#" * MAX_BYTES
    assert read_stream(io.BytesIO(text), "-") == text.decode()
    with pytest.raises(RecipeError, match="too large for a recipe") as caught:
        read_stream(io.BytesIO(text + b"#"), "-")
    assert caught.value.found == f"more than {MAX_BYTES} bytes"


@pytest.mark.parametrize(("value", "shown"), [
    (3.0, "3"), (-2.0, "-2"), (0.5, "0.5"), (2.0**53 - 1, "9007199254740991"), (2.0**53, "9.0072e+15"), (7, "7"),
])  # fmt: skip
def test_bounds_are_told_as_one_would_write_them(value, shown):
    assert str(_number(value)) == shown
